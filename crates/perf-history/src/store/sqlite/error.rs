//! What SQLite reports, as errors of a store.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use super::super::columns::BadRow;
use crate::StoreError;

/// Why a step failed, before it is known which database and what was being done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] Error),
    #[error(transparent)]
    Row(#[from] BadRow),
}

impl Fault {
    /// The error of the store in this file.
    pub(super) fn at(self, path: &Path, operation: &'static str) -> StoreError {
        let place = path.display().to_string();
        let error = match self {
            Self::Sql(error) => error,
            Self::Row(source) => return StoreError::Failed { place, operation, source: Box::new(source) },
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { place, source: Box::new(error) },
            // With no room for the shared memory beside the file, SQLite speaks of input and output.
            Some(ErrorCode::SystemIoFailure) if is_shared_memory(&error) => {
                StoreError::Full { place, source: Box::new(error) }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Unusable { place, reason: format!("it is damaged ({error})") }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::Open { path: path.to_owned(), source: Box::new(error) }
            }
            _ => StoreError::Failed { place, operation, source: Box::new(error) },
        }
    }
}

fn is_shared_memory(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE)
}
