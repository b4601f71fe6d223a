//! What happened in the pool, as types.
//!
//! The crate holds the vocabulary of [`Event`]s with their causes, a cheap cloneable [`Telemetry`] handle that counts
//! them, keeps histograms of latencies and of the rungs of recovery, and remembers the most recent events, and the
//! [`Sink`] trait through which another layer listens. Everything that it keeps is bounded: the counters and the
//! histograms have a fixed set of labels, the memory of recent events a fixed length.
//!
//! It does **not** hold exporters, does no I/O, reads no clock (every event comes with its `now`) and decides nothing.
//! Emitting never waits: a sample that would have to wait for a lock is counted as lost instead.
//!
//! ```
//! use telemetry::{Event, RejectReason, Telemetry};
//! # #[allow(clippy::disallowed_methods, reason = "an example has no clock to inject")]
//! # fn clock() -> std::time::Instant { std::time::Instant::now() }
//!
//! let telemetry = Telemetry::new();
//! telemetry.emit(clock(), Event::RequestRejected { reason: RejectReason::QueueFull });
//! let snapshot = telemetry.snapshot();
//! assert_eq!(snapshot.counters["requests_rejected.queue_full"], 1);
//! ```

mod counters;
mod event;
mod handle;
mod histograms;
mod latency;
mod recovery;
mod ring;
mod rungs;
mod sink;
mod snapshot;

pub use event::{
    CheckOutcome, Event, EvictCause, GuestEnd, GuestRefusal, LeaveCause, Outcome, Place, RejectReason,
    RetryCause, StallCause,
};
pub use handle::{Builder, Telemetry};
pub use recovery::{
    BreakerCause, BreakerState, Guarded, PressureSource, RecoveryEnd, RecycleCause, Relief, RepairKind,
    RungOutcome,
};
pub use sink::Sink;
pub use snapshot::{LatencyKind, LatencySummary, Recorded, RungSummary, Snapshot};
