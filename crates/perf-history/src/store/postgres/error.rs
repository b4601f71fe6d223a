//! What PostgreSQL reports, as errors of a store.

use std::error::Error as _;

use postgres::Error;
use postgres::error::SqlState;

use super::super::columns::BadRow;
use super::open::VERSION;
use crate::StoreError;

/// Why a step failed, before it is known which database and what was being done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] Error),
    #[error(transparent)]
    Row(#[from] BadRow),
    /// The connection could not be made.
    #[error("no connection")]
    Connect(#[source] Error),
    /// No encryption could be set up.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The connection broke before the answer to a commit came.
    #[error("no answer to a commit")]
    Unconfirmed(#[source] Error),
    /// What is there is not ours; the text says what it is.
    #[error("{0}")]
    Unusable(String),
    /// A newer version has written it.
    #[error("schema {0}")]
    Newer(i64),
}

impl Fault {
    /// The error of the store in this place.
    pub(super) fn at(self, place: &str, operation: &'static str) -> StoreError {
        let place = place.to_owned();
        let error = match self {
            Self::Sql(error) => error,
            Self::Row(source) => return StoreError::Failed { place, operation, source: Box::new(source) },
            Self::Tls(error) => return StoreError::Unreachable { place, source: Box::new(error) },
            Self::Connect(error) => return StoreError::Unreachable { place, source: Box::new(error) },
            Self::Unconfirmed(error) => return StoreError::Unconfirmed { place, source: Box::new(error) },
            Self::Unusable(reason) => return StoreError::Unusable { place, reason },
            Self::Newer(found) => return StoreError::Newer { place, found, known: VERSION },
        };
        let lost = is_lost(&error);
        match error.code() {
            Some(&SqlState::DISK_FULL) => StoreError::Full { place, source: Box::new(error) },
            Some(&(SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED)) => {
                StoreError::Unusable { place, reason: format!("it is damaged ({error})") }
            }
            _ if lost => StoreError::Unreachable { place, source: Box::new(error) },
            _ => StoreError::Failed { place, operation, source: Box::new(error) },
        }
    }

    /// Whether this connection is of no use any more.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Sql(error) => is_lost(error),
            Self::Connect(_) | Self::Unconfirmed(_) => true,
            Self::Row(_) | Self::Tls(_) | Self::Unusable(_) | Self::Newer(_) => false,
        }
    }
}

/// Whether the connection ended, for a reason of its own or because the server ended it.
pub(super) fn is_lost(error: &Error) -> bool {
    let ended = match error.code() {
        // Class 08 is about connections.
        Some(code) => {
            code.code().starts_with("08")
                || [
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::CANNOT_CONNECT_NOW,
                    SqlState::DATABASE_DROPPED,
                    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                ]
                .contains(code)
        }
        None => error.source().is_some_and(|source| source.is::<std::io::Error>()),
    };
    ended || error.is_closed()
}
