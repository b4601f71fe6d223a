//! What can go wrong with an exporter for its owner.

use std::time::Duration;

/// Why an exporter could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The collector's address is neither `http` nor `https`.
    #[error("a collector's address begins with http:// or https://, not with {scheme}:")]
    Endpoint {
        /// What it begins with.
        scheme: String,
    },
    /// A setting that must be at least one is zero.
    #[error("`{name}` must not be zero")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// A header cannot be sent over HTTP; its value is not shown, because it may be a secret.
    #[error("header {name:?} cannot be sent over HTTP")]
    Header {
        /// Its name.
        name: String,
    },
    /// The HTTP client could not be made, for example because the system's certificates cannot be read.
    #[error("cannot make an HTTP client")]
    Client {
        /// What it said.
        source: reqwest::Error,
    },
    /// There is no tokio runtime that could run the exporter's tasks.
    #[error("an exporter needs a tokio runtime to run in")]
    Runtime {
        /// What tokio said.
        source: tokio::runtime::TryCurrentError,
    },
}

/// Why an exporter did not deliver everything before it ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The time for that was over. The spans count as lost.
    #[error("{spans} spans were not delivered within {limit:?}")]
    Unflushed {
        /// How many spans were not delivered.
        spans: u64,
        /// How long it was tried.
        limit: Duration,
    },
}
