//! The roll-ups of hours, updated with every batch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::columns::{BadRow, COUNTS, SUMS, TOTALS, TotalsRow, totals};
use super::error::Fault;
use crate::{Observation, Period, Totals};

/// How many sums are remembered at most between two batches.
const REMEMBERED: usize = 16_384;

/// A roll-up's key: the beginning of its time, and its series.
pub(super) type Key = (i64, i64);

/// The sums that were written last, so that they need not be read again.
#[derive(Debug, Default)]
pub(super) struct Hours {
    /// What SQLite called the file's contents when these were written: another process changes it by any commit.
    contents: i64,
    sums: HashMap<Key, Totals>,
}

impl Hours {
    pub(super) fn forget(&mut self) {
        self.sums.clear();
    }

    /// Adds a batch, given with the series of each observation. Only within a transaction that writes; if that is not
    /// committed, everything must be forgotten.
    pub(super) fn add(
        &mut self,
        conn: &Connection,
        batch: &[Observation],
        series: &[i64],
    ) -> Result<(), Fault> {
        let contents = conn.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?;
        if self.contents != contents || self.sums.len() > REMEMBERED {
            self.sums.clear();
            self.contents = contents;
        }
        let mut changed = BTreeSet::new();
        for (observation, &series) in batch.iter().zip(series) {
            let key = (Period::Hour.start(observation.at).0, series);
            let totals = match self.sums.entry(key) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(new) => new.insert(read(conn, Period::Hour, key)?.unwrap_or_default()),
            };
            totals.add(observation);
            changed.insert(key);
        }
        for key in changed {
            if let Some(totals) = self.sums.get(&key) {
                write(conn, Period::Hour, key, totals)?;
            }
        }
        Ok(())
    }
}

/// The table of a period.
pub(super) const fn table(period: Period) -> &'static str {
    match period {
        Period::Hour => "hours",
        Period::Day => "days",
    }
}

pub(super) fn read(conn: &Connection, period: Period, key: Key) -> Result<Option<Totals>, Fault> {
    let sql = format!("SELECT {TOTALS} FROM {} WHERE start = ?1 AND series = ?2", table(period));
    let found =
        conn.prepare_cached(&sql)?.query_row([key.0, key.1], |row| Ok(from_row(row, 0))).optional()?;
    found.transpose()
}

/// Adds the row, or takes the place of the one that is there.
pub(super) fn write(conn: &Connection, period: Period, key: Key, totals: &Totals) -> Result<(), Fault> {
    let sql = format!(
        "INSERT OR REPLACE INTO {} (start, series, {TOTALS}) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        table(period)
    );
    let TotalsRow { counts: c, sums: s, sketch } = TotalsRow::from(totals);
    conn.prepare_cached(&sql)?.execute(params![
        key.0, key.1, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], s[0], s[1],
        s[2], sketch
    ])?;
    Ok(())
}

/// Reads the columns of [`TOTALS`], of which the first is at `first`.
pub(super) fn from_row(row: &Row<'_>, first: usize) -> Result<Totals, Fault> {
    let mut counts = [0; COUNTS];
    for (at, count) in counts.iter_mut().enumerate() {
        *count = row.get(first + at)?;
    }
    let mut sums = [0.0; SUMS];
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = row.get(first + COUNTS + at)?;
    }
    let sketch = row.get_ref(first + COUNTS + SUMS)?;
    Ok(totals(counts, sums, sketch.as_blob().map_err(|_| BadRow::Sketch)?)?)
}
