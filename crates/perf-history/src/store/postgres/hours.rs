//! The roll-ups of hours and days, read and written many at a time.

use std::collections::HashMap;

use postgres::Row;
use postgres::types::ToSql;

use super::error::Fault;
use super::server::Tx;
use crate::store::columns::{COUNTS, SUMS, TOTALS, TotalsRow, totals};
use crate::store::hour_sums::{HourSums, Key, table};
use crate::{Observation, Period, Totals};

/// Adds a batch to the sums, given with the series of each observation. Only while nobody else can write; if that is not
/// committed, everything must be forgotten.
pub(super) fn add(
    tx: &mut Tx<'_>,
    sums: &mut HourSums,
    batch: &[Observation],
    series: &[i64],
) -> Result<(), Fault> {
    let changed = sums.add(batch, series, |keys| read(tx, Period::Hour, keys))?;
    write(tx, Period::Hour, &changed)
}

/// The rows of these keys, as far as there are any.
pub(super) fn read(tx: &mut Tx<'_>, period: Period, keys: &[Key]) -> Result<HashMap<Key, Totals>, Fault> {
    let sql = format!(
        "SELECT start, series, {TOTALS} FROM unnest($1::bigint[], $2::bigint[]) AS keys (start, series) \
         JOIN perf_history.{} USING (start, series)",
        table(period)
    );
    let (starts, series): (Vec<i64>, Vec<i64>) = keys.iter().copied().unzip();
    let rows = tx.query(&sql, &[&starts, &series])?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), from_row(row, 2)?))).collect()
}

/// Adds rows, or takes the place of those that are there.
pub(super) fn write(tx: &mut Tx<'_>, period: Period, rows: &[(Key, &Totals)]) -> Result<(), Fault> {
    let names = || TOTALS.split(", ");
    let sql = format!(
        "INSERT INTO perf_history.{} (start, series, {TOTALS}) SELECT * FROM unnest({}) \
         ON CONFLICT (start, series) DO UPDATE SET {}",
        table(period),
        (0..2 + COUNTS + SUMS + 1).map(parameter).collect::<Vec<_>>().join(", "),
        names().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", "),
    );
    let (mut starts, mut series, mut sketches) = (Vec::new(), Vec::new(), Vec::new());
    let (mut counts, mut sums) = ([const { Vec::new() }; COUNTS], [const { Vec::new() }; SUMS]);
    for &(key, totals) in rows {
        let row = TotalsRow::from(totals);
        starts.push(key.0);
        series.push(key.1);
        counts.iter_mut().zip(row.counts).for_each(|(column, count)| column.push(count));
        sums.iter_mut().zip(row.sums).for_each(|(column, sum)| column.push(sum));
        sketches.push(row.sketch);
    }
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&starts, &series];
    values.extend(counts.iter().map(|column| column as &(dyn ToSql + Sync)));
    values.extend(sums.iter().map(|column| column as &(dyn ToSql + Sync)));
    values.push(&sketches);
    tx.execute(&sql, &values)?;
    Ok(())
}

/// The parameter of a column of start, series and [`TOTALS`].
fn parameter(at: usize) -> String {
    let kind = match at {
        at if at < 2 + COUNTS => "bigint",
        at if at < 2 + COUNTS + SUMS => "double precision",
        _ => "bytea",
    };
    format!("${}::{kind}[]", at + 1)
}

/// Reads the columns of [`TOTALS`], of which the first is at `first`.
pub(super) fn from_row(row: &Row, first: usize) -> Result<Totals, Fault> {
    let mut counts = [0; COUNTS];
    for (at, count) in counts.iter_mut().enumerate() {
        *count = row.try_get(first + at)?;
    }
    let mut sums = [0.0; SUMS];
    for (at, sum) in sums.iter_mut().enumerate() {
        *sum = row.try_get(first + COUNTS + at)?;
    }
    Ok(totals(counts, sums, row.try_get(first + COUNTS + SUMS)?)?)
}
