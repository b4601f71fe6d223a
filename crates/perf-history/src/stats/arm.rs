//! What is known about one model, in one shape bucket, on one arm.

use super::{Change, DecayedLatency, DecayedRate, Direction, Drift, Interval};
use crate::{Observation, Operation, UnixMillis, Verdict};

/// How fast what was observed is forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// Over how many samples successes are remembered. Default 100.
    pub successes: f64,
    /// Over how many samples latencies are remembered. Default 50.
    pub latencies: f64,
    /// After how many days without a sample what is known counts for half. Default 14.
    pub half_life_days: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { successes: 100.0, latencies: 50.0, half_life_days: 14.0 }
    }
}

impl Memory {
    /// What is left of a sample's weight after some time.
    fn left(&self, ms: u64) -> f64 {
        let days = ms as f64 / 86_400_000.0;
        if self.half_life_days > 0.0 { (-days / self.half_life_days).exp2() } else { 1.0 }
    }
}

/// The statistics of one arm for one model and shape bucket.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ArmStats {
    success: DecayedRate,
    latency: DecayedLatency,
    drift: Drift,
    samples: u64,
    last: Option<UnixMillis>,
    /// The latency before it became slower the last time, in milliseconds: what it may come back to.
    former_ms: Option<f64>,
}

/// What is thought of an arm at one moment.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "a policy is tested with estimates of its own making")]
pub struct Estimate {
    /// The decayed share of runs that succeeded.
    pub success_rate: f64,
    /// Wilson's interval of it.
    pub success: Interval,
    /// The decayed geometric mean of latencies, in milliseconds; `None` before the first warm run.
    pub latency_ms: Option<f64>,
    /// The interval of that.
    pub latency: Option<Interval>,
    /// All samples that were ever counted.
    pub samples: u64,
    /// What they are worth now, as a number of fresh ones.
    pub effective_samples: f64,
    /// The latency before it became slower, in milliseconds, as long as it has not become faster again.
    pub former_ms: Option<f64>,
}

impl ArmStats {
    /// Takes note of an observation of this arm. Answers whether its latency has changed lastingly. What says nothing
    /// about the arm, as an error of the caller's, changes nothing.
    pub fn observe(&mut self, observation: &Observation, memory: &Memory) -> Option<Change> {
        let success = match (observation.operation, observation.outcome.verdict()) {
            (_, Verdict::Neutral) | (Operation::Recovery, _) | (Operation::Load, Verdict::Success) => {
                return None;
            }
            (Operation::Run, Verdict::Success) => true,
            (Operation::Run | Operation::Load, Verdict::Failure) => false,
        };
        self.age(observation.at, memory);
        self.samples += 1;
        self.success.add(success, memory.successes);
        let ms = observation.latency_ms()?;
        let change = self.drift.notice(ms, &mut self.latency, memory.latencies);
        match &change {
            None => self.latency.add(ms, memory.latencies),
            Some(change) => {
                self.former_ms = match change.direction {
                    Direction::Slower => {
                        Some(self.former_ms.map_or(change.before_ms, |ms| ms.min(change.before_ms)))
                    }
                    Direction::Faster => None,
                };
            }
        }
        change
    }

    /// Lets the time since the last sample count.
    fn age(&mut self, at: UnixMillis, memory: &Memory) {
        if let Some(last) = self.last {
            let left = memory.left(at.since(last));
            if left < 1.0 {
                self.success.fade(left);
                self.latency.fade(left);
            }
        }
        self.last = self.last.max(Some(at));
    }

    /// What is thought of it at `now`, with intervals of `z` standard deviations to each side.
    #[must_use]
    pub fn estimate(&self, now: UnixMillis, z: f64, memory: &Memory) -> Estimate {
        let left = self.last.map_or(1.0, |last| memory.left(now.since(last)));
        Estimate {
            success_rate: self.success.rate().unwrap_or(0.0),
            success: self.success.interval_after(left, z),
            latency_ms: self.latency.geometric_mean_ms(),
            latency: self.latency.interval_after(left, z),
            samples: self.samples,
            effective_samples: self.success.samples_after(left),
            former_ms: self.former_ms,
        }
    }

    /// When it was last observed.
    #[must_use]
    pub fn last(&self) -> Option<UnixMillis> {
        self.last
    }

    /// A quantile of the latencies that are remembered, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile_ms(q)
    }
}
