//! What goes into a breaker and what comes out of it.

use std::time::{Duration, Instant};

use telemetry::{BreakerCause, BreakerState, Event, Guarded};

/// How a call ended, as far as a breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// It worked.
    Worked {
        /// How long it took.
        took: Duration,
    },
    /// It failed, and what is guarded is to blame.
    Failed {
        /// How long that took.
        took: Duration,
    },
    /// It failed, and the caller is to blame: a wrong shape, a model that nothing can run. It counts nothing.
    CallersFault,
    /// Nobody waited for its end. It counts nothing.
    Abandoned,
}

/// The right to make one call. Its end is to be [recorded](super::Breaker::record); where it is lost in the half-open state, it
/// ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPermit {
    /// In which stay of which state it was given: what ends in a later one says nothing about that.
    pub(super) epoch: u64,
    /// Which trial it is, in the half-open state.
    pub(super) trial: Option<u64>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// It may.
    Allowed(CallPermit),
    /// It may not.
    Refused {
        /// When it is worth asking again.
        ask_again: Instant,
    },
}

/// A breaker that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Why.
    pub cause: BreakerCause,
}

impl Transition {
    /// As telemetry tells it.
    #[must_use]
    pub const fn event(&self, guarded: Guarded) -> Event {
        Event::BreakerMoved { guarded, from: self.from, to: self.to, cause: self.cause }
    }
}
