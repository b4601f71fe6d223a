//! How something ended, and whom that speaks for or against.

use std::fmt;
use std::str::FromStr;

use vocab::FailureKind;

/// How an operation ended. A closed list: what is not in it is not an observation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "closed by design: every reader must handle each of them")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// With numbers that are not those of the reference.
    WrongNumbers,
    /// The worker was lost on the way.
    WorkerVanished,
    /// The page reported that it failed.
    Reported(FailureKind),
    /// The deadline passed.
    TimedOut(TimeoutPhase),
    /// The caller or the model is to blame.
    CallersError,
}

/// Where a request was when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "the phases of a request, all of them")]
pub enum TimeoutPhase {
    /// In the queue.
    Queued,
    /// Waiting for its model to load.
    Loading,
    /// On a worker.
    Running,
}

/// What an outcome says about the arm that it happened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there is no fourth thing to say")]
pub enum Verdict {
    /// It counts for the arm.
    Success,
    /// It counts against the arm.
    Failure,
    /// It says nothing about the arm.
    Neutral,
}

impl Outcome {
    /// The outcome of a failure that a page reported.
    #[must_use]
    pub fn reported(kind: FailureKind) -> Self {
        match kind {
            FailureKind::WrongNumbers => Self::WrongNumbers,
            kind if kind.is_callers_fault() => Self::CallersError,
            kind => Self::Reported(kind),
        }
    }

    /// Whether it speaks for the arm, against it, or neither. What the caller caused never speaks against it, and
    /// neither does a deadline that passed in the queue.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Ok => Verdict::Success,
            Self::WrongNumbers | Self::WorkerVanished => Verdict::Failure,
            Self::Reported(FailureKind::Cancelled | FailureKind::CachesLost) => Verdict::Neutral,
            Self::Reported(kind) if kind.is_callers_fault() => Verdict::Neutral,
            Self::Reported(_) | Self::TimedOut(TimeoutPhase::Loading | TimeoutPhase::Running) => {
                Verdict::Failure
            }
            Self::TimedOut(TimeoutPhase::Queued) | Self::CallersError => Verdict::Neutral,
        }
    }
}

impl fmt::Display for Outcome {
    /// The name in the database and in JSON, for example `reported:out_of_memory` or `timed_out:running`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::WrongNumbers => f.write_str("wrong_numbers"),
            Self::WorkerVanished => f.write_str("worker_vanished"),
            Self::Reported(kind) => write!(f, "reported:{kind}"),
            Self::TimedOut(TimeoutPhase::Queued) => f.write_str("timed_out:queued"),
            Self::TimedOut(TimeoutPhase::Loading) => f.write_str("timed_out:loading"),
            Self::TimedOut(TimeoutPhase::Running) => f.write_str("timed_out:running"),
            Self::CallersError => f.write_str("callers_error"),
        }
    }
}

/// A text that names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an outcome")]
pub struct UnknownOutcome(pub String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "ok" => Self::Ok,
            "wrong_numbers" => Self::WrongNumbers,
            "worker_vanished" => Self::WorkerVanished,
            "timed_out:queued" => Self::TimedOut(TimeoutPhase::Queued),
            "timed_out:loading" => Self::TimedOut(TimeoutPhase::Loading),
            "timed_out:running" => Self::TimedOut(TimeoutPhase::Running),
            "callers_error" => Self::CallersError,
            _ => match text.strip_prefix("reported:") {
                Some(kind) => Self::Reported(FailureKind::from(kind)),
                None => return Err(UnknownOutcome(text.to_owned())),
            },
        })
    }
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Outcome {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcome: Outcome, name: &str, verdict: Verdict) {
        assert_eq!(outcome.to_string(), name);
        assert_eq!(name.parse::<Outcome>(), Ok(outcome.clone()));
        assert_eq!(outcome.verdict(), verdict);
    }

    #[test]
    fn outcomes_have_names_and_speak_for_or_against_the_arm() {
        check(Outcome::Ok, "ok", Verdict::Success);
        check(Outcome::WrongNumbers, "wrong_numbers", Verdict::Failure);
        check(Outcome::WorkerVanished, "worker_vanished", Verdict::Failure);
        check(Outcome::Reported(FailureKind::OutOfMemory), "reported:out_of_memory", Verdict::Failure);
        check(Outcome::TimedOut(TimeoutPhase::Running), "timed_out:running", Verdict::Failure);
        check(Outcome::TimedOut(TimeoutPhase::Loading), "timed_out:loading", Verdict::Failure);
        check(Outcome::TimedOut(TimeoutPhase::Queued), "timed_out:queued", Verdict::Neutral);
        check(Outcome::CallersError, "callers_error", Verdict::Neutral);
    }

    #[test]
    fn what_the_caller_caused_is_not_held_against_anybody() {
        assert_eq!(Outcome::reported(FailureKind::InvalidInput), Outcome::CallersError);
        assert_eq!(Outcome::reported(FailureKind::DeviceLost), Outcome::Reported(FailureKind::DeviceLost));
        assert!("reported".parse::<Outcome>().is_err());
    }
}
