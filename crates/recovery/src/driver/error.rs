//! Why a recovery did not succeed.

use std::time::Duration;

use vocab::{Fault, Rung, WorkerId};

use crate::ladder::GiveUpCause;

/// What was going on in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptPhase {
    /// The deed itself.
    Deed,
    /// The proof that it helped.
    Proof,
}

impl std::fmt::Display for AttemptPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Deed => "doing it",
            Self::Proof => "proving that it helped",
        })
    }
}

/// How the last attempt of a recovery failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptFailure<E: std::error::Error + 'static> {
    /// Its time was over.
    #[error("{rung} did not end within {after:?}, while {phase}")]
    TimedOut {
        /// What was tried.
        rung: Rung,
        /// What was going on.
        phase: AttemptPhase,
        /// How long it had.
        after: Duration,
    },
    /// It could not be done.
    #[error("{rung} failed")]
    Failed {
        /// What was tried.
        rung: Rung,
        /// Why.
        #[source]
        source: E,
    },
    /// It was done and did not help.
    #[error("after {rung}, it does not work")]
    Unproved {
        /// What was tried.
        rung: Rung,
        /// How that shows.
        #[source]
        source: E,
    },
    /// There is no such rung here.
    #[error("there is no {rung} here")]
    Unavailable {
        /// What was to be tried.
        rung: Rung,
    },
}

/// Why a recovery did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError<E: std::error::Error + 'static> {
    /// It was tried, and given up.
    #[error("{fault} was given up after {after:?}: {cause}")]
    GaveUp {
        /// What was wrong at last.
        fault: Fault,
        /// Why it was given up.
        cause: GiveUpCause,
        /// How long it was tried.
        after: Duration,
        /// How the last attempt failed; `None` where there was none.
        #[source]
        last: Option<AttemptFailure<E>>,
    },
    /// A recovery of the same worker is going on already. It was told of the fault.
    #[error("a recovery of {worker} is going on already")]
    GoingOn {
        /// Which worker.
        worker: WorkerId,
    },
    /// As many recoveries are going on as there may be.
    #[error("{most} recoveries are going on already")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// The recovery layer was closed.
    #[error("recovery was closed")]
    Closed,
}
