//! Latency histograms with a fixed set of keys: kind × browser × backend.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use vocab::{Backend, BrowserName};

use crate::{LatencyKind, LatencySummary};

/// Each histogram exists this many times; a recorder takes whichever copy is free.
const STRIPES: usize = 4;
/// The largest value that is told apart: one hour, in microseconds. Larger ones count as one hour.
const MAX_US: u64 = 3_600_000_000;

const KEYS: usize = LatencyKind::ALL.len() * BrowserName::ALL.len() * Backend::ALL.len();

/// One copy of every histogram; each is created when it is first needed.
type Stripe = Vec<Option<Box<Histogram<u32>>>>;

pub(crate) struct Latencies {
    stripes: [Mutex<Stripe>; STRIPES],
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latencies").finish_non_exhaustive()
    }
}

fn key(kind: LatencyKind, browser: BrowserName, backend: Backend) -> usize {
    (kind as usize * BrowserName::ALL.len() + browser as usize) * Backend::ALL.len() + backend as usize
}

fn empty() -> Option<Box<Histogram<u32>>> {
    Histogram::new_with_bounds(1, MAX_US, 2).ok().map(Box::new)
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { stripes: std::array::from_fn(|_| Mutex::new((0..KEYS).map(|_| None).collect())) }
    }

    /// Records the samples of one event; answers `false` where every copy was being used.
    pub(crate) fn record(
        &self,
        browser: BrowserName,
        backend: Backend,
        samples: &[(LatencyKind, f64)],
    ) -> bool {
        let Some(mut stripe) = self.stripes.iter().find_map(|stripe| stripe.try_lock()) else { return false };
        for &(kind, ms) in samples {
            let slot = &mut stripe[key(kind, browser, backend)];
            if slot.is_none() {
                *slot = empty();
            }
            if let Some(histogram) = slot {
                // Casting saturates, so a negative or NaN sample counts as zero instead of failing.
                histogram.saturating_record((ms * 1e3) as u64);
            }
        }
        true
    }

    pub(crate) fn read(&self) -> Vec<LatencySummary> {
        let mut merged: Stripe = (0..KEYS).map(|_| None).collect();
        for stripe in &self.stripes {
            for (into, from) in merged.iter_mut().zip(stripe.lock().iter()) {
                let Some(from) = from else { continue };
                match into {
                    // Both have the same bounds, so adding cannot fail; a failure would only lose this copy's samples.
                    Some(into) => drop(into.add(from.as_ref())),
                    None => *into = Some(from.clone()),
                }
            }
        }
        let mut summaries = Vec::new();
        for &kind in LatencyKind::ALL {
            for &browser in BrowserName::ALL {
                for &backend in Backend::ALL {
                    if let Some(histogram) = &merged[key(kind, browser, backend)] {
                        summaries.push(summary(kind, browser, backend, histogram));
                    }
                }
            }
        }
        summaries
    }
}

fn summary(
    kind: LatencyKind,
    browser: BrowserName,
    backend: Backend,
    all: &Histogram<u32>,
) -> LatencySummary {
    let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    LatencySummary {
        kind,
        browser,
        backend,
        count: all.len(),
        mean_ms: all.mean() / 1e3,
        min_ms: all.min() as f64 / 1e3,
        p50_ms: at(0.50),
        p90_ms: at(0.90),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: all.max() as f64 / 1e3,
    }
}
