//! What several tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use recovery::{Fault, Rung, RungSet, Subject};
use vocab::{BrowserName, WorkerId};

/// Real time is read once, to have something to count from.
#[allow(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(crate) fn firefox() -> Subject {
    Subject { worker: WorkerId(1), browser: Some(BrowserName::Firefox) }
}

pub(crate) fn fault() -> impl Strategy<Value = Fault> {
    proptest::sample::select(Fault::ALL)
}

pub(crate) fn rungs() -> impl Strategy<Value = RungSet> {
    proptest::sample::subsequence(Rung::ALL.to_vec(), 0..=5).prop_map(|rungs| rungs.into_iter().collect())
}
