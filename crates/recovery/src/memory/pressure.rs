//! From readings to a level that does not flap.

use std::time::{Duration, Instant};

use telemetry::{Event, PressureSource};
use vocab::PressureLevel;

use super::{MemoryReading, Use};
use crate::config::{ConfigError, ordered, positive, within};

/// From where on memory counts as scarce, in the unit of the reading.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "one field for each level above normal is all that there is")]
pub struct Thresholds {
    /// From here on [`PressureLevel::Elevated`].
    pub elevated: f64,
    /// From here on [`PressureLevel::High`].
    pub high: f64,
    /// From here on [`PressureLevel::Critical`].
    pub critical: f64,
}

impl Thresholds {
    fn level(&self, reading: f64, scale: f64) -> PressureLevel {
        if reading >= self.critical * scale {
            PressureLevel::Critical
        } else if reading >= self.high * scale {
            PressureLevel::High
        } else if reading >= self.elevated * scale {
            PressureLevel::Elevated
        } else {
            PressureLevel::Normal
        }
    }

    fn validate(&self, name: &'static str, most: f64) -> Result<(), ConfigError> {
        for threshold in [self.elevated, self.high, self.critical] {
            within(name, threshold, 1e-6, most)?;
        }
        ordered(("each elevated threshold", self.elevated), ("the high one", self.high))?;
        ordered(("each high threshold", self.high), ("the critical one", self.critical))
    }
}

/// When memory is scarce, and how long it must have been better before that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PressureConfig {
    /// For the share of a limit that is used. Default 0.75, 0.85 and 0.95.
    pub shares: Thresholds,
    /// For the share of time in which some task waited, in per cent. Default 10, 25 and 60.
    pub stall_some: Thresholds,
    /// For the share of time in which all tasks waited, in per cent. Default 2, 10 and 40.
    pub stall_full: Thresholds,
    /// By which share a reading must lie below the threshold of the present level for that to be left. Default 0.1.
    pub margin: f64,
    /// For how long it must lie there, and for how long any level is kept before a lower one. Default 10 s.
    pub dwell: Duration,
}

impl Default for PressureConfig {
    fn default() -> Self {
        Self {
            shares: Thresholds { elevated: 0.75, high: 0.85, critical: 0.95 },
            stall_some: Thresholds { elevated: 10.0, high: 25.0, critical: 60.0 },
            stall_full: Thresholds { elevated: 2.0, high: 10.0, critical: 40.0 },
            margin: 0.1,
            dwell: Duration::from_secs(10),
        }
    }
}

impl PressureConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.shares.validate("each threshold of shares", 10.0)?;
        self.stall_some.validate("each threshold of stall_some", 100.0)?;
        self.stall_full.validate("each threshold of stall_full", 100.0)?;
        within("margin", self.margin, 0.0, 0.9)?;
        positive(&[("dwell", self.dwell)])
    }
}

/// A change of the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PressureMove {
    /// When.
    pub at: Instant,
    /// What it was.
    pub from: PressureLevel,
    /// What it is.
    pub to: PressureLevel,
    /// The reading that decided.
    pub source: PressureSource,
}

impl PressureMove {
    /// As telemetry tells it.
    #[must_use]
    pub const fn event(&self) -> Event {
        Event::PressureChanged { from: self.from, to: self.to, source: self.source }
    }
}

/// The level of memory pressure.
///
/// It rises at once, as far as the worst reading says, because being late costs a browser. It falls by one level at a
/// time, after readings have lain below the threshold by the margin for the whole dwell, and never within one dwell of
/// any other change. So it cannot flap faster than once a dwell.
#[derive(Debug, Clone)]
pub struct Pressure {
    config: PressureConfig,
    level: PressureLevel,
    /// What the present level is owed to, where it is not normal.
    source: Option<PressureSource>,
    changed: Option<Instant>,
    /// Since when every reading has lain below the present level.
    calm: Option<Instant>,
}

impl Pressure {
    /// Begins at [`PressureLevel::Normal`].
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: PressureConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config, level: PressureLevel::Normal, source: None, changed: None, calm: None })
    }

    /// The level now.
    #[must_use]
    pub const fn level(&self) -> PressureLevel {
        self.level
    }

    /// The reading that the present level is owed to; `None` at [`PressureLevel::Normal`].
    #[must_use]
    pub const fn source(&self) -> Option<PressureSource> {
        self.source
    }

    /// Takes a reading. One without any figure proves nothing, and also not that it has been calm.
    pub fn observe(&mut self, now: Instant, reading: &MemoryReading) -> Option<PressureMove> {
        let Some((level, source)) = self.worst(reading, 1.0) else {
            self.calm = None;
            return None;
        };
        if level > self.level {
            return Some(self.shift(now, level, source));
        }
        let stays = self.worst(reading, 1.0 - self.config.margin);
        if stays.is_none_or(|(stays, _)| stays >= self.level) {
            self.calm = None;
            return None;
        }
        let calm = *self.calm.get_or_insert(now);
        let long = |since: Instant| now.saturating_duration_since(since) >= self.config.dwell;
        if !long(calm) || !self.changed.is_none_or(long) {
            return None;
        }
        let lower = PressureLevel::ALL.iter().rev().copied().find(|&lower| lower < self.level)?;
        let moved = self.shift(now, lower, PressureSource::Relieved);
        self.calm = Some(calm);
        Some(moved)
    }

    fn shift(&mut self, now: Instant, to: PressureLevel, source: PressureSource) -> PressureMove {
        let from = std::mem::replace(&mut self.level, to);
        // A level that is left downwards is still owed to what had raised it.
        if source != PressureSource::Relieved {
            self.source = Some(source);
        }
        if to == PressureLevel::Normal {
            self.source = None;
        }
        self.changed = Some(now);
        self.calm = None;
        PressureMove { at: now, from, to, source }
    }

    /// The worst of what is known, with every threshold scaled; the first source of equals.
    fn worst(&self, reading: &MemoryReading, scale: f64) -> Option<(PressureLevel, PressureSource)> {
        let config = &self.config;
        let share = |used: Option<Use>| used.map(|used| used.share());
        [
            (PressureSource::StallFull, &config.stall_full, reading.stall_full),
            (PressureSource::StallSome, &config.stall_some, reading.stall_some),
            (PressureSource::Cgroup, &config.shares, share(reading.cgroup)),
            (PressureSource::System, &config.shares, share(reading.system)),
            (PressureSource::Processes, &config.shares, share(reading.processes)),
            (PressureSource::WasmHeap, &config.shares, share(reading.wasm_heap)),
            (PressureSource::PageHeap, &config.shares, share(reading.page_heap)),
        ]
        .into_iter()
        .filter_map(|(source, thresholds, reading)| {
            let reading = reading.filter(|reading| !reading.is_nan())?;
            Some((thresholds.level(reading, scale), source))
        })
        .rev()
        .max_by_key(|(level, _)| *level)
    }
}
