//! How a decision is told.

use perf_history::{Source, Standing};
use vocab::{Backend, BrowserName, DeviceKind, PolicyName, WorkerId};

use super::Why;

/// The table that a decision was made from, and its outcome.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// The policy that decided.
    pub policy: PolicyName,
    /// Why the arm was chosen.
    pub why: Why,
    /// What the latency of the model is compared within: its sizes, rounded up to powers of two.
    pub shape: String,
    /// The worker that was chosen.
    pub worker: WorkerId,
    /// Every arm that could have computed the request, best first.
    pub candidates: Vec<Candidate>,
}

/// One arm of a [`Decision`].
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its browser.
    pub browser: BrowserName,
    /// The browser's version.
    pub browser_version: String,
    /// Its backend.
    pub backend: Backend,
    /// The device that it computes on.
    pub device_effective: DeviceKind,
    /// Whether it computed the request.
    pub chosen: bool,
    /// 0.7 · success + 0.3 · latency, by default; 0 to 1.
    pub score: f64,
    /// What the score rests on.
    pub source: Source,
    /// How many runs were observed, ever.
    pub samples: u64,
    /// What they are worth now, as a number of fresh ones.
    pub effective_samples: f64,
    /// The decayed share of successes; `None` before the first sample.
    pub success_rate: Option<f64>,
    /// The lower end of its interval, which counts.
    pub success_low: Option<f64>,
    /// The decayed geometric mean of latencies, in milliseconds; `None` before the first warm run.
    pub latency_ms: Option<f64>,
    /// The latency that is expected, in milliseconds; `None` where nothing is known about any of the arms.
    pub expected_ms: Option<f64>,
    /// Workers of this arm that could compute the request.
    pub workers: usize,
    /// Those of them that have its model loaded.
    pub loaded: usize,
    /// Runs that these workers have.
    pub pending: usize,
}

impl Candidate {
    pub(crate) fn of(row: &Standing, chosen: bool) -> Self {
        let estimate = row.estimate;
        Self {
            browser: row.arm.browser,
            browser_version: row.arm.browser_version.to_string(),
            backend: row.arm.backend,
            device_effective: row.arm.device_effective.clone(),
            chosen,
            score: row.score,
            source: row.source,
            samples: estimate.map_or(0, |estimate| estimate.samples),
            effective_samples: estimate.map_or(0.0, |estimate| estimate.effective_samples),
            success_rate: estimate.map(|estimate| estimate.success_rate),
            success_low: estimate.map(|estimate| estimate.success.low),
            latency_ms: estimate.and_then(|estimate| estimate.latency_ms),
            expected_ms: row.expected_ms,
            workers: 0,
            loaded: 0,
            pending: 0,
        }
    }
}
