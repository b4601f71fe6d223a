//! The roll-ups of hours, updated with every batch.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::columns::{BadRow, COUNTS, SUMS, TOTALS, TotalsRow, totals};
use super::super::hour_sums::{HourSums, Key, table};
use super::error::Fault;
use crate::{Observation, Period, Totals};

/// Adds a batch to the sums, given with the series of each observation. Only within a transaction that writes; if that is
/// not committed, everything must be forgotten.
pub(super) fn add(
    conn: &Connection,
    sums: &mut HourSums,
    batch: &[Observation],
    series: &[i64],
) -> Result<(), Fault> {
    // Another process changes this by any commit.
    let contents = conn.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?;
    sums.expect(contents);
    let read_all = |keys: &[Key]| -> Result<HashMap<Key, Totals>, Fault> {
        let found = keys.iter().map(|&key| Ok(read(conn, Period::Hour, key)?.map(|totals| (key, totals))));
        found.filter_map(Result::transpose).collect()
    };
    for (key, totals) in sums.add(batch, series, read_all)? {
        write(conn, Period::Hour, key, totals)?;
    }
    Ok(())
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

/// The same, of a row of which only `ok`, `failed`, the latencies and their sums are not zero.
pub(super) fn from_plain_row(row: &Row<'_>, first: usize) -> Result<Totals, Fault> {
    /// The place of `latencies` among the counts.
    const LATENCIES: usize = COUNTS - 1;
    let mut counts = [0; COUNTS];
    for at in [0, 1, LATENCIES] {
        counts[at] = row.get(first + at)?;
    }
    let sums = [0.0, row.get(first + COUNTS + 1)?, row.get(first + COUNTS + 2)?];
    let sketch = row.get_ref(first + COUNTS + SUMS)?;
    Ok(totals(counts, sums, sketch.as_blob().map_err(|_| BadRow::Sketch)?)?)
}
