//! Decides how to revive what is in trouble.

mod breaker;
mod config;
mod diagnosis;
mod driver;
mod ladder;
mod memory;
mod pace;
mod reconcile;
mod recycle;
mod rungs;

pub use breaker::{
    Admission, Breaker, BreakerConfig, BreakerSet, CallOutcome, CallPermit, SetConfig, Transition, Verdicts,
};
pub use config::ConfigError;
pub use diagnosis::{Canary, DiagnosisConfig, Seen, Signs, diagnose};
pub use driver::{
    AttemptError, AttemptFailure, AttemptPhase, Recovered, RecoveryError, RecoverySettings, RecoveryStats,
    ResourcePoolErrorRecovery, Reviver,
};
pub use ladder::{
    AttemptOutcome, Conditions, Estimate, Explanation, GiveUpCause, Incident, Lesson, PerRung, Prior,
    RecoveryConfig, RestartRoom, RungFigures, RungRecord, Source, Standing, Step, Subject, WaitReason, prior,
};
pub use memory::{
    LinuxMemory, LoadRefusal, Means, MemoryAction, MemoryReading, ParseError, Pressure, PressureConfig,
    PressureMove, ReadError, Stall, Thresholds, Use, may_load, parse_bytes, parse_cgroup_path,
    parse_kilobytes, parse_stall, relief,
};
pub use pace::{
    Backoff, BackoffConfig, BudgetConfig, Entry, GateConfig, PermitId, RetryBudget, StormGate, Ticket,
};
pub use reconcile::{
    PoolMap, ProcessKey, ProcessTable, Repair, SocketId, SocketRow, Sockets, WorkerRow, reconcile,
};
pub use recycle::{Plan, RecycleConfig, Recycler, Slope, Spare, slope};
pub use rungs::{Fit, RungSet, fit};
pub use vocab::{Fault, PressureLevel, Rung};
