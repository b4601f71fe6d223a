//! Decides how to revive what is in trouble.

mod config;
mod diagnosis;
mod ladder;
mod pace;
mod rungs;

pub use config::ConfigError;
pub use diagnosis::{Canary, DiagnosisConfig, Seen, Signs, diagnose};
pub use ladder::{
    AttemptOutcome, Conditions, Estimate, Explanation, GiveUpCause, Incident, Lesson, PerRung, Prior,
    RecoveryConfig, RestartRoom, RungFigures, RungRecord, Source, Standing, Step, Subject, WaitReason, prior,
};
pub use pace::{
    Backoff, BackoffConfig, BudgetConfig, Entry, GateConfig, PermitId, RetryBudget, StormGate, Ticket,
};
pub use rungs::{Fit, RungSet, fit};
pub use vocab::{Fault, PressureLevel, Rung};
