//! What a policy remembers about one model and shape bucket.

use std::collections::HashMap;
use std::sync::Arc;

use perf_history::{Arm, Observation, Operation, Outcome, Verdict};

use super::Why;

/// The course of decisions for one model and shape bucket.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub(crate) decisions: u64,
    pub(crate) leader: Option<Arc<Arm>>,
    /// Whether a request is under way that was sent somewhere to learn something.
    pub(crate) exploring: bool,
    /// What is left to explore with: one for each request.
    pub(crate) tokens: f64,
    /// How many runs were observed, those of earlier processes included.
    pub(crate) learned: u32,
    pub(crate) last_recheck: u64,
    /// An arm that was better than it was known to be, and how often to try it again at once.
    pub(crate) surprise: Option<(Arc<Arm>, u32)>,
    /// An arm that is being tried.
    pub(crate) burst: Option<Burst>,
    /// Where the last run was sent, and whether that was to learn something.
    last: Option<(Arc<Arm>, bool)>,
    /// For how many milliseconds of computing, and how many runs at the most, that arm's times still say little.
    unsettled: (f64, u32),
    tried: HashMap<Arc<Arm>, Tried>,
}

/// Several requests in a row for an arm that is being tried.
#[derive(Debug, Clone)]
pub(crate) struct Burst {
    pub(crate) arm: Arc<Arm>,
    pub(crate) why: Why,
    /// How many latencies are still wanted.
    pub(crate) wanted: u32,
    /// How many requests it may still get.
    pub(crate) left: u32,
    /// Whether they use up what there is to explore with.
    pub(crate) costs: bool,
    /// A run that takes this long, in milliseconds, is all that there was to learn.
    pub(crate) still_ms: Option<f64>,
}

/// What is remembered about one arm.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tried {
    /// The number of the decision that last sent a request there.
    pub(crate) last: u64,
    /// What the first run of a session took, in milliseconds, at the least.
    pub(crate) cold_ms: Option<f64>,
    /// The number of the decision by which it lost the lead.
    pub(crate) demoted: Option<u64>,
}

/// After this many runs an arm counts as settled, however short they were.
const SETTLE_RUNS: u32 = 3;
/// How many arms are remembered in one context.
const MOST: usize = 256;

impl Context {
    /// How many decisions were made.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Whether a request is under way that was sent somewhere to learn something.
    #[must_use]
    pub fn is_exploring(&self) -> bool {
        self.exploring
    }

    /// How many decisions ago a request was last sent to an arm; all of them where none was.
    #[must_use]
    pub fn since_tried(&self, arm: &Arm) -> u64 {
        self.decisions.saturating_sub(self.tried(arm).last)
    }

    pub(crate) fn tried(&self, arm: &Arm) -> Tried {
        self.tried.get(arm).copied().unwrap_or_default()
    }

    pub(crate) fn note(&mut self, arm: &Arc<Arm>, change: impl FnOnce(&mut Tried)) {
        if !self.tried.contains_key(arm) && self.tried.len() >= MOST {
            let oldest =
                self.tried.iter().min_by_key(|(_, tried)| tried.last).map(|(arm, _)| Arc::clone(arm));
            oldest.map(|arm| self.tried.remove(&arm));
        }
        change(self.tried.entry(Arc::clone(arm)).or_default());
    }

    /// Takes note of where a run is sent. Answers whether its time will be that of an arm that is used all the time.
    pub(crate) fn note_run(&mut self, arm: &Arc<Arm>, explores: bool, settle_ms: f64) -> bool {
        let before = self.last.replace((Arc::clone(arm), explores));
        if before.is_some_and(|(before, explored)| before != *arm && (explores || explored)) {
            self.unsettled = (settle_ms, SETTLE_RUNS);
        }
        let (ms, runs) = &mut self.unsettled;
        let settled = *ms <= 0.0 || *runs == 0;
        *runs = runs.saturating_sub(1);
        settled
    }

    /// Takes note of a run, and of what a first one took.
    pub(crate) fn observe(&mut self, observation: &Observation) {
        if let (Some((last, _)), Some(ms)) = (&self.last, observation.in_page_ms)
            && *last == observation.arm
        {
            self.unsettled.0 -= ms.max(0.0);
        }
        if let Some(burst) = self.burst.as_mut().filter(|burst| burst.arm == observation.arm) {
            burst.wanted = burst.wanted.saturating_sub(u32::from(observation.latency_ms().is_some()));
            let took = observation.service_ms.or(observation.in_page_ms);
            let still = took.zip(burst.still_ms).is_some_and(|(took, still)| took >= still);
            if burst.wanted == 0 || still || observation.outcome.verdict() == Verdict::Failure {
                self.burst = None;
            }
        }
        if observation.operation == Operation::Run && observation.outcome.verdict() != Verdict::Neutral {
            self.learned = self.learned.saturating_add(1);
        }
        let first = observation.operation == Operation::Run && !observation.warm;
        if first
            && observation.outcome == Outcome::Ok
            && let Some(ms) = observation.in_page_ms.filter(|ms| ms.is_finite())
        {
            self.note(&observation.arm, |tried| {
                tried.cold_ms = Some(tried.cold_ms.map_or(ms, |least| least.min(ms)));
            });
        }
    }
}
