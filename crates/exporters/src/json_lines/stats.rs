//! What a log has written, and what it has not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Family, Kind};

/// How many events were written and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Events whose line was written.
    pub written: u64,
    /// Events that were lost: no room in the channel, the log was closed, or writing failed.
    pub lost: u64,
    /// Writes that failed.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> Stats {
        Stats {
            written: self.written.load(Relaxed),
            lost: self.lost.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

impl Stats {
    /// The same numbers as the families `webnn_pool_json_lines_total{outcome}` and
    /// `webnn_pool_json_lines_write_failures_total`.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let Self { written, lost, failed } = *self;
        let outcome = |name: &str| vec![("outcome", name.to_owned())];
        vec![
            Family::new(
                "webnn_pool_json_lines_total",
                "Events for the log of lines of JSON, by what became of them.",
                Kind::Counter,
            )
            .with(outcome("written"), written)
            .with(outcome("lost"), lost),
            Family::counter(
                "webnn_pool_json_lines_write_failures_total",
                "Writes of the log of lines of JSON that failed.",
                failed,
            ),
        ]
    }
}
