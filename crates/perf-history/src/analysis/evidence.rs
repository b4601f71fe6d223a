//! What arms are compared by: the latest part of each series, as a few numbers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vocab::ModelType;

use super::AnalysisSettings;
use super::lineage::Lineage;
use super::point::{Point, variance_within};
use crate::{Arm, ModelId, Period, ShapeBucket};

/// One model in one shape bucket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Context {
    pub(super) model: Arc<ModelId>,
    pub(super) shape: ShapeBucket,
}

/// What is known of one arm in one context.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    /// Places in [`Evidence`].
    pub(super) context: usize,
    pub(super) arm: usize,
    pub(super) ok: f64,
    pub(super) runs: f64,
    /// How many latencies there are.
    pub(super) n: f64,
    /// The mean of their logarithms, and its variance.
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// All that arms are compared by.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) contexts: Vec<Context>,
    pub(super) arms: Vec<Arc<Arm>>,
    /// By context, and then by arm.
    pub(super) cells: Vec<Cell>,
}

impl Evidence {
    /// The cells of contexts whose model is of this type.
    pub(super) fn of_type(&self, model_type: Option<ModelType>) -> Vec<Cell> {
        let of_type = |cell: &&Cell| self.contexts[cell.context].model.model_type == model_type;
        self.cells.iter().filter(of_type).copied().collect()
    }
}

/// What was seen in the last days of the history on arms that no newer version has replaced; latencies, since they
/// changed the last time.
pub(super) fn evidence(
    lineages: &[Lineage<'_>],
    starts: &[Vec<usize>],
    settings: &AnalysisSettings,
) -> Evidence {
    let points = || lineages.iter().flat_map(|lineage| &lineage.versions).flat_map(|series| &series.points);
    let Some(end) = points().filter(|point| point.runs() > 0.0).map(Point::end).max() else {
        return Evidence::default();
    };
    let window = end.saturating_sub(i64::from(settings.recent_days.max(1)).saturating_mul(Period::Day.ms()));
    let replaced = replaced(lineages);
    let mut evidence = Evidence::default();
    let mut places: HashMap<&Arc<Arm>, usize> = HashMap::new();
    for (lineage, starts) in lineages.iter().zip(starts) {
        let changed = starts.iter().max().and_then(|&at| lineage.points.get(at)).map_or(i64::MIN, |at| at.at);
        for series in &lineage.versions {
            let recent = |from: i64| series.points.iter().filter(move |point| point.at >= from);
            let (ok, runs) =
                recent(window).fold((0.0, 0.0), |(ok, runs), point| (ok + point.ok, runs + point.runs()));
            if runs == 0.0 || replaced.contains(&series.arm) {
                continue;
            }
            let latencies: Vec<Point> =
                recent(window.max(changed)).filter(|point| point.n > 0.0).copied().collect();
            let context = Context { model: series.model.clone(), shape: series.shape.clone() };
            if evidence.contexts.last() != Some(&context) {
                evidence.contexts.push(context);
            }
            let next = evidence.arms.len();
            let arm = *places.entry(&series.arm).or_insert(next);
            if arm == next {
                evidence.arms.push(series.arm.clone());
            }
            let (n, mean, variance) = level(&latencies);
            let context = evidence.contexts.len() - 1;
            evidence.cells.push(Cell { context, arm, ok, runs, n, mean, variance });
        }
    }
    evidence
}

/// The number of latencies, the mean of their logarithms and its variance: by the scatter of runs, or by that of hours
/// where hours scatter more than their runs explain.
fn level(points: &[Point]) -> (f64, f64, f64) {
    let n: f64 = points.iter().map(|point| point.n).sum();
    if n == 0.0 {
        return (0.0, 0.0, 0.0);
    }
    let mean = points.iter().map(|point| point.n * point.mean).sum::<f64>() / n;
    let by_runs = variance_within(points) / n;
    let count = points.len() as f64;
    let by_hours = points.iter().map(|point| (point.n / n * (point.mean - mean)).powi(2)).sum::<f64>()
        * count
        / (count - 1.0).max(1.0);
    (n, mean, if points.len() < 5 { by_runs } else { by_runs.max(by_hours) })
}

/// The arms that a newer version of the same browser, backend and device has replaced: it began when they ended.
fn replaced<'a>(lineages: &[Lineage<'a>]) -> HashSet<&'a Arc<Arm>> {
    let mut extents: HashMap<&Arc<Arm>, (i64, i64)> = HashMap::new();
    for series in lineages.iter().flat_map(|lineage| &lineage.versions) {
        let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { continue };
        let extent = extents.entry(&series.arm).or_insert_with(|| (first.at, last.end()));
        *extent = (extent.0.min(first.at), extent.1.max(last.end()));
    }
    // When the newest version of each began.
    let mut newest: HashMap<Arm, i64> = HashMap::new();
    let any_version = |arm: &Arm| Arm { browser_version: "".into(), ..arm.clone() };
    for (arm, &(begin, _)) in &extents {
        let newest = newest.entry(any_version(arm)).or_insert(begin);
        *newest = begin.max(*newest);
    }
    let is_replaced = |arm: &Arm, begin: i64, end: i64| {
        let newest = newest.get(&any_version(arm)).copied().unwrap_or(begin);
        newest > begin && end <= newest.saturating_add(Period::Day.ms())
    };
    let gone = extents.iter().filter(|&(arm, &(begin, end))| is_replaced(arm, begin, end));
    gone.map(|(&arm, _)| arm).collect()
}
