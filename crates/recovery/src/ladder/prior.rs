//! What is assumed about a rung before anything was observed.

use std::time::Duration;

use vocab::{Fault, Rung};

/// An assumption about a rung.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "two figures are all that an assumption has")]
pub struct Prior {
    /// In what share of cases it is expected to help.
    pub chance: f64,
    /// How long it is expected to take where it helps, with its proof. Where it does not help, twice that.
    pub takes: Duration,
}

/// How likely a rung is to help a fault, and how long it takes.
///
/// These are hypotheses, labelled as such wherever they are shown ([`Source::Default`](super::Source::Default)), and
/// overridden by what is observed. They are the same for every browser, because nothing is known yet of their
/// differences.
#[must_use]
pub const fn prior(fault: Fault, rung: Rung) -> Prior {
    let (chance, millis) = match (rung, fault) {
        // Most hangs that a ping resolves were long runs of the page's own code.
        (Rung::Ping, _) => (0.3, 100),
        (Rung::Reconnect, _) => (0.8, 1_000),
        // A hung page may keep the driver waiting that should load it anew.
        (Rung::Refresh, Fault::PageHung) => (0.6, 4_000),
        // A device is often lost with the browser's GPU process, which pages share.
        (Rung::Refresh, Fault::DeviceLost) => (0.7, 4_000),
        // Wrong numbers come from drivers and compilers more often than from a page's state.
        (Rung::Refresh, Fault::WrongNumbers) => (0.4, 4_000),
        (Rung::Refresh, Fault::Slow) => (0.6, 4_000),
        (Rung::Refresh, _) => (0.9, 4_000),
        (Rung::Restart, Fault::WrongNumbers) => (0.6, 8_000),
        (Rung::Restart, _) => (0.9, 8_000),
        (Rung::Switch, _) => (0.9, 5_000),
    };
    Prior { chance, takes: Duration::from_millis(millis) }
}
