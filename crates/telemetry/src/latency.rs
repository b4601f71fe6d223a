//! Latency histograms with a fixed set of keys: kind × browser × backend.

use vocab::{Backend, BrowserName};

use crate::histograms::{Histograms, Times};
use crate::{LatencyKind, LatencySummary};

const KEYS: usize = LatencyKind::ALL.len() * BrowserName::ALL.len() * Backend::ALL.len();

#[derive(Debug)]
pub(crate) struct Latencies {
    histograms: Histograms,
}

fn key(kind: LatencyKind, browser: BrowserName, backend: Backend) -> usize {
    (kind as usize * BrowserName::ALL.len() + browser as usize) * Backend::ALL.len() + backend as usize
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { histograms: Histograms::new(KEYS) }
    }

    /// Records the samples of one event, at most one of each kind; answers `false` where they were lost.
    pub(crate) fn record(
        &self,
        browser: BrowserName,
        backend: Backend,
        samples: &[(LatencyKind, f64)],
    ) -> bool {
        let mut keyed = [(0, 0.0); LatencyKind::ALL.len()];
        let mut known = 0;
        for (into, &(kind, ms)) in keyed.iter_mut().zip(samples) {
            *into = (key(kind, browser, backend), ms);
            known += 1;
        }
        self.histograms.record(&keyed[..known])
    }

    pub(crate) fn read(&self) -> Vec<LatencySummary> {
        let merged = self.histograms.read();
        let mut summaries = Vec::new();
        for &kind in LatencyKind::ALL {
            for &browser in BrowserName::ALL {
                for &backend in Backend::ALL {
                    if let Some(times) = &merged[key(kind, browser, backend)] {
                        summaries.push(summary(kind, browser, backend, times));
                    }
                }
            }
        }
        summaries
    }
}

fn summary(kind: LatencyKind, browser: BrowserName, backend: Backend, all: &Times) -> LatencySummary {
    LatencySummary {
        kind,
        browser,
        backend,
        count: all.count(),
        sum_ms: all.sum_ms(),
        mean_ms: all.mean_ms(),
        min_ms: all.min_ms(),
        p50_ms: all.at_ms(0.50),
        p90_ms: all.at_ms(0.90),
        p95_ms: all.at_ms(0.95),
        p99_ms: all.at_ms(0.99),
        max_ms: all.max_ms(),
    }
}
