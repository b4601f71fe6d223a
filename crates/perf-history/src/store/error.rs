//! What can go wrong with a store.

use std::path::PathBuf;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or the schema on the server is something else, or damaged. It was not touched.
    #[error("{place} is not a usable history: {reason}; move it away, or name another one")]
    Unusable {
        /// Which database.
        place: String,
        /// What was found.
        reason: String,
    },
    /// A newer version of this software has written it. It was not touched.
    #[error("{place} has schema {found}, and this version knows up to {known}: use a newer version")]
    Newer {
        /// Which database.
        place: String,
        /// The version of its schema.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// The folder of the file does not exist, or is not writable.
    #[error("could not open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no room on the disk.
    #[error("no room is left for {place}")]
    Full {
        /// Which database.
        place: String,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server could not be reached, or the connection to it broke.
    #[error("no connection to {place}")]
    Unreachable {
        /// Which database, without its password.
        place: String,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke while the server was committing, and no other one could be had to ask whether it did.
    #[error("{place} did not say whether it committed: do the same again")]
    Unconfirmed {
        /// Which database, without its password.
        place: String,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement failed.
    #[error("{place} could not {operation}")]
    Failed {
        /// Which database, without its password.
        place: String,
        /// What was being done, for example `add observations`.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This build has no store of that kind.
    #[error("this build has no {kind} store")]
    NotBuilt {
        /// `sqlite` or `postgres`.
        kind: &'static str,
    },
}

impl StoreError {
    /// Whether it would work with more room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
