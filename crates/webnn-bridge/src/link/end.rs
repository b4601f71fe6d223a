//! How a page ended.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// Why a page is not there any more. The first cause counts; what follows from it is not reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageEnd {
    /// The page closed its control connection, or the connection broke.
    #[error("the control connection closed{}", code.map(|code| format!(" ({code})")).unwrap_or_default())]
    Disconnected {
        /// The WebSocket close code, where one came.
        code: Option<u16>,
    },
    /// The page did not answer a ping in time: it hangs, or its process is stopped.
    #[error("the page did not answer a ping within {after_ms} ms")]
    Silent {
        /// How long was waited.
        after_ms: u64,
    },
    /// An engine of the page failed after it had been admitted.
    #[error("an engine of the page failed: {reason}")]
    EngineLost {
        /// The page's words.
        reason: String,
    },
    /// The page does not keep to the protocol.
    #[error("protocol violation: {what}")]
    Protocol {
        /// What was wrong.
        what: String,
    },
    /// The driver process ended.
    #[error("the browser's driver ended")]
    DriverEnded,
    /// The browser ended, or closed its tab; its driver says so.
    #[error("the browser ended or closed its tab")]
    BrowserEnded,
    /// A page of the same launch said hello again: this one was reloaded or lost its connection.
    #[error("the page was replaced by a newer one of the same browser")]
    Replaced,
    /// It is a guest's, and said goodbye.
    #[error("the guest has left")]
    Left,
    /// It is a guest's, and was put out.
    #[error("the guest was put out: {why}")]
    PutOut {
        /// Why.
        why: String,
    },
    /// We closed it.
    #[error("closed by the host")]
    Closed,
}

/// The end of a page, once: a cause and a signal.
#[derive(Debug, Default)]
pub(crate) struct EndSignal {
    cause: OnceLock<PageEnd>,
    signal: CancellationToken,
}

impl EndSignal {
    /// Ends the page. The cause is published before anybody is woken.
    pub(crate) fn end(&self, cause: PageEnd) {
        let _ = self.cause.set(cause);
        self.signal.cancel();
    }

    /// The cause, if the page has ended.
    pub(crate) fn cause(&self) -> Option<&PageEnd> {
        self.cause.get()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) -> PageEnd {
        self.signal.cancelled().await;
        self.cause.get().cloned().unwrap_or(PageEnd::Closed)
    }
}
