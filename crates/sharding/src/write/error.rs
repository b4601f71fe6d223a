//! Why parts could not be written.

use std::io;
use std::path::PathBuf;

/// A file that could not be written, or not be copied from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that the model consists of would be written over, or removed as a part of an older plan.
    #[error("{} is a file of the model itself: choose another folder", path.display())]
    WouldOverwrite {
        /// The file.
        path: PathBuf,
    },
    /// Weights cannot be read any more.
    #[error("cannot read weights from {}", path.display())]
    Weights {
        /// The file that has them.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The plan has no form as JSON.
    #[error("cannot write the plan to {}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}
