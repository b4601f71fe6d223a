//! The seam between the pool and whatever carries a call to a worker.

use std::sync::Arc;
use std::time::Duration;

use tensor::{Bindings, NamedTensor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Backend, CachesAt, DeviceKind, FailureKind, RequestId, SequenceId, SessionId, Step};

use crate::Model;

/// Carries calls to one worker.
///
/// The pool calls it from many tasks at the same time, up to the worker's slots for [`run`](Self::run). A call's future
/// resolves only when the worker is really done with it: after `cancel` fires, when the page has confirmed that it
/// stopped (or its engine has been reset), so that the pool never counts a slot as free that is not. A worker that
/// keeps a cancelled call for longer than [`PoolConfig::cancel_grace`](crate::PoolConfig::cancel_grace) is taken out of
/// the pool. When a worker is out of the pool its pending futures are dropped.
///
/// The values that a reply carries must come from the session that the call names; the pool reports them as such.
pub trait WorkerLink: Send + Sync + 'static {
    /// Loads a model as the session that the call names.
    fn load(&self, call: LoadCall) -> impl Future<Output = Result<LoadReport, LinkError>> + Send;

    /// Runs a loaded session once.
    fn run(&self, call: RunCall) -> impl Future<Output = Result<RunReply, LinkError>> + Send;

    /// Drops a session and its memory. The pool never calls it for a session with a run in flight, and expects an
    /// answer within [`PoolConfig::unload_timeout`](crate::PoolConfig::unload_timeout).
    fn unload(&self, session: SessionId) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Drops the caches that a session has of a sequence. What is not there counts as dropped.
    fn release(
        &self,
        session: SessionId,
        sequence: SequenceId,
    ) -> impl Future<Output = Result<(), LinkError>> + Send;
}

/// A request to load a model.
#[derive(Debug, Clone)]
pub struct LoadCall {
    /// The id of the session to create. Never used before.
    pub session: SessionId,
    /// What to load.
    pub model: Arc<Model>,
    /// The backend to load it on; no other may be used instead.
    pub backend: Backend,
    /// The device to ask the backend for; `None` leaves it to the backend.
    pub device: Option<DeviceKind>,
    /// The sizes of the symbolic dimensions, for a backend with static shapes; empty where shapes are dynamic.
    pub dims: Arc<Bindings>,
    /// When the pool gives up and cancels.
    pub deadline: Instant,
    /// Fires when the pool has given up.
    pub cancel: CancellationToken,
}

/// How a load went.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// How long it took, as the page measured it.
    pub load_ms: f64,
    /// The memory that it took, where the page can tell. Counts where it is more than the model's own estimate.
    pub memory_bytes: Option<u64>,
    /// The number of nodes on each execution provider, where the runtime tells.
    pub placement: Vec<(String, u32)>,
    /// The device that was asked for.
    pub device_requested: Option<DeviceKind>,
    /// The device that the session computes on.
    pub device_effective: DeviceKind,
    /// Whatever else the page told, as it came.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

/// A request to run a session once.
#[derive(Debug, Clone)]
pub struct RunCall {
    /// The request, for logs and traces.
    pub request: RequestId,
    /// The session to run.
    pub session: SessionId,
    /// The inputs; they fit the model's signature.
    pub inputs: Arc<[NamedTensor]>,
    /// The names of the outputs that are wanted; `None` for all of them.
    pub outputs: Option<Arc<[Arc<str>]>>,
    /// The step that this is; `None` for a run that leaves nothing behind. A session whose caches are not those of the
    /// step answers [`FailureKind::CachesLost`], and computes nothing.
    pub step: Option<Step>,
    /// When the pool gives up and cancels.
    pub deadline: Instant,
    /// Fires when nobody waits for the result any more.
    pub cancel: CancellationToken,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct RunReply {
    /// The outputs that were wanted.
    pub outputs: Vec<NamedTensor>,
    /// What the page spent computing, in milliseconds.
    pub in_page_ms: f64,
    /// What the session's caches hold now, where the run was a step.
    pub caches: Option<CachesAt>,
    /// When the parts of the run were, where the link can tell.
    pub marks: Option<Marks>,
}

/// When the parts of a run were, all by the host's clock: a link whose workers have clocks of their own converts what
/// they tell. [`Timeline`](crate::Timeline) is what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The link began to send the call.
    pub sent: Instant,
    /// The worker had the call before it.
    pub arrived: Instant,
    /// The worker began to compute.
    pub started: Instant,
    /// The worker was done computing.
    pub ended: Instant,
    /// The worker began to send the answer.
    pub answered: Instant,
    /// The link had the whole answer before it.
    pub received: Instant,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The worker is not there any more. The pool takes it out at once.
    #[error("the worker vanished: {detail}")]
    Vanished {
        /// What was seen of it.
        detail: String,
    },
    /// The page answered that it failed.
    #[error("the page reported {kind}: {message}")]
    Reported {
        /// What kind of failure it is; the pool decides by it whether to try elsewhere.
        kind: FailureKind,
        /// The page's own words.
        message: String,
    },
    /// The link gave up waiting, and the worker is done with the call.
    #[error("no answer within {after:?} while {phase}")]
    TimedOut {
        /// What was being waited for, for example `fetching the model`.
        phase: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The call ended because `cancel` had fired.
    #[error("the call was cancelled")]
    Cancelled,
}
