//! What a fake worker is told to do, and what it counts.

use std::time::Duration;

use vocab::FailureKind;

/// What a fake worker does with one call.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Does what is asked, at once.
    Ok,
    /// Does what is asked after some time, unless it is cancelled meanwhile.
    Slow(Duration),
    /// Answers with 32-bit floating-point outputs that are off by this much.
    Lie(f32),
    /// Answers with 32-bit floating-point outputs that are off by another amount each time.
    Noise,
    /// Answers that it failed.
    Fail(FailureKind),
    /// Answers after some time that it failed.
    FailAfter(Duration, FailureKind),
    /// Waits until it is cancelled, and confirms the cancellation at once.
    UntilCancelled,
    /// Waits until it is cancelled, and confirms the cancellation after some time.
    SlowToCancel(Duration),
    /// Never answers, not even to a cancellation.
    Never,
    /// Is found not to be there.
    Vanish,
    /// Panics.
    Panic,
}

impl Step {
    /// Answers that it failed with this kind.
    #[must_use]
    pub fn fail(kind: FailureKind) -> Self {
        Self::Fail(kind)
    }
}

/// What happened to a fake worker so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Calls to load.
    pub loads: u64,
    /// Calls to run.
    pub runs: u64,
    /// Calls to unload.
    pub unloads: u64,
    /// Calls to drop a sequence's caches.
    pub releases: u64,
    /// Runs in flight now.
    pub running: u64,
    /// The most runs that ever were in flight.
    pub most_running: u64,
    /// Sessions that are loaded now.
    pub loaded: u64,
}
