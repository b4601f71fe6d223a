//! Where observations are kept: one seam, several stores.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod columns;
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod hour_sums;
mod location;
mod open;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rollups;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod subject;

pub use error::StoreError;
pub use location::{Location, ParseLocationError};
pub use open::{open, open_read_only};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use crate::{Observation, Rollup, UnixMillis};

/// A database of observations.
///
/// Its calls block, so whoever uses it gives it a thread; within an asynchronous task they may even panic. Several
/// processes may have the same database open.
pub trait HistoryStore: Send {
    /// Adds observations. When it returns, they survive the end of this process in whatever way; when it fails, none of
    /// them was added, and the same ones may be given again.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::is_full`] tells whether room would help. After [`StoreError::Unconfirmed`] they may
    /// have been added: giving them again, with others behind them or not, adds them once.
    fn append(&mut self, batch: &[Observation]) -> Result<(), StoreError>;

    /// Reads observations.
    ///
    /// # Errors
    /// [`StoreError`].
    fn observations(&mut self, query: &Query) -> Result<Vec<Stored>, StoreError>;

    /// Reads the sums of every hour and day that reaches beyond `since`, ordered by model, shape, arm and time. What is
    /// in an hour's row is in no day's row.
    ///
    /// # Errors
    /// [`StoreError`].
    fn rollups(&mut self, since: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError>;

    /// Shows every row that [`rollups`](Self::rollups) reads, in any order and one at a time, so that a million of them
    /// take no more room than one. Stores that can do that have a method of their own for it.
    ///
    /// # Errors
    /// [`StoreError`]; some rows may have been shown then.
    fn visit_rollups(
        &mut self,
        since: Option<UnixMillis>,
        visit: &mut dyn FnMut(&Rollup),
    ) -> Result<(), StoreError> {
        self.rollups(since)?.iter().for_each(visit);
        Ok(())
    }

    /// Drops what `retention` does not keep: single observations (their sums stay), then hours (their sums go into
    /// days), then days. One call drops a bounded amount, some ten thousand rows, and says whether there is
    /// [`more`](Compacted::more).
    ///
    /// # Errors
    /// [`StoreError`]; nothing was dropped then, but after [`StoreError::Unconfirmed`] it may have been.
    fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Result<Compacted, StoreError>;
}

const _: Option<&dyn HistoryStore> = None;

/// Which observations to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "every store answers all of them")]
pub enum Query {
    /// The latest ones of every model, shape and arm, ordered by these, and oldest first in each.
    Latest {
        /// How many of each.
        each: u32,
        /// None that are older than this.
        since: Option<UnixMillis>,
    },
    /// The next ones in the order in which they were added; the first ones after id 0.
    After {
        /// The id of the last one that was read.
        id: i64,
        /// How many at most.
        limit: u32,
    },
}

/// An observation with its place in the store.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "stores build it in full")]
pub struct Stored {
    /// Grows with every observation of this store.
    pub id: i64,
    /// What was observed.
    pub observation: Observation,
}

/// How long what is kept. All in days, from the end of what is dropped to the time of the compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Single observations. Default 14.
    pub observation_days: u32,
    /// How many single observations are kept at most; the oldest go first. Default 20 million.
    pub most_observations: u64,
    /// The sums of hours, of which an analysis looks at 30 days unless it is asked for more. Default 35.
    pub hour_days: u32,
    /// The sums of days. Default 730.
    pub day_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { observation_days: 14, most_observations: 20_000_000, hour_days: 35, day_days: 730 }
    }
}

/// What a [`compact`](HistoryStore::compact) dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::exhaustive_structs, reason = "stores build it in full")]
pub struct Compacted {
    /// Single observations that were dropped.
    pub observations: u64,
    /// Hours that went into days.
    pub hours: u64,
    /// Days that were dropped.
    pub days: u64,
    /// Whether another call would drop more.
    pub more: bool,
}
