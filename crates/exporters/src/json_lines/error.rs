//! Why a log could not be begun.

use std::path::PathBuf;

/// Why a log of events could not be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file could not be opened for appending, or not be created.
    #[error("cannot append to {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gave no thread.
    #[error("cannot start the thread that writes events")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}
