//! What goes into an incident, and what comes out.

use std::time::Instant;

use telemetry::RungOutcome;
use vocab::{BrowserName, PressureLevel, Rung, WorkerId};

use super::RungRecord;
use crate::rungs::RungSet;

/// What is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "it is a key, whole by design")]
pub struct Subject {
    /// Which one; for what is no worker of a pool, any number that nothing else has.
    pub worker: WorkerId,
    /// Its browser, by which experience is kept; `None` for what is no browser.
    pub browser: Option<BrowserName>,
}

/// Whether one more restart may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "free and full are all that there is")]
pub enum RestartRoom {
    /// It may.
    Free,
    /// Others are being restarted.
    Full {
        /// When it is worth asking again.
        ask_again: Instant,
    },
}

/// What an incident needs to know of the world for one decision.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "whoever drives an incident builds it in full")]
pub struct Conditions<'a> {
    /// The rungs that exist here and now: switch, for example, only where somebody could take over.
    pub offered: RungSet,
    /// How scarce memory is.
    pub level: PressureLevel,
    /// Whether one more restart may begin.
    pub restart: RestartRoom,
    /// Whether the retry budget affords that a rung is tried once more.
    pub repeat: bool,
    /// What was learned about rungs.
    pub record: &'a RungRecord,
}

/// Why there is nothing to do but wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// A restart is the next rung, and others are being restarted.
    RestartRoom,
}

/// Why a recovery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GiveUpCause {
    /// The time for the whole recovery was over.
    Deadline,
    /// Every rung that could help was tried as often as it may be, or as the retry budget affords.
    Exhausted,
    /// None of the rungs that are offered could help.
    NothingHelps,
}

impl GiveUpCause {
    /// As a plain phrase.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "its time was over",
            Self::Exhausted => "every rung that could help was tried",
            Self::NothingHelps => "no rung that is offered could help",
        }
    }
}

impl std::fmt::Display for GiveUpCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Try a rung, then [`report`](super::Incident::report) how it went.
    Attempt {
        /// Which one.
        rung: Rung,
        /// Which try of it this is in this recovery, from 1. One above 1 takes a token of the retry budget.
        attempt: u32,
        /// When to begin, at the earliest.
        not_before: Instant,
        /// When to give it up. It never lies beyond the deadline of the whole recovery.
        until: Instant,
    },
    /// Ask again at this time, or when what is waited for may have changed.
    Wait {
        /// When.
        until: Instant,
        /// What is waited for.
        why: WaitReason,
    },
    /// It works again.
    Recovered,
    /// It does not, and nothing more will be tried.
    GiveUp {
        /// Why.
        cause: GiveUpCause,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// It was done, and the worker proved that it works.
    Worked,
    /// It could not be done.
    Failed,
    /// It was done, but the worker did not prove that it works.
    Unproved,
    /// Its time was over.
    TimedOut,
    /// There is no such rung here. It is not tried again in this recovery, and nothing is learned from it.
    Unavailable,
}

impl AttemptOutcome {
    /// As telemetry names it.
    #[must_use]
    pub const fn for_telemetry(self) -> RungOutcome {
        match self {
            Self::Worked => RungOutcome::Worked,
            Self::Failed => RungOutcome::Failed,
            Self::Unproved => RungOutcome::Unproved,
            Self::TimedOut => RungOutcome::TimedOut,
            Self::Unavailable => RungOutcome::Unavailable,
        }
    }
}
