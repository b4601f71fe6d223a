//! Why an attempt to revive a browser failed.

use std::time::Duration;

use pool_core::{LinkError, RunError};
use vocab::BrowserName;
use webnn_bridge::LaunchError;

/// Why a deed failed, or what it did not prove.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReviveError {
    /// There is no browser any more to do it to.
    #[error("there is no browser any more")]
    NoBrowser,
    /// The page did not answer.
    #[error("the page did not answer")]
    Ping(#[source] LinkError),
    /// The page did not come back by itself.
    #[error("the page did not connect again within {0:?}")]
    Absent(Duration),
    /// Its process has crashed, the driver says.
    #[error("the page has crashed")]
    Crashed,
    /// No page comes from this browser.
    #[error("no further page comes from the browser")]
    NoPage,
    /// The driver did not do it, or a browser did not start.
    #[error("{browser} could not be reached or launched")]
    Launch {
        /// Which.
        browser: BrowserName,
        /// Why not.
        #[source]
        source: LaunchError,
    },
    /// The pool has put the worker out.
    #[error("the worker is not in the pool")]
    LeftPool,
    /// No backend of the page gave the right numbers.
    #[error("no backend of the page gave the right numbers")]
    NoBackend,
    /// A model that had been loaded could not be loaded again.
    #[error("{model} could not be loaded again")]
    Model {
        /// Its name.
        model: String,
        /// Why not.
        #[source]
        source: RunError,
    },
}
