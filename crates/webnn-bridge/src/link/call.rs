//! One call over an engine, from the frame to the answer, under a deadline and a cancellation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pool_core::LinkError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::FailureKind;

use super::engine::{Answer, Engine, Expected};
use super::page::PageState;
use crate::protocol::{ErrorMeta, kind};

/// What a call needs besides its bytes.
pub(super) struct CallTerms<'a> {
    /// The kind of frame that answers it.
    pub(super) answer: u16,
    /// What is being waited for, in a timeout's words.
    pub(super) phase: &'static str,
    /// How long it usually takes at most, where that is known.
    pub(super) usual: Option<Duration>,
    pub(super) deadline: Instant,
    pub(super) cancel: &'a CancellationToken,
}

/// How a wait was given up.
enum GivenUp {
    Cancelled,
    TimedOut,
}

impl PageState {
    /// Sends `frame` as call `id` and waits for the answer.
    ///
    /// When the call is given up, the page is asked to give it up too, and this waits until the page has confirmed, so
    /// that the worker's slot is really free. A page that does not confirm within the cancellation grace has its engine
    /// ended and started anew. A call that still waits behind another is given up at once. A load that the page finished
    /// before it could hear is returned as loaded.
    pub(super) async fn call(
        &self,
        engine: &Arc<Engine>,
        id: u64,
        frame: Bytes,
        terms: CallTerms<'_>,
    ) -> Result<Answer, LinkError> {
        let started = Instant::now();
        let Some(mut expected) = engine.expect(id, frame.clone(), terms.usual) else {
            return Err(self.gone(engine).await);
        };
        let give_up = async {
            tokio::select! {
                () = terms.cancel.cancelled() => GivenUp::Cancelled,
                () = tokio::time::sleep_until(terms.deadline) => GivenUp::TimedOut,
            }
        };
        tokio::pin!(give_up);

        let given_up = tokio::select! {
            biased;
            () = engine.send(id, frame) => None,
            given_up = &mut give_up => Some(given_up),
        };
        let given_up = match given_up {
            None => tokio::select! {
                biased;
                reply = expected.reply() => {
                    return match reply {
                        Some(answer) => read_answer(answer, terms.answer),
                        None => Err(self.gone(engine).await),
                    };
                }
                given_up = &mut give_up => given_up,
            },
            // The frame never went out: there is nothing on the page to give up.
            Some(given_up) => return Err(given_up.into_error(terms.phase, started.elapsed())),
        };

        if engine.has_before(id) {
            // The page works one call off after the other and has not come to this one. It reads the cancellation, which
            // dropping `expected` sends, before it does; waiting here would only wait for somebody else's call, and
            // ending the engine would end that one.
            return Err(given_up.into_error(terms.phase, started.elapsed()));
        }
        engine.cancel(id);
        match self.confirm_or_reset(engine, &mut expected).await {
            // The page was done before it could hear. A session that is there must be known.
            Some(answer) if answer.frame.kind == kind::LOADED => read_answer(answer, terms.answer),
            _ => Err(given_up.into_error(terms.phase, started.elapsed())),
        }
    }

    /// Waits until the page has let go of a call, and ends the engine if it does not.
    async fn confirm_or_reset(&self, engine: &Arc<Engine>, expected: &mut Expected) -> Option<Answer> {
        if let Ok(reply) = tokio::time::timeout(self.limits().cancel_grace, expected.reply()).await {
            return reply;
        }
        self.reset_engine(engine.backend()).await;
        // The page confirms by ending the worker, which closes its connection. A page that does not do even that is
        // silent, and the heartbeat ends it.
        let _ = tokio::time::timeout(self.limits().cancel_grace, engine.closed()).await;
        None
    }

    /// Why a call over a closed engine failed: the page is gone, or only this engine was ended and the session with it.
    async fn gone(&self, engine: &Engine) -> LinkError {
        match self.vanished().await {
            Some(vanished) => vanished,
            None => LinkError::Reported {
                kind: FailureKind::NoSuchSession,
                message: format!("the page's {} engine was ended and started anew", engine.backend()),
            },
        }
    }
}

impl GivenUp {
    fn into_error(self, phase: &'static str, after: Duration) -> LinkError {
        match self {
            Self::Cancelled => LinkError::Cancelled,
            Self::TimedOut => LinkError::TimedOut { phase, after },
        }
    }
}

/// Tells an answer from an error.
fn read_answer(answer: Answer, wanted: u16) -> Result<Answer, LinkError> {
    match answer.frame.kind {
        found if found == wanted => Ok(answer),
        kind::ERROR => Err(match serde_json::from_slice::<ErrorMeta>(&answer.frame.meta) {
            Ok(ErrorMeta { kind: FailureKind::Cancelled, .. }) => LinkError::Cancelled,
            Ok(ErrorMeta { kind, message }) => LinkError::Reported { kind, message },
            Err(error) => protocol_error(format!("unreadable error: {error}")),
        }),
        other => Err(protocol_error(format!("answer of kind {other:#x}, not {wanted:#x}"))),
    }
}

/// The page answered something that the protocol does not have.
pub(super) fn protocol_error(message: String) -> LinkError {
    LinkError::Reported { kind: FailureKind::Protocol, message }
}
