//! A store as plain as can be: a list, and sums that are made when they are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use perf_history::{
    Arm, Compacted, ModelId, Observation, Period, Query, Retention, Rollup, ShapeBucket, Stored, Totals,
    UnixMillis,
};

type Series = (Arc<ModelId>, ShapeBucket, Arc<Arm>);

/// The sums of one series, by the beginning of their time.
type Sums = BTreeMap<(Series, UnixMillis), Totals>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    last_id: i64,
    observations: Vec<Stored>,
    hours: Sums,
    days: Sums,
}

fn series(observation: &Observation) -> Series {
    (observation.model.clone(), observation.shape.clone(), observation.arm.clone())
}

impl Model {
    pub(crate) fn append(&mut self, batch: &[Observation]) {
        for observation in batch {
            self.last_id += 1;
            self.observations.push(Stored { id: self.last_id, observation: observation.clone() });
            let start = Period::Hour.start(observation.at);
            self.hours.entry((series(observation), start)).or_default().add(observation);
        }
    }

    pub(crate) fn observations(&self, query: &Query) -> Vec<Stored> {
        match *query {
            Query::After { id, limit } => {
                let after = self.observations.iter().filter(|stored| stored.id > id);
                after.take(limit as usize).cloned().collect()
            }
            Query::Latest { each, since } => {
                let mut by_series: BTreeMap<Series, Vec<Stored>> = BTreeMap::new();
                for stored in &self.observations {
                    if since.is_none_or(|since| stored.observation.at >= since) {
                        by_series.entry(series(&stored.observation)).or_default().push(stored.clone());
                    }
                }
                let latest = |mut all: Vec<Stored>| {
                    all.sort_by_key(|stored| (stored.observation.at, stored.id));
                    all.split_off(all.len().saturating_sub(each as usize))
                };
                by_series.into_values().flat_map(latest).collect()
            }
        }
    }

    pub(crate) fn rollups(&self, since: Option<UnixMillis>) -> Vec<Rollup> {
        let mut all = Vec::new();
        for (period, sums) in [(Period::Day, &self.days), (Period::Hour, &self.hours)] {
            for (((model, shape, arm), start), totals) in sums {
                if since.is_none_or(|since| start.0 + period.ms() > since.0) {
                    let (model, shape, arm) = (model.clone(), shape.clone(), arm.clone());
                    all.push(Rollup { model, shape, arm, period, start: *start, totals: totals.clone() });
                }
            }
        }
        all.sort_by_cached_key(|row| (row.model.clone(), row.shape.clone(), row.arm.clone(), row.start));
        all
    }

    /// Drops everything that one or more calls drop.
    pub(crate) fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Compacted {
        let before = |days: u32| now.0 - i64::from(days) * Period::Day.ms();
        let there = self.observations.len();
        let oldest = before(retention.observation_days);
        self.observations.retain(|stored| stored.observation.at.0 >= oldest);
        let most = usize::try_from(retention.most_observations).unwrap_or(usize::MAX);
        let mut by_age: Vec<(UnixMillis, i64)> =
            self.observations.iter().map(|stored| (stored.observation.at, stored.id)).collect();
        by_age.sort_unstable();
        let gone = by_age[..by_age.len().saturating_sub(most)].to_vec();
        self.observations.retain(|stored| !gone.contains(&(stored.observation.at, stored.id)));

        let end = before(retention.hour_days);
        let (kept, folded): (Sums, Sums) = std::mem::take(&mut self.hours)
            .into_iter()
            .partition(|((_, start), _)| start.0 + Period::Hour.ms() > end);
        self.hours = kept;
        let hours = folded.len();
        for ((series, start), totals) in folded {
            self.days.entry((series, Period::Day.start(start))).or_default().merge(&totals);
        }

        let end = before(retention.day_days);
        let days = self.days.len();
        self.days.retain(|(_, start), _| start.0 + Period::Day.ms() > end);
        Compacted {
            observations: (there - self.observations.len()) as u64,
            hours: hours as u64,
            days: (days - self.days.len()) as u64,
            more: false,
        }
    }
}

/// Checks that two lists of roll-ups are the same, but for the last digits of sums that were added in another order.
#[track_caller]
pub(crate) fn check_same(found: &[Rollup], expected: &[Rollup]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}\ninstead of {expected:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        let (mine, theirs) = (&found.totals, &expected.totals);
        assert!(near(mine.load_ms, theirs.load_ms), "{found:#?}\ninstead of {expected:#?}");
        assert!(near(mine.ln_sum, theirs.ln_sum), "{found:#?}\ninstead of {expected:#?}");
        assert!(near(mine.ln_square_sum, theirs.ln_square_sum), "{found:#?}\ninstead of {expected:#?}");
        let mut exact = found.clone();
        exact.totals.load_ms = theirs.load_ms;
        exact.totals.ln_sum = theirs.ln_sum;
        exact.totals.ln_square_sum = theirs.ln_square_sum;
        assert_eq!(&exact, expected);
    }
}
