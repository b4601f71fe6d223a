//! What a handle knows at one moment, in a form that serialises.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use vocab::{Backend, BrowserName, Rung};

use crate::{Event, RungOutcome};

/// What a latency histogram measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LatencyKind {
    /// From acceptance to the last dispatch.
    Queue,
    /// What the page spent computing.
    InPage,
    /// From acceptance to the result.
    Total,
    /// From the call to the loaded session, as the page measured it.
    Load,
}

impl LatencyKind {
    /// Every kind, in the order of declaration.
    pub const ALL: &'static [Self] = &[Self::Queue, Self::InPage, Self::Total, Self::Load];
}

/// One histogram, summed up. Times are milliseconds, good to two significant digits.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LatencySummary {
    /// What was measured.
    pub kind: LatencyKind,
    /// In which browser.
    pub browser: BrowserName,
    /// On which backend.
    pub backend: Backend,
    /// How many samples there are.
    pub count: u64,
    /// All samples added up, each exact to a microsecond. It never falls.
    pub sum_ms: f64,
    /// The arithmetic mean.
    pub mean_ms: f64,
    /// The smallest sample.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The largest sample.
    pub max_ms: f64,
}

/// How long the attempts of one rung took that ended in one way. Times are milliseconds, good to two significant digits.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RungSummary {
    /// What was tried.
    pub rung: Rung,
    /// How that ended.
    pub outcome: RungOutcome,
    /// How many attempts there were.
    pub count: u64,
    /// All of them added up, each exact to a microsecond. It never falls.
    pub sum_ms: f64,
    /// The arithmetic mean.
    pub mean_ms: f64,
    /// The shortest attempt.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The longest attempt.
    pub max_ms: f64,
}

/// An event with its place in the order of events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recorded {
    /// How many events were emitted before it.
    pub sequence: u64,
    /// When it happened: milliseconds after the handle's first event.
    pub at_ms: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Arc<Event>,
}

/// Counters, latencies and recent events at one moment.
///
/// The parts are read one after another while others may be writing: each is right in itself, and they may differ
/// from each other by the events of that moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// How often each event happened, by `event` or `event.cause`. Every name is present from the start.
    pub counters: BTreeMap<String, u64>,
    /// The histograms that have samples.
    pub latencies: Vec<LatencySummary>,
    /// How long rungs of recovery took: those that were tried.
    pub rungs: Vec<RungSummary>,
    /// The most recent events, oldest first.
    pub recent: Vec<Recorded>,
}
