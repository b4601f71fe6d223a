//! The pool's settings, checked once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::CheckConfig;
use crate::core::BreakerSettings;
use crate::selection::{SelectionConfig, SelectionError};

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number that must be at least one is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A duration is zero, or too long to be added to a point in time.
    #[error("{name} must be more than zero and at most {max:?}, not {got:?}")]
    Duration {
        /// Which setting.
        name: &'static str,
        /// The longest that is allowed.
        max: Duration,
        /// What was given.
        got: Duration,
    },
    /// A share is not within 0 to 1, or zero where that cannot work.
    #[error("{name} must be a share of at most 1, and more than 0 where it divides, not {got}")]
    Share {
        /// Which setting.
        name: &'static str,
        /// What was given.
        got: f64,
    },
    /// A setting of selection.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A setting of the circuit breakers.
    #[error(transparent)]
    Breakers(#[from] recovery::ConfigError),
    /// The pool was created outside a tokio runtime.
    #[error("a pool needs a tokio runtime to run its tasks")]
    NoRuntime,
}

/// The pool's settings. Set the fields, then hand it to [`Pool::new`](crate::Pool::new), which checks it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PoolConfig {
    /// How many requests may wait for a worker. One more is refused at once. Default 1 024.
    pub queue_capacity: usize,
    /// How long a request may take when it does not say itself. Default 60 s.
    pub default_deadline: Duration,
    /// How often a request may be tried when it does not say itself. Default 3.
    pub max_attempts: u32,
    /// How many sessions one worker may hold, whatever its memory. Default 16.
    pub sessions_per_worker: usize,
    /// How many models one worker may load at once. Default 2.
    pub loads_per_worker: usize,
    /// How long a load may take before it is cancelled. Default 120 s.
    pub load_timeout: Duration,
    /// How long an unload may take before the worker is taken out. Default 300 s: a page answers after the call that it
    /// is working on, which has a deadline of its own.
    pub unload_timeout: Duration,
    /// How long a worker may keep a cancelled call before it is taken out as unresponsive. Default 10 s.
    pub cancel_grace: Duration,
    /// How long a model is kept off a worker on which loading it failed. Default 5 s.
    pub load_backoff: Duration,
    /// How long a request waits, where waiting is cheaper than another load, before it may have one all the same, and
    /// before sessions that are in use elsewhere make room for it. Default 1 s.
    pub patience: Duration,
    /// Whether workers are expected that are not there yet: requests that none can serve then wait until their
    /// deadline instead of failing at once. Default: no.
    pub expect_workers: bool,
    /// How long a worker that was lost is expected back: requests that only it could serve wait that long. Zero: not
    /// at all. Default 30 s.
    pub rejoin_grace: Duration,
    /// The shares of models by name, where they compete: a model of weight 2 gets twice the workers' time of one of
    /// weight 1. Default: 1 for every model.
    pub weights: BTreeMap<String, u32>,
    /// How the browser and backend of a request are chosen.
    pub selection: SelectionConfig,
    /// The circuit breakers of workers, and of models on browsers and backends.
    pub breakers: BreakerSettings,
    /// How workers' numbers are checked.
    pub checks: CheckConfig,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            queue_capacity: 1_024,
            default_deadline: Duration::from_secs(60),
            max_attempts: 3,
            sessions_per_worker: 16,
            loads_per_worker: 2,
            load_timeout: Duration::from_secs(120),
            unload_timeout: Duration::from_secs(300),
            cancel_grace: Duration::from_secs(10),
            load_backoff: Duration::from_secs(5),
            patience: Duration::from_secs(1),
            expect_workers: false,
            rejoin_grace: Duration::from_secs(30),
            weights: BTreeMap::new(),
            selection: SelectionConfig::default(),
            breakers: BreakerSettings::default(),
            checks: CheckConfig::default(),
        }
    }
}

/// The longest duration that is allowed anywhere; it can be added to any realistic point in time.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3_600);

impl PoolConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = [
            ("queue_capacity", self.queue_capacity),
            ("max_attempts", self.max_attempts as usize),
            ("sessions_per_worker", self.sessions_per_worker),
            ("checks.most_models", self.checks.most_models),
            ("loads_per_worker", self.loads_per_worker),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(ConfigError::Zero(name));
            }
        }
        if self.weights.values().any(|&weight| weight == 0) {
            return Err(ConfigError::Zero("every weight"));
        }
        let durations = [
            ("default_deadline", self.default_deadline, false),
            ("load_timeout", self.load_timeout, false),
            ("unload_timeout", self.unload_timeout, false),
            ("cancel_grace", self.cancel_grace, false),
            ("load_backoff", self.load_backoff, true),
            ("patience", self.patience, true),
            ("rejoin_grace", self.rejoin_grace, true),
            ("checks.interval", self.checks.interval, true),
            ("checks.timeout", self.checks.timeout, false),
        ];
        for (name, got, may_be_zero) in durations {
            if got > MAX_DURATION || (got.is_zero() && !may_be_zero) {
                return Err(ConfigError::Duration { name, max: MAX_DURATION, got });
            }
        }
        if let Some((name, got)) = self.checks.wrong_share() {
            return Err(ConfigError::Share { name, got });
        }
        self.breakers.validate()?;
        Ok(self.selection.validate()?)
    }
}
