//! The settings of a circuit breaker.

use std::time::Duration;

use crate::config::{ConfigError, at_least_one, ordered, positive, within};

/// The settings of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// How many calls in a row must fail to open it. Default 5.
    pub consecutive_failures: u32,
    /// How many of the latest calls are looked at, at most. Default 100.
    pub window_calls: usize,
    /// How old a call may be to be looked at. Default 5 min.
    pub window_time: Duration,
    /// How many calls there must be before a share of them says anything. Default 10.
    pub minimum_calls: usize,
    /// The share of failures that opens it. Default 0.5.
    pub failure_rate: f64,
    /// From when on a call is slow. Default 60 s.
    pub slow_after: Duration,
    /// The share of slow calls, among those that worked or failed, that opens it. More than 1 switches it off.
    /// Default 1: all of them.
    pub slow_rate: f64,
    /// How long it stays open the first time. Default 30 s.
    pub open_time: Duration,
    /// The longest that it stays open, before jitter. Default 300 s.
    pub open_time_cap: Duration,
    /// By which share of itself the open time is lengthened at most, at random. Default 0.1.
    pub jitter: f64,
    /// How long it must have been closed for its next opening to count as a first one. Default 5 min.
    pub forgive_after: Duration,
    /// How many calls must work in the half-open state to close it; so many are let through at once. Default 3.
    pub half_open_calls: u32,
    /// After how long a call in the half-open state counts as lost, so that another one may take its place. Default
    /// 60 s.
    pub permit_time: Duration,
    /// What jitter is drawn from. Default 0.
    pub seed: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            window_calls: 100,
            window_time: Duration::from_secs(300),
            minimum_calls: 10,
            failure_rate: 0.5,
            slow_after: Duration::from_secs(60),
            slow_rate: 1.0,
            open_time: Duration::from_secs(30),
            open_time_cap: Duration::from_secs(300),
            jitter: 0.1,
            forgive_after: Duration::from_secs(300),
            half_open_calls: 3,
            permit_time: Duration::from_secs(60),
            seed: 0,
        }
    }
}

impl BreakerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least_one(&[
            ("consecutive_failures", self.consecutive_failures as usize),
            ("window_calls", self.window_calls),
            ("minimum_calls", self.minimum_calls),
            ("half_open_calls", self.half_open_calls as usize),
        ])?;
        positive(&[
            ("window_time", self.window_time),
            ("slow_after", self.slow_after),
            ("open_time", self.open_time),
            ("open_time_cap", self.open_time_cap),
            ("forgive_after", self.forgive_after),
            ("permit_time", self.permit_time),
        ])?;
        within("window_calls", self.window_calls as f64, 1.0, 100_000.0)?;
        within("failure_rate", self.failure_rate, 0.001, 1.0)?;
        within("slow_rate", self.slow_rate, 0.001, 2.0)?;
        within("jitter", self.jitter, 0.0, 1.0)?;
        ordered(("minimum_calls", self.minimum_calls), ("window_calls", self.window_calls))?;
        ordered(("open_time", self.open_time), ("open_time_cap", self.open_time_cap))
    }
}
