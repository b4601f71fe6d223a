//! What can go wrong with a recorder.

use std::sync::Arc;

use crate::StoreError;

/// Why a recorder could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is zero.
    #[error("{setting} of a recorder must not be 0")]
    Zero {
        /// The setting's name.
        setting: &'static str,
    },
    /// A setting is larger than another one that bounds it.
    #[error("{small} of a recorder ({found}) must not be larger than its {large} ({most})")]
    TooLarge {
        /// The setting's name.
        small: &'static str,
        /// What it was set to.
        found: String,
        /// The name of the setting that bounds it.
        large: &'static str,
        /// What that was set to.
        most: String,
    },
    /// The system gave no thread.
    #[error("could not start the thread that writes observations")]
    Thread(#[source] std::io::Error),
}

/// Why not everything that was recorded before a flush is durable.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The store failed. The observations are kept, and writing them is tried again.
    #[error("observations could not be written yet, and are kept")]
    Store(#[source] Arc<StoreError>),
    /// The recorder ended before they were written; they are lost.
    #[error("the recorder ended before its observations were written")]
    Ended,
}

/// Why a recorder did not end as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The time was up before everything was written.
    #[error("{lost} observations could not be written before the recorder ended")]
    Unwritten {
        /// How many.
        lost: u64,
        /// Why the last try failed; `None` where the store was only too slow.
        #[source]
        source: Option<Arc<StoreError>>,
    },
    /// The store panicked.
    #[error("the store panicked; {lost} observations are lost")]
    Panicked {
        /// How many observations were not written.
        lost: u64,
    },
}
