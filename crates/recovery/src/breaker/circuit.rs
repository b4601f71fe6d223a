//! One circuit breaker.

use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use telemetry::{BreakerCause, BreakerState};

use super::BreakerConfig;
use super::call::{Admission, CallOutcome, CallPermit, Transition};
use super::window::Window;
use crate::config::{ConfigError, seconds};

/// What a breaker is doing.
#[derive(Debug, Clone)]
enum Phase {
    Closed { since: Option<Instant> },
    Open { until: Instant },
    HalfOpen { worked: u32, trials: Vec<(u64, Instant)> },
}

/// Lets calls through as long as they work.
///
/// It opens after [`consecutive_failures`](BreakerConfig::consecutive_failures), or when the share of failures or of slow
/// calls in its window is too large. It stays open for min(cap, open_time · 2^(n − 1)) · (1 + jitter · u), where n
/// counts the openings that followed each other and u is drawn evenly from 0 to 1. Then it is half open: a few calls are
/// let through, each a lease that ends by itself, so that lost calls never keep it half open for good; one failure opens
/// it again, enough successes close it.
///
/// Windows, rates and half-open trials are those of resilience4j; the growing open time with jitter is Envoy's outlier
/// detection, which grows it linearly; 5 failures, 30 s and 3 trials are the seed's.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
    window: Window,
    in_a_row: u32,
    openings: u32,
    epoch: u64,
    next: u64,
    random: SmallRng,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::checked(config, config.seed))
    }

    pub(super) fn checked(config: BreakerConfig, seed: u64) -> Self {
        Self {
            config,
            phase: Phase::Closed { since: None },
            window: Window::default(),
            in_a_row: 0,
            openings: 0,
            epoch: 0,
            next: 0,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// What it is. An open breaker whose time is over stays open until somebody [asks](Self::ask).
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call would be let through now. Changes nothing.
    #[must_use]
    pub fn would_allow(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { until } => now >= *until,
            Phase::HalfOpen { worked, trials } => self.has_trial(now, *worked, trials),
        }
    }

    /// Asks to make a call. It may move from open to half open by that.
    pub fn ask(&mut self, now: Instant) -> (Admission, Option<Transition>) {
        let mut moved = None;
        if let Phase::Open { until } = self.phase {
            if now < until {
                return (Admission::Refused { ask_again: until }, None);
            }
            let phase = Phase::HalfOpen { worked: 0, trials: Vec::new() };
            moved = Some(self.shift(now, phase, BreakerCause::TimeOver));
        }
        let epoch = self.epoch;
        let most = self.config.half_open_calls;
        let permit = match &mut self.phase {
            Phase::HalfOpen { worked, trials } => {
                trials.retain(|(_, until)| *until > now);
                if *worked + u32::try_from(trials.len()).unwrap_or(u32::MAX) >= most {
                    let ask_again = trials.iter().map(|(_, until)| *until).min();
                    let ask_again = ask_again.unwrap_or(now + self.config.permit_time);
                    return (Admission::Refused { ask_again }, moved);
                }
                let trial = self.next;
                self.next += 1;
                trials.push((trial, now + self.config.permit_time));
                CallPermit { epoch, trial: Some(trial) }
            }
            _ => CallPermit { epoch, trial: None },
        };
        (Admission::Allowed(permit), moved)
    }

    /// Says how a call ended. A call that began in an earlier state, or whose permit has ended, counts nothing.
    pub fn record(&mut self, now: Instant, permit: CallPermit, outcome: CallOutcome) -> Option<Transition> {
        if permit.epoch != self.epoch {
            return None;
        }
        let ended = match outcome {
            CallOutcome::Worked { took } => Some((false, took >= self.config.slow_after)),
            CallOutcome::Failed { took } => Some((true, took >= self.config.slow_after)),
            CallOutcome::CallersFault | CallOutcome::Abandoned => None,
        };
        match &mut self.phase {
            Phase::HalfOpen { worked, trials } => {
                let trial = permit.trial?;
                let before = trials.len();
                trials.retain(|(other, until)| *other != trial && *until > now);
                let slow_counts = self.config.slow_rate <= 1.0;
                // A trial that had ended by itself before, or that counts nothing, only gives its place back.
                let (failed, slow) = ended.filter(|_| trials.len() < before)?;
                if failed || (slow && slow_counts) {
                    return Some(self.open(now, BreakerCause::TrialFailed));
                }
                *worked += 1;
                (*worked >= self.config.half_open_calls)
                    .then(|| self.shift(now, Phase::Closed { since: Some(now) }, BreakerCause::TrialsWorked))
            }
            Phase::Closed { .. } => {
                let (failed, slow) = ended?;
                self.window.push(now, failed, slow, self.config.window_calls, self.config.window_time);
                self.in_a_row = if failed { self.in_a_row.saturating_add(1) } else { 0 };
                self.reason().map(|cause| self.open(now, cause))
            }
            Phase::Open { .. } => None,
        }
    }

    /// Opens it, whatever its figures say; for example because an answer was wrong. One that is open already stays open
    /// for as long as if it had opened now, and that is no transition.
    pub fn trip(&mut self, now: Instant) -> Option<Transition> {
        let open = matches!(self.phase, Phase::Open { .. });
        let moved = self.open(now, BreakerCause::Forced);
        (!open).then_some(moved)
    }

    /// Closes it and forgets what was, because what it guards was replaced.
    pub fn reset(&mut self, now: Instant) -> Option<Transition> {
        let closed = matches!(self.phase, Phase::Closed { .. });
        let moved = self.shift(now, Phase::Closed { since: Some(now) }, BreakerCause::Reset);
        self.openings = 0;
        (!closed).then_some(moved)
    }

    /// How well it is, from 0 to 1: g · (s + 2) ⁄ (n + 2) · (1 − ½ · l ⁄ n), where s of the n calls in the window
    /// worked, l were slow, and g is 1 closed, ½ half open and 0 open. Without calls it is g: the two that are added are
    /// successes, so that what is not known yet is not held against it.
    #[must_use]
    pub fn health(&self) -> f64 {
        let gate = match self.phase {
            Phase::Closed { .. } => 1.0,
            Phase::Open { .. } => 0.0,
            Phase::HalfOpen { .. } => 0.5,
        };
        let calls = self.window.len() as f64;
        let worked = calls - self.window.failed() as f64;
        let slow = self.window.slow() as f64 / calls.max(1.0);
        gate * (worked + 2.0) / (calls + 2.0) * (1.0 - slow / 2.0)
    }

    /// When it will let something through again; `None` where it does now.
    #[must_use]
    pub fn opens_again(&self) -> Option<Instant> {
        if let Phase::Open { until } = self.phase { Some(until) } else { None }
    }

    fn has_trial(&self, now: Instant, worked: u32, trials: &[(u64, Instant)]) -> bool {
        let held = trials.iter().filter(|(_, until)| *until > now).count();
        worked as usize + held < self.config.half_open_calls as usize
    }

    /// Why it should open; `None` where it should not.
    fn reason(&self) -> Option<BreakerCause> {
        let calls = self.window.len();
        let share = |count: usize| count as f64 / calls.max(1) as f64;
        let enough = calls >= self.config.minimum_calls;
        if self.in_a_row >= self.config.consecutive_failures {
            Some(BreakerCause::ConsecutiveFailures)
        } else if enough && share(self.window.failed()) >= self.config.failure_rate {
            Some(BreakerCause::FailureRate)
        } else if enough && share(self.window.slow()) >= self.config.slow_rate {
            Some(BreakerCause::SlowCalls)
        } else {
            None
        }
    }

    fn open(&mut self, now: Instant, cause: BreakerCause) -> Transition {
        if let Phase::Closed { since } = self.phase
            && since.is_none_or(|since| now.saturating_duration_since(since) >= self.config.forgive_after)
        {
            self.openings = 0;
        }
        if !matches!(self.phase, Phase::Open { .. }) {
            self.openings = self.openings.saturating_add(1);
        }
        let doublings = self.openings.saturating_sub(1).min(32);
        let time = self.config.open_time.as_secs_f64() * (1_u64 << doublings) as f64;
        let time = time.min(self.config.open_time_cap.as_secs_f64());
        let time = time * (1.0 + self.config.jitter * self.random.random::<f64>());
        self.shift(now, Phase::Open { until: now + seconds(time) }, cause)
    }

    fn shift(&mut self, now: Instant, phase: Phase, cause: BreakerCause) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.epoch += 1;
        self.in_a_row = 0;
        if self.state() == BreakerState::Closed {
            self.window.clear();
        }
        Transition { at: now, from, to: self.state(), cause }
    }
}
