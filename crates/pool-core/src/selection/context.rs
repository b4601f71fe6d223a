//! What a policy remembers about one model and shape bucket.

use std::collections::HashMap;
use std::sync::Arc;

use perf_history::{Arm, Observation, Operation, Outcome, Verdict};

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
    tried: HashMap<Arc<Arm>, Tried>,
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

    /// Takes note of a run, and of what a first one took.
    pub(crate) fn observe(&mut self, observation: &Observation) {
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
