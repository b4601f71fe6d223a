//! What goes into the core and what comes out of it.

use std::sync::Arc;
use std::time::Instant;

use perf_history::Observation;
use telemetry::{Event, LeaveCause};
use tensor::Bindings;
use vocab::{Backend, DeviceKind, RequestId, SessionId, WorkerId};

use crate::{Constraints, Held, Marks, Model, RunError, RunReport};

/// One run of one request on one worker: the right to one of its slots. A request that is tried again gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub(crate) u64);

impl std::fmt::Display for LeaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// A request as the core sees it: everything but the tensors.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "whoever drives the core builds it in full")]
pub struct Submission {
    /// What to run.
    pub model: Arc<Model>,
    /// The sizes of the model's symbolic dimensions.
    pub dims: Arc<Bindings>,
    /// Where, how urgently and how long.
    pub constraints: Constraints,
    /// Whether loading the model is all that is wanted.
    pub preload: bool,
    /// The bytes of the inputs.
    pub bytes_in: u64,
    /// The only worker that will do, where one is named.
    pub worker: Option<WorkerId>,
    /// Whether what is computed depends on what was computed before, so that doing it twice is another thing.
    pub stateful: bool,
}

/// What a run that succeeded gave, but for the tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "whoever drives the core builds it in full")]
pub struct RunEnd {
    /// What the page spent computing, in milliseconds.
    pub in_page_ms: f64,
    /// The bytes of the outputs.
    pub bytes_out: u64,
    /// When its parts were, where the link told.
    pub marks: Option<Marks>,
}

/// How closely the answer of a run is looked at before it counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scrutiny {
    /// Not at all: the worker is the owner's, or is trusted.
    None,
    /// It must be of the form that the model says.
    Form,
    /// And it is held until one of [`Core::confirmers`](super::Core::confirmers) has computed the same. One that was
    /// confirmed is told of by [`Core::confirmed`](super::Core::confirmed) before its end; one that could not be ends with
    /// an error.
    Confirm,
}

/// Something for the driver to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Call the worker's `load`, then [`Core::load_done`](super::Core::load_done).
    Load {
        /// On which worker.
        worker: WorkerId,
        /// The session to create.
        session: SessionId,
        /// What to load.
        model: Arc<Model>,
        /// On which backend.
        backend: Backend,
        /// The device to ask for.
        device: Option<DeviceKind>,
        /// The bound dimensions; empty where the shapes are dynamic.
        dims: Arc<Bindings>,
        /// When the core will cancel it.
        deadline: Instant,
    },
    /// Fire the `cancel` of a load.
    CancelLoad {
        /// Which load.
        session: SessionId,
    },
    /// Call the worker's `run`, then [`Core::run_done`](super::Core::run_done).
    Run {
        /// On which worker.
        worker: WorkerId,
        /// The lease to report the end of.
        lease: LeaseId,
        /// For which request.
        request: RequestId,
        /// Which session to run.
        session: SessionId,
        /// When the core will cancel it.
        deadline: Instant,
        /// How closely its answer is to be looked at before it counts as one.
        scrutiny: Scrutiny,
    },
    /// Fire the `cancel` of a run.
    CancelRun {
        /// Which run.
        lease: LeaseId,
    },
    /// Call the worker's `unload`, then [`Core::unload_done`](super::Core::unload_done).
    Unload {
        /// On which worker.
        worker: WorkerId,
        /// Which session.
        session: SessionId,
    },
    /// Drop everything that is in flight on a worker that is out of the pool.
    Forget {
        /// Which worker.
        worker: WorkerId,
        /// Why it is out.
        cause: LeaveCause,
        /// What it had loaded, oldest first.
        held: Vec<Held>,
    },
    /// Check a session that has just answered a request, before the request is given its answer, then
    /// [`Core::checked`](super::Core::checked) and [`Core::quarantine`](super::Core::quarantine), where something was found
    /// out, and in any case [`Core::check_done`](super::Core::check_done).
    Check {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: SessionId,
        /// The request that it has just answered.
        request: RequestId,
        /// The model.
        model: Arc<Model>,
        /// Whether the session takes only the sizes of this request.
        fixed: bool,
        /// The sizes.
        dims: Arc<Bindings>,
        /// Sessions of other workers that take the same request, the best to ask first.
        others: Vec<(WorkerId, SessionId)>,
        /// How many checks of this session there were before.
        turn: u64,
    },
    /// Give a request its one answer.
    Finish {
        /// Which request.
        request: RequestId,
        /// The answer. The outputs are with the driver.
        result: Box<Result<RunReport, RunError>>,
    },
    /// Keep what was observed.
    Observe(Box<Observation>),
    /// Tell telemetry.
    Emit(Event),
}
