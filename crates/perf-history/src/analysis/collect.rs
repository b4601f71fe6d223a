//! Roll-ups, gathered by what they are about.

use std::collections::HashMap;
use std::sync::Arc;

use super::point::Point;
use crate::stats::LatencySketch;
use crate::{Arm, ModelId, Period, Rollup, ShapeBucket, Totals};

/// One model, in one shape bucket, on one arm.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) model: Arc<ModelId>,
    pub(super) shape: ShapeBucket,
    pub(super) arm: Arc<Arm>,
    /// Everything together, but for the latencies.
    pub(super) totals: Totals,
    /// Its hours and days, in order once everything is there.
    pub(super) points: Vec<Point>,
    /// The latencies of each day, in order.
    pub(super) days: Vec<(i64, LatencySketch)>,
}

/// Everything that was added so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Collected {
    pub(super) series: Vec<Series>,
    by_value: HashMap<(Arc<ModelId>, ShapeBucket, Arc<Arm>), usize>,
    /// Where the values lie that belong to a series. It is much quicker to compare addresses, and stores give out the
    /// same ones again and again. What lies there is kept, so that nothing else ever does.
    by_address: HashMap<[usize; 3], (usize, Kept)>,
    pub(super) rollups: u64,
    /// The series that came last, and for each the one that came after it. Stores go through all series hour by hour, so
    /// it is mostly the same one.
    last: usize,
    after: Vec<usize>,
}

type Kept = (Arc<ModelId>, ShapeBucket, Arc<Arm>);

/// How many addresses are remembered at most.
const MOST_ADDRESSES: usize = 100_000;

impl Collected {
    pub(super) fn add(&mut self, rollup: &Rollup) {
        let at = self.place(rollup);
        self.rollups += 1;
        let series = &mut self.series[at];
        add_counts(&mut series.totals, &rollup.totals);
        series.points.push(Point::of(rollup));
        let sketch = &rollup.totals.sketch;
        if sketch.is_empty() {
            return;
        }
        let day = Period::Day.start(rollup.start).0;
        let at = match series.days.last() {
            Some(&(last, _)) if last == day => Ok(series.days.len() - 1),
            _ => series.days.binary_search_by_key(&day, |&(day, _)| day),
        };
        match at {
            Ok(at) => series.days[at].1.merge(sketch),
            Err(at) => series.days.insert(at, (day, sketch.clone())),
        }
    }

    /// The place of the roll-up's series, which is added where it is new.
    fn place(&mut self, rollup: &Rollup) -> usize {
        let Rollup { model, shape, arm, .. } = rollup;
        let last = std::mem::take(&mut self.last);
        let guess = self.after.get(last).copied().unwrap_or(0);
        let right = self.series.get(guess).is_some_and(|series| {
            Arc::ptr_eq(&series.model, model)
                && Arc::ptr_eq(&series.shape.0, &shape.0)
                && Arc::ptr_eq(&series.arm, arm)
        });
        self.last = if right { guess } else { self.look_up(rollup) };
        if let Some(after) = self.after.get_mut(last) {
            *after = self.last;
        }
        self.last
    }

    fn look_up(&mut self, rollup: &Rollup) -> usize {
        let Rollup { model, shape, arm, .. } = rollup;
        let address =
            [Arc::as_ptr(model).addr(), Arc::as_ptr(&shape.0).cast::<u8>().addr(), Arc::as_ptr(arm).addr()];
        if let Some(&(at, _)) = self.by_address.get(&address) {
            return at;
        }
        let key = (model.clone(), shape.clone(), arm.clone());
        let next = self.series.len();
        let at = *self.by_value.entry(key.clone()).or_insert(next);
        if at == next {
            let (model, shape, arm) = key.clone();
            let (totals, points, days) = (Totals::default(), Vec::new(), Vec::new());
            self.series.push(Series { model, shape, arm, totals, points, days });
            self.after.push(0);
        }
        if self.by_address.len() < MOST_ADDRESSES {
            self.by_address.insert(address, (at, key));
        }
        at
    }

    /// All series by model, shape and arm, each with its points in the order of time.
    pub(super) fn sorted(self) -> Vec<Series> {
        let mut all = self.series;
        all.sort_by(|a, b| (&a.model, &a.shape, &a.arm).cmp(&(&b.model, &b.shape, &b.arm)));
        for series in &mut all {
            series.points.sort_by_key(|point| point.at);
        }
        all
    }
}

/// Adds counts, which stop at the largest number there is: a damaged row must not end the analysis.
fn add_counts(to: &mut Totals, from: &Totals) {
    for (to, from) in [
        (&mut to.ok, from.ok),
        (&mut to.failed, from.failed),
        (&mut to.wrong, from.wrong),
        (&mut to.vanished, from.vanished),
        (&mut to.timed_out, from.timed_out),
        (&mut to.out_of_memory, from.out_of_memory),
        (&mut to.neutral, from.neutral),
        (&mut to.loads_ok, from.loads_ok),
        (&mut to.loads_failed, from.loads_failed),
        (&mut to.recoveries_ok, from.recoveries_ok),
        (&mut to.recoveries_failed, from.recoveries_failed),
        (&mut to.latencies, from.latencies),
    ] {
        *to = to.saturating_add(from);
    }
}
