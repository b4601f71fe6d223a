//! How stubborn the executor is.

use std::time::Duration;

use recovery::BackoffConfig;

use crate::plan::BrokenPlan;

/// Settings of an [`Executor`](crate::Executor).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExecutorConfig {
    /// How often a stage is tried on one worker before another one is taken. Default 2.
    pub tries_per_worker: u32,
    /// How often a stage is tried in all. Default 6.
    pub tries: u32,
    /// How long one run of one stage may take. Default 60 s.
    pub run_timeout: Duration,
    /// How long loading one part may take. Default 120 s.
    pub load_timeout: Duration,
    /// How long is waited before a repetition on the same worker, with full jitter. Default at most 200 ms, then doubling
    /// up to 5 s.
    pub backoff: BackoffConfig,
    /// For how long a worker that failed is passed over, doubling with each further failure up to 16 times as long; never
    /// the last one that is there. Default 15 s, as Petals bans servers (Borzunov et al., NeurIPS 2023).
    pub ban: Duration,
    /// Whether each part is also loaded on a second worker, so that switching takes no load. Default no.
    pub standby: bool,
    /// Bytes of inputs that a sequence keeps so that caches can be rebuilt; one that would need more is refused its next
    /// step. Default 1 GiB.
    pub kept_bytes: u64,
    /// The seed of the jitter. Default 0.
    pub seed: u64,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            tries_per_worker: 2,
            tries: 6,
            run_timeout: Duration::from_secs(60),
            load_timeout: Duration::from_secs(120),
            backoff: BackoffConfig::default(),
            ban: Duration::from_secs(15),
            standby: false,
            kept_bytes: 1 << 30,
            seed: 0,
        }
    }
}

impl ExecutorConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first one that makes no sense.
    pub fn validate(&self) -> Result<(), ExecutorConfigError> {
        let whole = [("tries", self.tries), ("tries_per_worker", self.tries_per_worker)];
        if let Some(&(name, _)) = whole.iter().find(|(_, value)| *value == 0) {
            return Err(ExecutorConfigError::Zero { name });
        }
        let times =
            [("run_timeout", self.run_timeout), ("load_timeout", self.load_timeout), ("ban", self.ban)];
        if let Some(&(name, _)) = times.iter().find(|(_, value)| value.is_zero()) {
            return Err(ExecutorConfigError::Zero { name });
        }
        self.backoff.validate().map_err(ExecutorConfigError::Backoff)
    }
}

/// A setting that makes no sense, or a plan that does not hold together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorConfigError {
    /// It must not be zero.
    #[error("{name} must not be zero")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// The plan does not hold together.
    #[error("plan")]
    Plan(#[source] BrokenPlan),
    /// The bounds of the waits.
    #[error("backoff")]
    Backoff(#[source] recovery::ConfigError),
}
