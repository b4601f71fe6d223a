//! The policy: which worker runs a request, which one loads a model, and when another load pays.
//!
//! Pure functions over plain numbers; everything that a cleverer policy would weigh belongs here.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use vocab::{Backend, SessionId, WorkerId};

/// A loaded session that could take a request now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunCandidate {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionId,
    /// The place of its arm: 0 for the best.
    pub(crate) tier: usize,
    /// What its worker's runs take lately, in milliseconds; `None` before the first.
    pub(crate) felt_ms: Option<f64>,
    /// How many runs its worker has already.
    pub(crate) pending: usize,
    /// How many loads its worker is busy with.
    pub(crate) loading: usize,
}

/// With more candidates than this, two drawn ones are compared instead of all.
const FEW: usize = 8;
/// What a run takes at the least, in milliseconds, so that what is pending always counts.
const LEAST_FELT: f64 = 0.1;

/// Which session runs the request: of those on the best arm, the one whose worker feels the least load, by peak-EWMA
/// latency × (pending + 1). Among many, of two drawn by `random`: the power of two choices keeps everybody from running
/// to the same worker (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).
pub(crate) fn pick_run(candidates: impl Iterator<Item = RunCandidate>, random: u64) -> Option<RunCandidate> {
    let mut best: Vec<RunCandidate> = Vec::new();
    for candidate in candidates {
        match best.first().map(|first| candidate.tier.cmp(&first.tier)) {
            Some(Ordering::Greater) => continue,
            Some(Ordering::Less) => best.clear(),
            _ => {}
        }
        best.push(candidate);
    }
    // A worker that has run nothing yet is taken to be as fast as the fastest.
    let fastest = best.iter().filter_map(|c| c.felt_ms).fold(f64::INFINITY, f64::min);
    let fastest = if fastest.is_finite() { fastest } else { 0.0 };
    let load = |c: &RunCandidate| c.felt_ms.unwrap_or(fastest).max(LEAST_FELT) * (c.pending + 1) as f64;
    let lighter = |a: &RunCandidate, b: &RunCandidate| {
        let key = |c: &RunCandidate| (c.pending, c.loading, c.worker, c.session);
        load(a).total_cmp(&load(b)).then_with(|| key(a).cmp(&key(b)))
    };
    let n = best.len();
    if n <= FEW {
        return best.into_iter().min_by(lighter);
    }
    let first = (mix(random) % n as u64) as usize;
    let second = (first + 1 + (mix(random ^ u64::MAX) % (n as u64 - 1)) as usize) % n;
    [best[first], best[second]].into_iter().min_by(lighter)
}

/// Spreads consecutive numbers over all of them (the finalizer of SplitMix64).
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
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
    /// The place of the arm: 0 for the best.
    pub(crate) tier: usize,
    pub(crate) room: Room,
    /// Whether loading this model failed there a moment ago.
    pub(crate) avoided: bool,
    pub(crate) pending: usize,
    pub(crate) loading: usize,
    pub(crate) free_bytes: u64,
}

/// Which worker loads the model: one that did not just fail to, that need not drive out what is in use, that has the
/// best arm, that has room, and that has the least to do.
pub(crate) fn pick_load(candidates: impl Iterator<Item = LoadCandidate>) -> Option<LoadCandidate> {
    candidates.min_by_key(|c| {
        let drains = c.room == Room::Drain;
        (c.avoided, drains, c.tier, c.room, c.pending + c.loading, Reverse(c.free_bytes), c.worker)
    })
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
