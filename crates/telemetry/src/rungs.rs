//! How long the rungs of recovery take, with a fixed set of keys: rung × outcome.

use vocab::Rung;

use crate::histograms::{Histograms, Times};
use crate::{RungOutcome, RungSummary};

const KEYS: usize = Rung::ALL.len() * RungOutcome::ALL.len();

#[derive(Debug)]
pub(crate) struct RungTimes {
    histograms: Histograms,
}

fn key(rung: Rung, outcome: RungOutcome) -> usize {
    rung as usize * RungOutcome::ALL.len() + outcome as usize
}

impl RungTimes {
    pub(crate) fn new() -> Self {
        Self { histograms: Histograms::new(KEYS) }
    }

    /// Records one attempt; answers `false` where it was lost.
    pub(crate) fn record(&self, rung: Rung, outcome: RungOutcome, took_ms: f64) -> bool {
        self.histograms.record(&[(key(rung, outcome), took_ms)])
    }

    pub(crate) fn read(&self) -> Vec<RungSummary> {
        let merged = self.histograms.read();
        let mut summaries = Vec::new();
        for &rung in Rung::ALL {
            for &outcome in RungOutcome::ALL {
                if let Some(times) = &merged[key(rung, outcome)] {
                    summaries.push(summary(rung, outcome, times));
                }
            }
        }
        summaries
    }
}

fn summary(rung: Rung, outcome: RungOutcome, all: &Times) -> RungSummary {
    RungSummary {
        rung,
        outcome,
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
