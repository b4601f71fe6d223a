//! What a policy is tried in: for every request and every arm, what would happen there.

use std::sync::Arc;

use perf_history::Arm;
use pool_core::selection::ContextKey;
use vocab::ModelType;

/// One run that would happen if the request went to that arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// What a warm run takes, in milliseconds.
    pub(crate) ms: f64,
    pub(crate) fails: bool,
}

/// What happens in the course of a world, for the figures that look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planted {
    /// From which request on.
    pub(crate) at: usize,
    /// The arm that became worse.
    pub(crate) arm: usize,
}

/// Arms, and what each would do with each request. Every policy meets the same.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) key: ContextKey,
    pub(crate) model_type: Option<ModelType>,
    pub(crate) arms: Vec<Arc<Arm>>,
    /// How many times as long as a warm run the first one takes, for each arm.
    pub(crate) cold: Vec<f64>,
    /// By request, then by arm.
    pub(crate) draws: Vec<Vec<Draw>>,
    /// What a run costs in expectation, in milliseconds, failures included; by request, then by arm.
    pub(crate) expected: Vec<Vec<f64>>,
    pub(crate) regression: Option<Planted>,
}

/// A failed run costs the time that it took, a run on the best arm, and this many times as much again.
const FAILURE: f64 = 4.0;

impl World {
    /// The arm that a clairvoyant would take.
    pub(crate) fn best(&self, request: usize) -> usize {
        let expected = &self.expected[request];
        (0..expected.len()).min_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap_or(0)
    }

    /// Whether an arm is as good as the best one, within 3 %.
    pub(crate) fn is_good(&self, request: usize, arm: usize) -> bool {
        self.expected[request][arm] <= self.expected[request][self.best(request)] * 1.03
    }

    /// What a request costs on an arm, in milliseconds, where its run takes `ms`.
    pub(crate) fn cost(&self, request: usize, arm: usize, ms: f64) -> f64 {
        if !self.draws[request][arm].fails {
            return ms;
        }
        ms + self.draws[request][self.best(request)].ms * (1.0 + FAILURE)
    }

    /// What the clairvoyant pays: always the arm that is best in expectation, and its sessions are warm.
    pub(crate) fn oracle_ms(&self) -> f64 {
        let cost = |request| {
            let best = self.best(request);
            self.cost(request, best, self.draws[request][best].ms)
        };
        (0..self.draws.len()).map(cost).sum()
    }

    /// The arm that would have been best to stay with, in hindsight.
    pub(crate) fn best_fixed(&self) -> usize {
        let total = |arm: usize| -> f64 {
            (0..self.draws.len()).map(|request| self.cost(request, arm, self.draws[request][arm].ms)).sum()
        };
        let totals: Vec<f64> = (0..self.arms.len()).map(total).collect();
        (0..totals.len()).min_by(|&a, &b| totals[a].total_cmp(&totals[b])).unwrap_or(0)
    }

    /// What a failure adds to the expectation of an arm whose share of failures is `share`, in milliseconds.
    pub(crate) fn failure_ms(share: f64, best_ms: f64) -> f64 {
        share * best_ms * (1.0 + FAILURE)
    }
}
