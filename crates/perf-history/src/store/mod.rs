//! Where observations are kept: one seam, several stores.

#[cfg(feature = "sqlite")]
mod columns;
mod error;
mod location;
mod open;
#[cfg(feature = "sqlite")]
mod rollups;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod subject;

pub use error::StoreError;
pub use location::{Location, ParseLocationError};
pub use open::{open, open_read_only};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

use crate::{Observation, Rollup, UnixMillis};

/// A database of observations.
///
/// Its calls block, so whoever uses it gives it a thread; within an asynchronous task they may even panic. Several
/// processes may have the same database open.
pub trait HistoryStore: Send {
    /// Adds observations. When it returns, they survive the end of this process in whatever way; when it fails, none of
    /// them was added.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::is_full`] tells whether room would help.
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

    /// Drops what `retention` does not keep: single observations (their sums stay), then hours (their sums go into
    /// days), then days. One call drops a bounded amount, some ten thousand rows, and says whether there is
    /// [`more`](Compacted::more).
    ///
    /// # Errors
    /// [`StoreError`]; nothing was dropped then.
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
    /// The sums of hours. Default 90.
    pub hour_days: u32,
    /// The sums of days. Default 730.
    pub day_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { observation_days: 14, most_observations: 20_000_000, hour_days: 90, day_days: 730 }
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
