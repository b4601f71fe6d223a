//! What recovery tells about itself.

use recovery::{Fault, PressureLevel, RecoveryStats, Rung};
use serde::Serialize;
use vocab::BrowserName;

use super::memory::BrowserMemory;
use super::shared::Shared;

/// What recovery is doing and has learned; its counters and events are in the telemetry.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Recoveries that go on.
    pub going: usize,
    /// Restarts that go on.
    pub restarting: usize,
    /// Restarts that wait for their turn.
    pub waiting: usize,
    /// Repetitions that the retry budget affords now.
    pub budget: f64,
    /// How scarce memory is.
    pub level: PressureLevel,
    /// What was read of each browser's memory last.
    pub memory: Vec<BrowserMemory>,
    /// What was learned about rungs: those of which there is a sample.
    pub learned: Vec<LearnedRung>,
}

/// What was learned about one rung.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LearnedRung {
    /// For which fault.
    pub fault: Fault,
    /// Of which browser.
    pub browser: BrowserName,
    /// Which rung.
    pub rung: Rung,
    /// How many samples count, after forgetting.
    pub samples: f64,
    /// The share of them that helped.
    pub observed: f64,
    /// The chance that it helps, with the assumption mixed in.
    pub chance: f64,
    /// How long it takes where it helps, in milliseconds, with the assumption mixed in.
    pub takes_ms: f64,
}

impl RecoveryReport {
    #[allow(clippy::disallowed_methods, reason = "the shell is where the time comes from")]
    pub(crate) fn of(shared: &Shared) -> Self {
        let recovery = &shared.recovery;
        let RecoveryStats { going, restarting, waiting, budget, level, .. } = recovery.stats();
        let record = recovery.record();
        let now = tokio::time::Instant::now().into_std();
        let mut learned = Vec::new();
        for &fault in Fault::ALL {
            for &browser in BrowserName::ALL {
                for &rung in Rung::ALL {
                    let estimate = record.estimate(now, fault, Some(browser), rung);
                    let Some(observed) = estimate.observed else { continue };
                    learned.push(LearnedRung {
                        fault,
                        browser,
                        rung,
                        samples: estimate.samples,
                        observed,
                        chance: estimate.chance,
                        takes_ms: estimate.worked.as_secs_f64() * 1e3,
                    });
                }
            }
        }
        Self { going, restarting, waiting, budget, level, memory: shared.memory(), learned }
    }
}
