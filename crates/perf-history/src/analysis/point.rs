//! One hour or day of one series, as numbers to calculate with.

use crate::{LEAST_MS, Period, Rollup};

/// One hour or day. Every number in it is finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// When it began, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) period: Period,
    pub(super) ok: f64,
    pub(super) failed: f64,
    /// How many latencies there are.
    pub(super) n: f64,
    /// The mean of their logarithms.
    pub(super) mean: f64,
    /// The sum of the squared distances from it.
    pub(super) spread: f64,
}

/// The largest latency that is believed, in milliseconds.
const MOST_MS: f64 = 1e12;

impl Point {
    pub(super) fn of(rollup: &Rollup) -> Self {
        let totals = &rollup.totals;
        let mut n = totals.latencies as f64;
        let mean = totals.ln_sum / n;
        // Sums that databases and absurd times have spoilt say nothing.
        if !mean.is_finite() || !totals.ln_square_sum.is_finite() {
            n = 0.0;
        }
        let mean = if n > 0.0 { mean.clamp(LEAST_MS.ln(), MOST_MS.ln()) } else { 0.0 };
        Self {
            at: rollup.start.0,
            period: rollup.period,
            ok: totals.ok as f64,
            failed: totals.failed as f64,
            n,
            mean,
            spread: (totals.ln_square_sum - n * mean * mean).clamp(0.0, n * 1e4),
        }
    }

    /// When it ended.
    pub(super) fn end(&self) -> i64 {
        self.at.saturating_add(self.period.ms())
    }

    pub(super) fn runs(&self) -> f64 {
        self.ok + self.failed
    }
}

/// A time in days since 1970.
pub(super) fn days(at: i64) -> f64 {
    at as f64 / Period::Day.ms() as f64
}

/// The variance of the logarithms of latencies within an hour: what one run scatters around the others next to it.
pub(super) fn variance_within(points: &[Point]) -> f64 {
    /// The least relative scatter that is assumed: clocks of pages count in steps.
    const LEAST: f64 = 0.02 * 0.02;
    /// What is assumed while no hour has two runs.
    const UNKNOWN: f64 = 0.5 * 0.5;
    let freedom: f64 = points.iter().map(|point| (point.n - 1.0).max(0.0)).sum();
    let spread: f64 = points.iter().filter(|point| point.n > 1.0).map(|point| point.spread).sum();
    if freedom < 1.0 { UNKNOWN } else { (spread / freedom).max(LEAST) }
}
