//! What was observed about one browser through all of its versions.

use std::sync::Arc;

use super::collect::Series;
use super::point::Point;
use crate::{Arm, ModelId, Period, ShapeBucket};

/// The versions of one browser, with one backend on one device, that followed each other, for one model and shape.
#[derive(Debug)]
pub(super) struct Lineage<'a> {
    pub(super) model: &'a Arc<ModelId>,
    pub(super) shape: &'a ShapeBucket,
    /// In the order in which they began.
    pub(super) versions: Vec<&'a Series>,
    /// The hours and days of all of them that have latencies, in the order of time.
    pub(super) points: Vec<Point>,
    /// The place of the version of each point.
    pub(super) version_of: Vec<usize>,
}

/// How long two versions may run side by side while one replaces the other.
const OVERLAP: i64 = Period::Day.ms();

impl Lineage<'_> {
    /// Puts the points of all versions in the order of time.
    fn arrange(&mut self) {
        let versions = self.versions.iter().enumerate();
        let all = versions.flat_map(|(at, series)| series.points.iter().map(move |&point| (at, point)));
        (self.version_of, self.points) = all.filter(|(_, point)| point.n > 0.0).unzip();
        if self.versions.len() > 1 {
            let mut both: Vec<_> = self.version_of.drain(..).zip(self.points.drain(..)).collect();
            both.sort_by_key(|&(version, point)| (point.at, version));
            (self.version_of, self.points) = both.into_iter().unzip();
        }
    }

    /// When a version was first seen.
    pub(super) fn begin(&self, version: usize) -> Option<i64> {
        self.versions.get(version).and_then(|series| series.points.first()).map(|point| point.at)
    }

    /// The arm of a point.
    pub(super) fn arm_at(&self, point: usize) -> Option<&Arc<Arm>> {
        let version = *self.version_of.get(point)?;
        self.versions.get(version).map(|series| &series.arm)
    }
}

/// Everything but the version.
fn same_but_version(a: &Arm, b: &Arm) -> bool {
    let Arm { browser, browser_version: _, backend, device_requested, device_effective, adapter, threads } =
        a;
    *browser == b.browser
        && *backend == b.backend
        && *device_requested == b.device_requested
        && *device_effective == b.device_effective
        && *adapter == b.adapter
        && *threads == b.threads
}

/// Puts series, which are sorted, into lineages. A version follows another one if it began when that one ended; versions
/// that run side by side have lineages of their own.
pub(super) fn lineages(series: &[Series]) -> Vec<Lineage<'_>> {
    let mut all: Vec<Lineage<'_>> = Vec::new();
    let mut rest = series;
    while let Some(first) = rest.first() {
        // The arms of one model and shape lie together, but their order has the version before the backend.
        let same = |other: &Series| other.model == first.model && other.shape == first.shape;
        let (context, after) = rest.split_at(rest.iter().take_while(|other| same(other)).count());
        rest = after;
        let mut context: Vec<&Series> = context.iter().collect();
        context.sort_by_key(|series| series.points.first().map(|point| point.at));
        let begun = all.len();
        for series in context {
            let begin = series.points.first().map_or(0, |point| point.at);
            let follows = |lineage: &&mut Lineage<'_>| {
                lineage.versions.last().is_some_and(|last| {
                    let end = last.points.last().map_or(i64::MAX, Point::end);
                    same_but_version(&last.arm, &series.arm) && end <= begin.saturating_add(OVERLAP)
                })
            };
            let own = || Lineage {
                model: &series.model,
                shape: &series.shape,
                versions: vec![series],
                points: Vec::new(),
                version_of: Vec::new(),
            };
            match all[begun..].iter_mut().find(follows) {
                Some(lineage) => lineage.versions.push(series),
                None => all.push(own()),
            }
        }
    }
    all.iter_mut().for_each(Lineage::arrange);
    all
}
