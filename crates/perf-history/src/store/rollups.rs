//! Putting the rows of roll-ups in order.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::BadRow;
use super::subject::{Known, Subject};
use crate::{Period, Rollup, Totals, UnixMillis};

/// Roll-ups as they are read. There may be a million of them, so they are neither copied nor compared more than needed.
pub(super) struct Rollups<'a> {
    /// By series, its place among all of them, and what it is about.
    series: HashMap<i64, (usize, &'a Arc<Subject>)>,
    rows: Vec<Rollup>,
    /// The place of each row's series.
    places: Vec<usize>,
}

impl<'a> Rollups<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        let sorted = known.series.sorted().into_iter().enumerate();
        Self {
            series: sorted.map(|(place, (id, subject))| (id, (place, subject))).collect(),
            rows: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Adds the next row. It is quickest where those of one series and one period come in the order of time.
    pub(super) fn push(
        &mut self,
        series: i64,
        period: Period,
        start: UnixMillis,
        totals: Totals,
    ) -> Result<(), BadRow> {
        let found = self.series.get(&series).ok_or(BadRow::Missing { table: "series", id: series })?;
        let (place, subject) = *found;
        let (model, shape, arm) = (subject.model.clone(), subject.shape.clone(), subject.arm.clone());
        self.rows.push(Rollup { model, shape, arm, period, start, totals });
        self.places.push(place);
        Ok(())
    }

    /// All of them by model, shape, arm and time.
    pub(super) fn sorted(self) -> Vec<Rollup> {
        let Self { series, mut rows, mut places } = self;
        // How many rows belong before those of each series.
        let mut ends = vec![0; series.len() + 1];
        places.iter().for_each(|&place| ends[place + 1] += 1);
        for place in 0..series.len() {
            ends[place + 1] += ends[place];
        }
        let starts = ends.clone();
        // Where each row goes; then each is swapped to where it belongs.
        for place in &mut places {
            let next = &mut ends[*place];
            *place = *next;
            *next += 1;
        }
        for at in 0..rows.len() {
            while places[at] != at {
                let to = places[at];
                rows.swap(at, to);
                places.swap(at, to);
            }
        }
        // In a series, one period comes after the other.
        for series in starts.windows(2) {
            rows[series[0]..series[1]].sort_by_key(|row| (row.start, std::cmp::Reverse(row.period)));
        }
        rows
    }
}
