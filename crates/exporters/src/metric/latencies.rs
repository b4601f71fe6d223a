//! Which histogram of a snapshot is which series. A snapshot holds only those that have samples.

use telemetry::{LatencyKind, LatencySummary, RungOutcome, RungSummary};
use vocab::{Backend, BrowserName, Rung};

use super::{Family, Kind, Sample, Summary};

const fn phase(kind: LatencyKind) -> &'static str {
    match kind {
        LatencyKind::Queue => "queue",
        LatencyKind::InPage => "in_page",
        LatencyKind::Total => "total",
        LatencyKind::Load => "load",
        // A kind that this version does not know; the test below fails before anybody sees it.
        _ => "other",
    }
}

/// The quantiles that every summary has; the last one is the maximum.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 1.0];

/// A summary in seconds of the values at these quantiles and a sum, in milliseconds.
fn seconds(at_ms: [f64; 5], sum_ms: f64, count: u64) -> Summary {
    let quantiles = QUANTILES.into_iter().zip(at_ms).map(|(quantile, ms)| (quantile, ms / 1e3)).collect();
    Summary::new(quantiles, sum_ms / 1e3, count)
}

pub(super) fn requests(latencies: &[LatencySummary]) -> Family {
    let mut family = Family::new(
        "webnn_pool_request_duration_seconds",
        "How long results took, by phase: waiting in the queue, computing in the page, both and all between (total); \
         and loading the model (load).",
        Kind::Summary,
    );
    for &kind in LatencyKind::ALL {
        for &browser in BrowserName::ALL {
            for &backend in Backend::ALL {
                let found = latencies
                    .iter()
                    .find(|one| (one.kind, one.browser, one.backend) == (kind, browser, backend));
                let summary = found.map_or_else(Summary::empty, |one| {
                    let at = [one.p50_ms, one.p90_ms, one.p95_ms, one.p99_ms, one.max_ms];
                    seconds(at, one.sum_ms, one.count)
                });
                let labels = vec![
                    ("phase", phase(kind).to_owned()),
                    ("browser", browser.as_str().to_owned()),
                    ("backend", backend.as_str().to_owned()),
                ];
                family.samples.push(Sample::new(labels, summary));
            }
        }
    }
    family
}

pub(super) fn rungs(rungs: &[RungSummary]) -> Family {
    let mut family = Family::new(
        "webnn_pool_rung_duration_seconds",
        "How long the attempts of a rung of recovery took, with their proof, by how they ended.",
        Kind::Summary,
    );
    for &rung in Rung::ALL {
        for &outcome in RungOutcome::ALL {
            let found = rungs.iter().find(|one| (one.rung, one.outcome) == (rung, outcome));
            let summary = found.map_or_else(Summary::empty, |one| {
                let at = [one.p50_ms, one.p90_ms, one.p95_ms, one.p99_ms, one.max_ms];
                seconds(at, one.sum_ms, one.count)
            });
            let labels = vec![("rung", rung.as_str().to_owned()), ("outcome", outcome.as_str().to_owned())];
            family.samples.push(Sample::new(labels, summary));
        }
    }
    family
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use telemetry::{Event, Outcome, Place, Telemetry};
    use vocab::{Fault, ModelHash, RequestId, WorkerId};

    use super::*;
    use crate::Reading;

    #[track_caller]
    fn summary<'a>(family: &'a Family, labels: &[&str]) -> &'a Summary {
        let found = family
            .samples
            .iter()
            .find(|sample| sample.labels.iter().map(|(_, value)| value.as_str()).eq(labels.iter().copied()));
        match &found.expect("the series is there").value {
            Reading::Summary(summary) => summary,
            other => panic!("{other:?} is no summary"),
        }
    }

    #[test]
    fn every_series_is_there_from_the_start() {
        let snapshot = Telemetry::new().snapshot();
        let all = requests(&snapshot.latencies);
        assert_eq!(all.samples.len(), LatencyKind::ALL.len() * BrowserName::ALL.len() * Backend::ALL.len());
        assert_eq!(summary(&all, &["load", "firefox", "wasm"]), &Summary::empty());
        let all = rungs(&snapshot.rungs);
        assert_eq!(all.samples.len(), Rung::ALL.len() * RungOutcome::ALL.len());
        assert_eq!(summary(&all, &["switch", "timed_out"]), &Summary::empty());
        for &kind in LatencyKind::ALL {
            assert_ne!(phase(kind), "other", "{kind:?} needs a name");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
    fn milliseconds_become_seconds() {
        let telemetry = Telemetry::new();
        let now = Instant::now();
        let place = Place { worker: WorkerId(1), browser: BrowserName::Firefox, backend: Backend::Wasm };
        for total_ms in [100.0, 300.0] {
            telemetry.emit(
                now,
                Event::RequestFinished {
                    request: RequestId(1),
                    model: ModelHash([0; 32]),
                    outcome: Outcome::Completed,
                    place: Some(place),
                    queue_ms: 1.0,
                    in_page_ms: None,
                    total_ms,
                },
            );
        }
        let (worker, fault, rung) = (WorkerId(1), Fault::PageHung, Rung::Refresh);
        telemetry.emit(
            now,
            Event::RungTried { worker, fault, rung, outcome: RungOutcome::Worked, took_ms: 2_500.0 },
        );
        let snapshot = telemetry.snapshot();
        let all = requests(&snapshot.latencies);
        let total = summary(&all, &["total", "firefox", "wasm"]);
        assert_eq!((total.sum, total.count), (0.4, 2));
        assert!((total.quantiles[0].1 - 0.1).abs() < 0.002, "{total:?}");
        assert_eq!(summary(&all, &["in_page", "firefox", "wasm"]).count, 0, "nothing was computed");
        let all = rungs(&snapshot.rungs);
        let refresh = summary(&all, &["refresh", "worked"]);
        assert_eq!((refresh.sum, refresh.count), (2.5, 1));
    }
}
