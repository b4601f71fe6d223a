//! The policy: which worker runs a request, which one loads a model, and when another load pays.
//!
//! Pure functions over plain numbers; everything that a cleverer policy would weigh belongs here.

use std::cmp::Reverse;
use std::time::Duration;

use vocab::{Backend, SessionId, WorkerId};

/// A loaded session that could take a request now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunCandidate {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionId,
    /// How many runs its worker has already.
    pub(crate) pending: usize,
    /// How many loads its worker is busy with.
    pub(crate) loading: usize,
}

/// Which session runs the request: the one whose worker has the least to do.
pub(crate) fn pick_run(candidates: impl Iterator<Item = RunCandidate>) -> Option<RunCandidate> {
    candidates.min_by_key(|c| (c.pending, c.loading, c.worker, c.session))
}

/// What it takes to make room for a session on a worker, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// There is room.
    Free,
    /// Sessions that nobody uses have to go.
    Evict,
    /// Sessions that are in use have to go as soon as their runs have ended.
    Drain,
}

/// A worker that could load a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadCandidate {
    pub(crate) worker: WorkerId,
    pub(crate) backend: Backend,
    pub(crate) room: Room,
    /// Whether loading this model failed there a moment ago.
    pub(crate) avoided: bool,
    pub(crate) pending: usize,
    pub(crate) loading: usize,
    pub(crate) free_bytes: u64,
}

/// Which worker loads the model: one that did not just fail to, that has room, and that has the least to do.
pub(crate) fn pick_load(candidates: impl Iterator<Item = LoadCandidate>) -> Option<LoadCandidate> {
    candidates.min_by_key(|c| (c.avoided, c.room, c.pending + c.loading, Reverse(c.free_bytes), c.worker))
}

/// How much a model is wanted, and what serving it costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// Requests of the model in the queue.
    pub(crate) waiting: usize,
    /// Sessions that serve them, or soon will.
    pub(crate) live: usize,
    /// How long the request at hand has waited.
    pub(crate) waited: Duration,
    /// What one run takes; `None` before the first.
    pub(crate) run_ms: Option<f64>,
    /// What one load takes; `None` before the first.
    pub(crate) load_ms: Option<f64>,
    /// How long to wait where nothing is known.
    pub(crate) patience: Duration,
}

/// Whether another worker should load a model that is already loaded, or loading, elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Yes, now.
    Load,
    /// Not yet: look again after this time.
    Wait(Duration),
}

/// With nothing known about a model, this many waiting requests per session are taken to be worth a load.
const DEEP: usize = 16;

/// A load pays when the requests that wait would otherwise take longer than the load, or have done so already.
pub(crate) fn another_load_pays(demand: &Demand) -> Verdict {
    if demand.live == 0 {
        return Verdict::Load;
    }
    let cost = demand.load_ms.map_or(demand.patience, |ms| Duration::from_secs_f64(ms.clamp(0.0, 1e9) / 1e3));
    let Some(left) = cost.checked_sub(demand.waited).filter(|left| !left.is_zero()) else {
        return Verdict::Load;
    };
    let deep = match (demand.run_ms, demand.load_ms) {
        (Some(run_ms), Some(load_ms)) => run_ms * demand.waiting as f64 / demand.live as f64 > load_ms,
        _ => demand.waiting > DEEP * demand.live,
    };
    if deep { Verdict::Load } else { Verdict::Wait(left) }
}
