//! Decides how to revive what is in trouble: what is wrong, what to try next and for how long, and when to stop.
//!
//! - [`diagnose`] turns evidence into a [`Fault`], the most severe first; [`fit`] says which [`Rung`] can help it.
//! - An [`Incident`] is one recovery: it goes up the ladder ping → reconnect → refresh → restart → switch under one
//!   deadline, and passes over rungs that cannot help or that experience ([`RungRecord`]) shows not to pay.
//! - [`Backoff`], [`RetryBudget`] and [`StormGate`] bound how soon, how often and how many at once.
//! - A [`Breaker`] stops asking what fails and finds out when it works again; a [`BreakerSet`] never shuts everybody out.
//! - [`Pressure`] tells how scarce memory is, [`relief`] what to give back first, [`Recycler`] when a browser that works
//!   is replaced all the same, [`reconcile`] what does not fit together.
//! - [`ResourcePoolErrorRecovery`] is the entry: it carries recoveries out over the seam [`Reviver`], of four methods.
//!
//! All but the entry and [`LinuxMemory`] are synchronous: they take `now`, read no clock, do no I/O and draw what is random
//! from a seed in their settings. The same calls give the same decisions.
//!
//! The crate does **not** know any browser, socket, driver, database or model. It kills, starts, loads and connects
//! nothing: whoever implements [`Reviver`] does. It starts no task and no thread, and it never takes it for granted that a
//! deed helped: a recovery succeeds only with a proof.
//!
//! ```
//! use recovery::{
//!     AttemptError, Fault, RecoverySettings, ResourcePoolErrorRecovery, Reviver, Rung, RungSet, Signs, Subject,
//! };
//! use telemetry::Telemetry;
//! use tokio::time::Instant;
//! use vocab::{BrowserName, WorkerId};
//!
//! /// Reconnecting fails here, and loading the page anew works.
//! struct Page;
//!
//! impl Reviver for Page {
//!     type Error = std::io::Error;
//!
//!     fn offers(&self) -> RungSet {
//!         RungSet::ALL.without(Rung::Switch)
//!     }
//!
//!     async fn signs(&self) -> Signs {
//!         Signs::default()
//!     }
//!
//!     async fn attempt(&self, rung: Rung, _until: Instant) -> Result<(), AttemptError<Self::Error>> {
//!         match rung {
//!             Rung::Refresh => Ok(()),
//!             _ => Err(std::io::Error::other("nobody answers").into()),
//!         }
//!     }
//!
//!     async fn proved(&self, _rung: Rung, _until: Instant) -> Result<(), Self::Error> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = Telemetry::new();
//! let recovery = ResourcePoolErrorRecovery::new(RecoverySettings::default(), telemetry.clone())?;
//! let subject = Subject { worker: WorkerId(1), browser: Some(BrowserName::Firefox) };
//! let recovered = recovery.recover(subject, Fault::SocketLost, &Page).await?;
//! assert_eq!(recovered.rung, Rung::Refresh);
//! assert_eq!(telemetry.snapshot().counters["recoveries_ended.recovered"], 1);
//! # Ok(())
//! # }
//! ```

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
