//! The embedded store: one SQLite file.

mod append;
mod by_series;
mod compact;
mod error;
mod hours;
mod names;
mod open;
mod read;
mod state;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use self::error::Fault;
use super::hour_sums::HourSums;
use super::subject::Known;
use crate::{Compacted, HistoryStore, Observation, Query, Retention, Rollup, StoreError, Stored, UnixMillis};

/// How large the write-ahead log may become, in bytes. It grows while somebody reads without a pause.
const MOST_LOG: u64 = 64 << 20;

/// How long the log's readers are waited for, when it has become too large.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// Observations in an SQLite file.
///
/// The file has a write-ahead log beside it while it is open. Any number of processes may have it open; one of them
/// writes at a time, the others wait for up to ten seconds, and readers wait for nobody.
///
/// What [`append`](HistoryStore::append) has added survives the end of the process in whatever way, `kill -9`
/// included. It survives a loss of power too, as far as the file system and the disk keep what they were told to
/// flush (`synchronous=FULL`). A network file system does not have the locks and the shared memory that this needs.
#[derive(Debug)]
pub struct SqliteStore {
    conn: Connection,
    path: PathBuf,
    known: Known,
    sums: HourSums,
    /// The size of the log at which it is tried to empty it.
    most_log: u64,
}

impl SqliteStore {
    /// Opens the file for reading and writing, and brings it to the schema of this version. It is created where there
    /// is none; its folder is not.
    ///
    /// Files of up to 256 MiB are checked for damage, which takes up to a quarter of a second; of larger ones, the
    /// small tables that everything else needs.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Full`], or [`StoreError::Failed`] where another process holds the file for
    /// too long. [`StoreError::Unusable`] and [`StoreError::Newer`] mean that the file, and what lies beside it, were
    /// left as they were.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::writable(path).map(Self::new)
    }

    /// Opens the file for reading, also while another process writes to it. There, [`append`](HistoryStore::append) and
    /// [`compact`](HistoryStore::compact) fail.
    ///
    /// # Errors
    /// As for [`open`](Self::open); a file that is not there is a [`StoreError::Open`].
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        open::read_only(path).map(Self::new)
    }

    fn new((conn, path): (Connection, PathBuf)) -> Self {
        // Each statement is compiled once; there are about twenty.
        conn.set_prepared_statement_cache_capacity(64);
        Self { conn, path, known: Known::default(), sums: HourSums::default(), most_log: MOST_LOG }
    }

    /// Limits the file to this many bytes, as long as this store is open; what does not fit then fails with
    /// [`StoreError::Full`]. A limit below the present size stops growth, and drops nothing. Default: what SQLite can
    /// address, 16 TiB.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn limit_size(&mut self, bytes: u64) -> Result<(), StoreError> {
        let limit = || -> Result<(), Fault> {
            let page: i64 = self.conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = (bytes / page.unsigned_abs().max(1)).clamp(1, 4_294_967_294);
            self.conn.pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))?;
            Ok(())
        };
        limit().map_err(|fault| fault.at(&self.path, "limit its size"))
    }

    fn forget(&mut self) {
        self.known = Known::default();
        self.sums.forget();
    }

    /// Empties the log when it has become large. Whether that works is no matter of what was written.
    fn tend_log(&mut self) {
        let size = || open::beside(&self.path, "-wal").metadata().map_or(0, |log| log.len());
        let before = size();
        if before < self.most_log {
            return;
        }
        self.empty_log();
        // With readers that never pause, the next try comes when it has grown by as much again.
        self.most_log = size() + MOST_LOG;
    }

    /// Writes the log back to the file and empties it, if its readers let us.
    fn empty_log(&self) {
        let empty = || {
            self.conn.busy_timeout(LOG_PATIENCE)?;
            self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        };
        // What is in the log is as safe there, and every commit tries again to write it back.
        let _ = empty();
        let _ = self.conn.busy_timeout(open::PATIENCE);
    }
}

impl HistoryStore for SqliteStore {
    fn append(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let added = append::append(&mut self.conn, &mut self.known, &mut self.sums, batch);
        if let Err(fault) = added {
            self.forget();
            let error = fault.at(&self.path, "add observations");
            if error.is_full() {
                // The log's own room may be enough for the next try.
                self.empty_log();
            }
            return Err(error);
        }
        self.tend_log();
        Ok(())
    }

    fn observations(&mut self, query: &Query) -> Result<Vec<Stored>, StoreError> {
        let found = read::observations(&self.conn, &mut self.known, query);
        found.map_err(|fault| fault.at(&self.path, "read observations"))
    }

    fn rollups(&mut self, since: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError> {
        let found = read::rollups(&self.conn, &mut self.known, since);
        found.map_err(|fault| fault.at(&self.path, "read roll-ups"))
    }

    fn visit_rollups(
        &mut self,
        since: Option<UnixMillis>,
        visit: &mut dyn FnMut(&Rollup),
    ) -> Result<(), StoreError> {
        let seen = read::visit_rollups(&self.conn, &mut self.known, since, visit);
        seen.map_err(|fault| fault.at(&self.path, "read roll-ups"))
    }

    fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Result<Compacted, StoreError> {
        let dropped = compact::compact(&mut self.conn, now, retention);
        // Hours are other ones now, whether or not that was committed.
        self.sums.forget();
        self.tend_log();
        dropped.map_err(|fault| fault.at(&self.path, "drop what is old"))
    }
}
