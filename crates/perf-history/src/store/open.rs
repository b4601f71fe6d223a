//! Opening a store of whatever kind.

use crate::{HistoryStore, Location, StoreError};

/// Opens a store for reading and writing, and brings it to the schema of this version. An SQLite file is created where
/// there is none, and so is the schema `perf_history` in a PostgreSQL database.
///
/// # Errors
/// [`StoreError`]; [`StoreError::NotBuilt`] where this build has no store of that kind.
pub fn open(location: &Location) -> Result<Box<dyn HistoryStore>, StoreError> {
    match location {
        #[cfg(feature = "sqlite")]
        Location::Sqlite(path) => Ok(Box::new(super::SqliteStore::open(path)?)),
        #[cfg(feature = "postgres")]
        Location::Postgres(url) => Ok(Box::new(super::PostgresStore::open(url)?)),
        #[allow(unreachable_patterns, reason = "with every feature on, there is no other")]
        other => Err(not_built(other)),
    }
}

/// Opens a store for reading, also while another process writes to it: its `append` and `compact` fail. Nothing is
/// created, and no schema changed.
///
/// # Errors
/// [`StoreError`]; [`StoreError::NotBuilt`] where this build has no store of that kind.
pub fn open_read_only(location: &Location) -> Result<Box<dyn HistoryStore>, StoreError> {
    match location {
        #[cfg(feature = "sqlite")]
        Location::Sqlite(path) => Ok(Box::new(super::SqliteStore::open_read_only(path)?)),
        #[cfg(feature = "postgres")]
        Location::Postgres(url) => Ok(Box::new(super::PostgresStore::open_read_only(url)?)),
        #[allow(unreachable_patterns, reason = "with every feature on, there is no other")]
        other => Err(not_built(other)),
    }
}

#[allow(dead_code, reason = "with every feature on, nothing is missing")]
fn not_built(location: &Location) -> StoreError {
    let kind = match location {
        Location::Sqlite(_) => "sqlite",
        Location::Postgres(_) => "postgres",
    };
    StoreError::NotBuilt { kind }
}
