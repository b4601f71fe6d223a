//! When a browser became slower or faster at once, and whether a new version of it came then.

use std::sync::Arc;

use super::AnalysisSettings;
use super::change::{Jump, jumps};
use super::discovery::adjusted;
use super::lineage::Lineage;
use super::noise::Noise;
use super::point::Point;
use crate::stats::Direction;
use crate::{Arm, ModelId, Period, ShapeBucket, UnixMillis};

/// A lasting change of latency at one time.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Regression {
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// The arm after the change.
    pub arm: Arc<Arm>,
    /// The beginning of the first hour or day that was different.
    pub at: UnixMillis,
    /// Which way.
    pub direction: Direction,
    /// The geometric mean before, in milliseconds.
    pub before_ms: f64,
    /// The geometric mean after, in milliseconds.
    pub after_ms: f64,
    /// The one divided by the other: 1.3 takes 30 % longer than before.
    pub ratio: f64,
    /// The latencies before, since the change before this one.
    pub samples_before: u64,
    /// The latencies after, until the next change.
    pub samples_after: u64,
    /// How probable a change as large is by chance, wherever it might have been in this series.
    pub p_value: f64,
    /// The same, adjusted for how many series were tested. At most q, or it would not be reported.
    pub q_value: f64,
    /// Whether nothing has changed since.
    pub lasts: bool,
    /// The new version of the browser that was first seen about then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_change: Option<VersionChange>,
}

/// A browser was updated.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct VersionChange {
    /// The version before.
    pub from: Arc<str>,
    /// The version after.
    pub to: Arc<str>,
    /// When that was first seen.
    pub at: UnixMillis,
}

/// How far a version's beginning may be from a change to be named with it: what runs seldom shows a change late.
const ABOUT_THEN: i64 = Period::Hour.ms() * 12;

/// What was found in each lineage.
pub(super) struct Found {
    /// All of them, the largest first.
    pub(super) regressions: Vec<Regression>,
    /// For each lineage, the places of its changes.
    pub(super) starts: Vec<Vec<usize>>,
}

/// Looks for changes in every lineage.
pub(super) fn regressions(lineages: &[Lineage<'_>], settings: &AnalysisSettings) -> Found {
    let least = settings.least_change.max(0.0).ln_1p();
    let mut tested = Vec::new();
    let mut p_values = Vec::new();
    for (at, lineage) in lineages.iter().enumerate() {
        let noise = Noise::of(&lineage.points);
        let (jumps, first) = jumps(&lineage.points, &noise, least);
        if jumps.is_empty() {
            p_values.extend(first.map(|p| (p, None)));
        }
        for jump in jumps {
            p_values.push((jump.p_value, Some(tested.len())));
            tested.push((at, jump));
        }
    }
    let q_values = adjusted(&p_values.iter().map(|&(p, _)| p).collect::<Vec<_>>());
    let mut starts = vec![Vec::new(); lineages.len()];
    let mut kept = Vec::new();
    for (&(_, place), q_value) in p_values.iter().zip(q_values) {
        let Some(&(at, jump)) = place.and_then(|place| tested.get(place)) else { continue };
        if q_value <= settings.q && (jump.after - jump.before).abs() >= least {
            starts[at].push(jump.at);
            kept.push((at, jump, q_value));
        }
    }
    let mut regressions: Vec<Regression> = kept
        .iter()
        .filter_map(|&(at, jump, q_value)| {
            let lasts = starts[at].last() == Some(&jump.at);
            regression(&lineages[at], &jump, q_value, lasts)
        })
        .collect();
    regressions.sort_by(|a, b| b.ratio.ln().abs().total_cmp(&a.ratio.ln().abs()));
    regressions.truncate(settings.most_listed);
    Found { regressions, starts }
}

fn regression(lineage: &Lineage<'_>, jump: &Jump, q_value: f64, lasts: bool) -> Option<Regression> {
    let samples = |points: &[Point]| points.iter().map(|point| point.n).sum::<f64>() as u64;
    let (from, to) = jump.around;
    let slower = jump.after > jump.before;
    Some(Regression {
        model: lineage.model.clone(),
        shape: lineage.shape.clone(),
        arm: lineage.arm_at(jump.at)?.clone(),
        at: UnixMillis(lineage.points.get(jump.at)?.at),
        direction: if slower { Direction::Slower } else { Direction::Faster },
        before_ms: jump.before.exp(),
        after_ms: jump.after.exp(),
        ratio: (jump.after - jump.before).exp(),
        samples_before: samples(&lineage.points[from..jump.at]),
        samples_after: samples(&lineage.points[jump.at..to]),
        p_value: jump.p_value,
        q_value,
        lasts,
        version_change: version_change(lineage, jump.at),
    })
}

/// The new version that began about when a point did, or between it and the one before.
fn version_change(lineage: &Lineage<'_>, point: usize) -> Option<VersionChange> {
    let at = lineage.points.get(point)?.at;
    let before = point.checked_sub(1).and_then(|before| lineage.points.get(before)).map_or(at, Point::end);
    let (from, to) = (before.min(at).saturating_sub(ABOUT_THEN), at.saturating_add(ABOUT_THEN));
    let begins = (1..lineage.versions.len()).filter_map(|version| Some((version, lineage.begin(version)?)));
    let (version, begin) = begins
        .filter(|&(_, begin)| begin >= from && begin <= to)
        .min_by_key(|&(_, begin)| begin.abs_diff(at))?;
    let name = |version: usize| lineage.versions[version].arm.browser_version.clone();
    Some(VersionChange { from: name(version - 1), to: name(version), at: UnixMillis(begin) })
}
