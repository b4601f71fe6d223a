//! The settings of everything that the recovery layer's entry holds.

use std::time::Duration;

use crate::config::{ConfigError, at_least_one, ordered, positive};
use crate::diagnosis::DiagnosisConfig;
use crate::ladder::RecoveryConfig;
use crate::memory::PressureConfig;
use crate::pace::{BudgetConfig, GateConfig};

/// The settings of [`ResourcePoolErrorRecovery`](super::ResourcePoolErrorRecovery), which checks them once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecoverySettings {
    /// Of each recovery.
    pub ladder: RecoveryConfig,
    /// When evidence counts as a fault.
    pub diagnosis: DiagnosisConfig,
    /// Of the repetitions of all recoveries together.
    pub budget: BudgetConfig,
    /// Of the restarts of all recoveries together.
    pub gate: GateConfig,
    /// When memory is scarce.
    pub pressure: PressureConfig,
    /// How long to wait for [`Reviver::signs`](super::Reviver::signs) after an attempt that failed. Default 1 s.
    pub signs_limit: Duration,
    /// How many recoveries may go on at once. One more is refused. Default 1 024.
    pub at_once: usize,
}

impl Default for RecoverySettings {
    fn default() -> Self {
        Self {
            ladder: RecoveryConfig::default(),
            diagnosis: DiagnosisConfig::default(),
            budget: BudgetConfig::default(),
            gate: GateConfig::default(),
            pressure: PressureConfig::default(),
            signs_limit: Duration::from_secs(1),
            at_once: 1_024,
        }
    }
}

impl RecoverySettings {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.ladder.validate()?;
        self.diagnosis.validate()?;
        self.budget.validate()?;
        self.gate.validate()?;
        self.pressure.validate()?;
        positive(&[("signs_limit", self.signs_limit)])?;
        at_least_one(&[("at_once", self.at_once)])?;
        // Otherwise a permit would end while its restart goes on, and one too many could begin.
        ordered(("limits.restart", self.ladder.limits.restart), ("gate.hold", self.gate.hold))
    }
}
