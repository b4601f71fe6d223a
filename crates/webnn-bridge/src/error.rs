//! Why the bridge could not be started.

use std::io;

/// Why [`Bridge::start`](crate::Bridge::start) failed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The page server could not listen.
    #[error("could not listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The run directory or its watchdog could not be made.
    #[error("could not make a run directory in {}", parent.display())]
    RunDir {
        /// Where.
        parent: std::path::PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}
