//! Metric families, and what of a snapshot becomes which.

mod counters;
mod family;
mod latencies;

pub use family::{Family, Kind, Reading, Sample, Summary};

use telemetry::Snapshot;

/// What every family's name begins with.
const PREFIX: &str = "webnn_pool";

/// Everything that a snapshot holds, as metric families.
///
/// Each counter is a series of `webnn_pool_<event>_total`, labelled by its cause. Latencies are the summary
/// `webnn_pool_request_duration_seconds{phase,browser,backend}`, and times of recovery's rungs the summary
/// `webnn_pool_rung_duration_seconds{rung,outcome}`. Every series of these fixed label sets is there from the start, so
/// that rates are right from the first event on; a summary without samples has a count and a sum of zero and no
/// quantiles. Quantiles are over the life of the telemetry handle, good to two significant digits; counts and sums are
/// exact, so that averages over any window can be computed from them.
#[must_use]
pub fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut all = counters::families(&snapshot.counters);
    all.push(latencies::requests(&snapshot.latencies));
    all.push(latencies::rungs(&snapshot.rungs));
    all
}
