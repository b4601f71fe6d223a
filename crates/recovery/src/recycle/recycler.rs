//! One browser's way to its replacement.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use telemetry::RecycleCause;

use super::slope::slope;
use crate::config::{ConfigError, MAX_DURATION, at_least_one, ordered, positive, within};

/// When a browser is replaced.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RecycleConfig {
    /// After how many tasks; `None` for never. Default 10 000.
    pub tasks: Option<u64>,
    /// At what age; `None` for never. Default 6 h.
    pub age: Option<Duration>,
    /// From which growth of its memory on, in bytes an hour; `None` for never. Default 256 MiB an hour.
    pub growth: Option<f64>,
    /// How many standard errors that growth must lie above zero. Default 6, twice what a textbook would ask for, because
    /// readings of memory do not scatter independently.
    pub significance: f64,
    /// How many readings of memory are kept; the oldest one goes first. Default 128.
    pub readings: usize,
    /// How many readings there must be before growth says anything. Default 24.
    pub least_readings: usize,
    /// Over what time the readings must be spread. Default 10 min: what is loaded in the first minutes is no growth.
    pub least_span: Duration,
    /// How long to wait for a spare before the browser is drained without one; `None` for as long as it takes. Default:
    /// as long as it takes, because the browser works.
    pub spare_limit: Option<Duration>,
}

impl Default for RecycleConfig {
    fn default() -> Self {
        Self {
            tasks: Some(10_000),
            age: Some(Duration::from_secs(6 * 3_600)),
            growth: Some(256.0 * 1_024.0 * 1_024.0),
            significance: 6.0,
            readings: 128,
            least_readings: 24,
            least_span: Duration::from_secs(600),
            spare_limit: None,
        }
    }
}

impl RecycleConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        at_least_one(&[("tasks", self.tasks.unwrap_or(1).min(1) as usize), ("readings", self.readings)])?;
        positive(&[
            ("age", self.age.unwrap_or(MAX_DURATION)),
            ("least_span", self.least_span),
            ("spare_limit", self.spare_limit.unwrap_or(MAX_DURATION)),
        ])?;
        within("growth", self.growth.unwrap_or(1.0), 1.0, 1e15)?;
        within("significance", self.significance, 0.0, 1e6)?;
        within("least_readings", self.least_readings as f64, 3.0, 100_000.0)?;
        ordered(("least_readings", self.least_readings), ("readings", self.readings))
    }
}

/// How it stands with the browser that is to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "none, warm and impossible are all that there is")]
pub enum Spare {
    /// There is none yet.
    None,
    /// It has its models, has proved that it works, and takes requests.
    Warm,
    /// There can be none, because there is no room for two at once.
    NoRoom,
}

/// What to do with a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// Let it work.
    Keep,
    /// Let it work, and start another one that takes over.
    StartSpareFirst {
        /// Why it is to be replaced.
        why: RecycleCause,
    },
    /// Give it no new work, and wait until what it has is done.
    Drain {
        /// Why it is to be replaced.
        why: RecycleCause,
        /// Whether somebody is there to take over. Where not, requests wait until its successor is there.
        covered: bool,
    },
    /// End it.
    Recycle {
        /// Why.
        why: RecycleCause,
    },
}

/// Where a browser is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It works, and nothing speaks against that.
    Serving,
    /// It is to be replaced, and a spare is awaited.
    Awaiting { why: RecycleCause, since: Instant },
    /// It gets no new work.
    Draining { why: RecycleCause, covered: bool },
}

/// Decides when one browser is to be replaced, so that no request has to wait for it: a warm spare first, then no new work,
/// then the end. Once decided, it does not change its mind.
#[derive(Debug, Clone)]
pub struct Recycler {
    config: RecycleConfig,
    born: Instant,
    tasks: u64,
    readings: VecDeque<(Instant, u64)>,
    stage: Stage,
}

impl Recycler {
    /// For a browser that was started at `born`.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: RecycleConfig, born: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, born, tasks: 0, readings: VecDeque::new(), stage: Stage::Serving })
    }

    /// It has done one more task.
    pub fn task_done(&mut self) {
        self.tasks_done(1);
    }

    /// It has done so many more tasks.
    pub fn tasks_done(&mut self, tasks: u64) {
        self.tasks = self.tasks.saturating_add(tasks);
    }

    /// Its processes have this much resident memory, in bytes. Readings should come at about even times.
    pub fn memory(&mut self, now: Instant, resident: u64) {
        if self.readings.back().is_some_and(|(last, _)| *last > now) {
            return;
        }
        while self.readings.len() >= self.config.readings {
            self.readings.pop_front();
        }
        self.readings.push_back((now, resident));
    }

    /// Has it replaced whatever its figures say.
    pub fn request(&mut self, now: Instant) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Awaiting { why: RecycleCause::Requested, since: now };
        }
    }

    /// What to do with it now, where it holds `busy` pieces of work.
    pub fn plan(&mut self, now: Instant, spare: Spare, busy: usize) -> Plan {
        if self.stage == Stage::Serving {
            let Some(why) = self.due(now) else { return Plan::Keep };
            self.stage = Stage::Awaiting { why, since: now };
        }
        if let Stage::Awaiting { why, since } = self.stage {
            let waited = now.saturating_duration_since(since);
            let tired = self.config.spare_limit.is_some_and(|limit| waited >= limit);
            if spare == Spare::None && !tired {
                return Plan::StartSpareFirst { why };
            }
            self.stage = Stage::Draining { why, covered: spare == Spare::Warm };
        }
        match self.stage {
            Stage::Draining { why, covered } if busy > 0 => Plan::Drain { why, covered },
            Stage::Draining { why, .. } => Plan::Recycle { why },
            Stage::Serving | Stage::Awaiting { .. } => Plan::Keep,
        }
    }

    /// How fast its memory grows, in bytes an hour, with the standard error of that; `None` for too few readings.
    #[must_use]
    pub fn growth(&self) -> Option<super::Slope> {
        let (first, last) = (self.readings.front()?.0, self.readings.back()?.0);
        let few = self.readings.len() < self.config.least_readings;
        if few || last.saturating_duration_since(first) < self.config.least_span {
            return None;
        }
        let hours = |at: Instant| at.saturating_duration_since(first).as_secs_f64() / 3_600.0;
        slope(self.readings.iter().map(|(at, bytes)| (hours(*at), *bytes as f64)))
    }

    /// Why it is to be replaced; `None` where it is not.
    fn due(&self, now: Instant) -> Option<RecycleCause> {
        let config = &self.config;
        if config.tasks.is_some_and(|tasks| self.tasks >= tasks) {
            return Some(RecycleCause::Tasks);
        }
        if config.age.is_some_and(|age| now.saturating_duration_since(self.born) >= age) {
            return Some(RecycleCause::Age);
        }
        let (least, growth) = (config.growth?, self.growth()?);
        (growth.per_unit >= least && growth.significance() >= config.significance)
            .then_some(RecycleCause::Growth)
    }
}
