//! What was learned about rungs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use vocab::{BrowserName, Fault, Rung};

use super::prior;
use crate::config::seconds;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "assumed and observed are all that there is")]
pub enum Source {
    /// It is an assumption: less than one sample counts.
    Default,
    /// It was observed, and mixed with the assumption as far as samples are few.
    History,
}

/// One attempt to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever observed it builds it in full")]
pub struct Lesson {
    /// What was wrong.
    pub fault: Fault,
    /// With which browser.
    pub browser: Option<BrowserName>,
    /// What was tried.
    pub rung: Rung,
    /// Whether it helped, with a proof.
    pub worked: bool,
    /// How long it took.
    pub took: Duration,
}

/// What is expected of a rung.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The chance that it helps, with the assumption mixed in.
    pub chance: f64,
    /// The share that helped, of what was observed alone; `None` where nothing was.
    pub observed: Option<f64>,
    /// How many samples count, after forgetting.
    pub samples: f64,
    /// How long it takes where it helps.
    pub worked: Duration,
    /// How long it takes where it does not.
    pub failed: Duration,
    /// Whether this was observed or assumed.
    pub source: Source,
}

impl Estimate {
    /// How long an attempt takes on the average: chance · worked + (1 − chance) · failed.
    #[must_use]
    pub fn takes(&self) -> Duration {
        seconds(self.chance * self.worked.as_secs_f64() + (1.0 - self.chance) * self.failed.as_secs_f64())
    }
}

/// How many samples an assumption is worth.
const PRIOR_WEIGHT: f64 = 8.0;
/// Over how many samples what was observed is remembered.
const MEMORY: f64 = 100.0;
/// After how long without a sample what was observed counts for half.
const HALF_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The successes, failures and times of one rung, where old samples count for less.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    worked: f64,
    failed: f64,
    worked_seconds: f64,
    failed_seconds: f64,
    seen: Option<Instant>,
}

impl Cell {
    fn at(&self, now: Instant) -> Self {
        let passed = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        self.scaled((-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2())
    }

    fn scaled(&self, by: f64) -> Self {
        Self {
            worked: self.worked * by,
            failed: self.failed * by,
            worked_seconds: self.worked_seconds * by,
            failed_seconds: self.failed_seconds * by,
            seen: self.seen,
        }
    }
}

/// What was learned about each rung for each fault on each browser.
///
/// The chance that a rung helps is the mean of a beta distribution whose prior is worth eight samples:
/// (s + 8 · p₀) ⁄ (n + 8), where s of n attempts helped and p₀ is the assumption; times are mixed with theirs in the
/// same way. Each sample makes the older ones count 1 % less, and a day without one makes them count half, so a rung that
/// was given up is in time tried again. Its size is bounded, because faults, browsers and rungs are closed lists.
#[derive(Debug, Clone, Default)]
pub struct RungRecord {
    cells: HashMap<(Fault, Option<BrowserName>, Rung), Cell>,
}

impl RungRecord {
    /// A record of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from one attempt.
    pub fn learn(&mut self, now: Instant, lesson: &Lesson) {
        let cell = self.cells.entry((lesson.fault, lesson.browser, lesson.rung)).or_default();
        *cell = cell.at(now).scaled(1.0 - 1.0 / MEMORY);
        cell.seen = Some(cell.seen.map_or(now, |seen| seen.max(now)));
        let took = lesson.took.as_secs_f64();
        let (count, sum) = if lesson.worked {
            (&mut cell.worked, &mut cell.worked_seconds)
        } else {
            (&mut cell.failed, &mut cell.failed_seconds)
        };
        *count += 1.0;
        *sum += took;
    }

    /// What is expected of a rung now.
    #[must_use]
    pub fn estimate(&self, now: Instant, fault: Fault, browser: Option<BrowserName>, rung: Rung) -> Estimate {
        let prior = prior(fault, rung);
        let cell = self.cells.get(&(fault, browser, rung)).map_or_else(Cell::default, |cell| cell.at(now));
        let samples = cell.worked + cell.failed;
        let takes = prior.takes.as_secs_f64();
        let mean = |sum: f64, count: f64, assumed: f64| {
            seconds((sum + assumed * PRIOR_WEIGHT) / (count + PRIOR_WEIGHT))
        };
        Estimate {
            chance: (cell.worked + prior.chance * PRIOR_WEIGHT) / (samples + PRIOR_WEIGHT),
            observed: (samples > 0.0).then(|| cell.worked / samples),
            samples,
            worked: mean(cell.worked_seconds, cell.worked, takes),
            failed: mean(cell.failed_seconds, cell.failed, takes * 2.0),
            source: if samples < 1.0 { Source::Default } else { Source::History },
        }
    }
}
