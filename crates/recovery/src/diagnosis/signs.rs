//! What was seen of something that may be in trouble.

use std::time::Duration;

use vocab::FailureKind;

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(clippy::exhaustive_enums, reason = "there, not there and not known are all that there is")]
pub enum Seen {
    /// Nobody looked, or nobody can tell; it proves nothing.
    #[default]
    Unknown,
    /// It is there.
    Up,
    /// It was there and is not any more.
    Down,
}

/// What the last run with a known answer showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(clippy::exhaustive_enums, reason = "right, wrong and not known are all that there is")]
pub enum Canary {
    /// There was none since the last look.
    #[default]
    Unknown,
    /// The numbers were right.
    Right,
    /// The numbers were wrong.
    Wrong,
}

/// The evidence of one look. Everything that is left at its default proves nothing.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Signs {
    /// The browser's process.
    pub process: Seen,
    /// The program that drives the browser.
    pub driver: Seen,
    /// The connection of the page's main thread.
    pub control: Seen,
    /// The connection of the thread that computes.
    pub data: Seen,
    /// How long nothing has been heard of the main thread.
    pub control_silence: Option<Duration>,
    /// How long the thread that computes has made no progress: no answer, no part of one, no report that it goes on.
    /// It counts only while there are [`leases`](Self::leases).
    pub data_silence: Option<Duration>,
    /// How many pieces of work it holds. A lease means that it is still progressing, not that it is still connected.
    pub leases: u32,
    /// Whether the browser or its driver said that the page's process crashed.
    pub tab_crashed: bool,
    /// The kinds of failure that the page reported since the last look.
    pub reported: Vec<FailureKind>,
    /// What the last run with a known answer showed.
    pub canary: Canary,
    /// How many times longer than usual its runs take: 1 is as usual.
    pub slowdown: Option<f64>,
    /// For how long the one who looks was itself not running, as after a suspended machine or a stopped process. It is
    /// taken off both silences, because what nobody listened for proves nothing.
    pub observer_away: Duration,
}
