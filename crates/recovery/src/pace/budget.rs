//! How many repetitions may come on top of what was asked for.

use std::time::{Duration, Instant};

use crate::config::{ConfigError, MAX_DURATION, within};

/// The size of a retry budget.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// How many repetitions each request pays for. Default 0.2: repetitions add at most a fifth to the load.
    pub share: f64,
    /// How many repetitions a second there may be even where nothing is asked for. Default 1: what is repeated here are
    /// deeds that take seconds, while Finagle's 10 are meant for calls.
    pub per_second: f64,
    /// How many repetitions may be saved up. Default 20.
    pub burst: f64,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { share: 0.2, per_second: 1.0, burst: 20.0 }
    }
}

impl BudgetConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        within("share", self.share, 0.0, 1e3)?;
        within("per_second", self.per_second, 0.0, 1e6)?;
        within("burst", self.burst, 1.0, 1e6)
    }
}

/// A token bucket that repetitions are paid from.
///
/// Each request adds `share` tokens, each second adds `per_second`, and there are never more than `burst`; a repetition
/// takes one. So in any span there are at most burst + share · requests + per_second · seconds repetitions, however
/// much fails. The idea and the 20 % are Finagle's (`RetryBudget`); there a deposit expires after a time, here the
/// balance is capped, which bounds the burst without keeping a list of deposits.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    config: BudgetConfig,
    tokens: f64,
    seen: Instant,
}

impl RetryBudget {
    /// A full budget.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: BudgetConfig, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, tokens: config.burst, seen: now })
    }

    /// One request came.
    pub fn deposit(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = (self.tokens + self.config.share).min(self.config.burst);
    }

    /// Whether a repetition could be paid for.
    #[must_use]
    pub fn affords(&self, now: Instant) -> bool {
        self.at(now) >= 1.0
    }

    /// Pays for one repetition; `false` where there is not enough, and then nothing is taken.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.refill(now);
        let affords = self.tokens >= 1.0;
        if affords {
            self.tokens -= 1.0;
        }
        affords
    }

    /// How many repetitions could be paid for now, as a fraction.
    #[must_use]
    pub fn balance(&self, now: Instant) -> f64 {
        self.at(now)
    }

    fn at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.seen).min(MAX_DURATION);
        (self.tokens + Duration::as_secs_f64(&passed) * self.config.per_second).min(self.config.burst)
    }

    fn refill(&mut self, now: Instant) {
        self.tokens = self.at(now);
        // A `now` that lies before an earlier one must not make the same time count twice.
        self.seen = self.seen.max(now);
    }
}
