//! How long to wait before something is tried again.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::config::{ConfigError, ordered, positive, seconds};

/// The bounds of the waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The longest wait before the first repetition. Default 200 ms.
    pub base: Duration,
    /// The longest wait of all. Default 5 s.
    pub cap: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { base: Duration::from_millis(200), cap: Duration::from_secs(5) }
    }
}

impl BackoffConfig {
    /// Checks both bounds.
    ///
    /// # Errors
    /// A bound that is zero or too long, or a base above the cap.
    pub fn validate(&self) -> Result<(), ConfigError> {
        positive(&[("base", self.base), ("cap", self.cap)])?;
        ordered(("base", self.base), ("cap", self.cap))
    }

    /// The longest that the wait before repetition `repetition`, from 1, can be: min(cap, base · 2^(n − 1)).
    #[must_use]
    pub fn ceiling(&self, repetition: u32) -> Duration {
        let doublings = repetition.saturating_sub(1).min(62);
        seconds(self.base.as_secs_f64() * (1_u64 << doublings) as f64).min(self.cap)
    }
}

/// Exponential backoff with full jitter: a wait is drawn evenly from zero to the ceiling, so that many that failed
/// together do not come back together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    random: SmallRng,
}

impl Backoff {
    /// The same seed gives the same waits.
    #[must_use]
    pub fn new(config: BackoffConfig, seed: u64) -> Self {
        Self { config, random: SmallRng::seed_from_u64(seed) }
    }

    /// How long to wait before repetition `repetition`, from 1.
    pub fn delay(&mut self, repetition: u32) -> Duration {
        self.config.ceiling(repetition).mul_f64(self.random.random::<f64>())
    }
}
