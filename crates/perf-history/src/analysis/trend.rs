//! What became gradually better or worse.

use std::sync::Arc;

use super::AnalysisSettings;
use super::discovery::adjusted;
use super::lineage::Lineage;
use super::slope::{self, Slope};
use crate::stats::Interval;
use crate::{Arm, ModelId, ShapeBucket, UnixMillis};

/// Trends, and how many series they were looked for in.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Trends {
    /// How many were tested.
    pub tested: u64,
    /// How many of them are significant.
    pub significant: u64,
    /// The share of those that may be noise: the false discovery rate.
    pub q: f64,
    /// The trends, the surest first.
    pub series: Vec<Trend>,
}

/// How something changes day by day.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Trend {
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// The arm, in its latest version; the trend goes through those before it.
    pub arm: Arc<Arm>,
    /// What changes.
    pub measure: Measure,
    /// Its change in a day: of latency in per cent of itself, of the success rate in percentage points.
    pub percent_per_day: f64,
    /// The interval of that, 95 %.
    pub interval: Interval,
    /// How probable a change as fast is by chance.
    pub p_value: f64,
    /// The same, adjusted for how many series were tested.
    pub q_value: f64,
    /// Whether that is at most q.
    pub significant: bool,
    /// The runs that it rests on.
    pub samples: u64,
    /// When the first of them were.
    pub from: UnixMillis,
    /// When the last of them were.
    pub to: UnixMillis,
}

/// What a trend is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// The latency of warm runs that succeeded.
    Latency,
    /// The share of runs that succeeded.
    SuccessRate,
}

impl Trend {
    /// Whether it is for the worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        match self.measure {
            Measure::Latency => self.percent_per_day > 0.0,
            Measure::SuccessRate => self.percent_per_day < 0.0,
        }
    }
}

/// The trends of all lineages; `starts` are the places of each one's jumps.
pub(super) fn trends(lineages: &[Lineage<'_>], starts: &[Vec<usize>], settings: &AnalysisSettings) -> Trends {
    let mut found = Vec::new();
    for (lineage, starts) in lineages.iter().zip(starts) {
        if let Some(slope) = slope::of_latency(&lineage.points, starts) {
            let percent = |ln: f64| 100.0 * ln.clamp(-20.0, 20.0).exp_m1();
            found.extend(trend(lineage, Measure::Latency, slope, percent));
        }
        let points: Vec<_> = lineage.versions.iter().flat_map(|series| &series.points).copied().collect();
        if let Some(slope) = slope::of_success(&points) {
            found.extend(trend(lineage, Measure::SuccessRate, slope, |rate| 100.0 * rate));
        }
    }
    let q_values = adjusted(&found.iter().map(|trend| trend.p_value).collect::<Vec<_>>());
    for (trend, q_value) in found.iter_mut().zip(q_values) {
        trend.q_value = q_value;
        trend.significant = q_value <= settings.q;
    }
    let (tested, significant) = (found.len(), found.iter().filter(|trend| trend.significant).count());
    found.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
    found.truncate(settings.most_listed);
    let q = if settings.q.is_finite() { settings.q } else { 0.0 };
    Trends { tested: tested as u64, significant: significant as u64, q, series: found }
}

fn trend(
    lineage: &Lineage<'_>,
    measure: Measure,
    slope: Slope,
    percent: impl Fn(f64) -> f64,
) -> Option<Trend> {
    let (first, last) = (lineage.versions.first()?, lineage.versions.last()?);
    let of = |series: &&super::collect::Series| match measure {
        Measure::Latency => series.totals.latencies,
        Measure::SuccessRate => series.totals.ok.saturating_add(series.totals.failed),
    };
    Some(Trend {
        model: lineage.model.clone(),
        shape: lineage.shape.clone(),
        arm: last.arm.clone(),
        measure,
        percent_per_day: percent(slope.per_day),
        interval: Interval { low: percent(slope.interval.low), high: percent(slope.interval.high) },
        p_value: slope.p_value,
        q_value: 1.0,
        significant: false,
        samples: lineage.versions.iter().map(of).fold(0, u64::saturating_add),
        from: UnixMillis(first.points.first()?.at),
        to: UnixMillis(last.points.last()?.end()),
    })
}
