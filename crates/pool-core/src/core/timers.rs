//! When the core has to be woken, and for whom.

use std::collections::BTreeSet;
use std::time::Instant;

use vocab::{ModelHash, RequestId, SessionId};

use super::LeaseId;

/// Whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A request's deadline.
    Request(RequestId),
    /// A request has waited long enough for the arm on which it is tried.
    Trial(RequestId),
    /// The grace of a cancelled run.
    Lease(LeaseId),
    /// The limit of a session's load, of its cancellation, or of its unload.
    Session(SessionId),
    /// A model's requests have waited long enough for something drastic.
    Patience(ModelHash),
    /// A lost worker is not expected back any more.
    Rejoin,
    /// An open circuit breaker's time is over.
    Breaker,
}

/// All timers, the next one first. Whoever sets one keeps its time, to be able to take it back.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, TimerKey)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, key: TimerKey) {
        self.0.insert((at, key));
    }

    pub(crate) fn clear(&mut self, at: Instant, key: TimerKey) {
        self.0.remove(&(at, key));
    }

    /// Takes back every timer with this key, whenever it is set for.
    pub(crate) fn drop_all(&mut self, key: TimerKey) {
        self.0.retain(|&(_, other)| other != key);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes out the next timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
