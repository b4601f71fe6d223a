//! Reading observations and roll-ups, each from one state of the file.

use rusqlite::{Connection, Row, Transaction};
use vocab::WorkerId;

use super::super::columns::{BadRow, TOTALS, operation, unsigned, word};
use super::super::hour_sums::table;
use super::super::rollups::Rollups;
use super::super::subject::{Known, Subject};
use super::error::Fault;
use super::hours::{from_plain_row, from_row};
use super::state::State;
use super::{by_series, names};
use crate::{Observation, Period, Query, Rollup, Stored, Totals, UnixMillis};

const OBSERVATION: &str = "id, at, series, worker, operation, outcome, warm, load_ms, queue_ms, in_page_ms, \
     service_ms, total_ms, bytes_in, bytes_out, memory_bytes";

/// Begins reading: everything that is read until the end is of one state, and every name in it is known.
fn begin<'a>(conn: &'a Connection, known: &mut Known) -> Result<(Transaction<'a>, State), Fault> {
    let tx = conn.unchecked_transaction()?;
    let state = State::read(&tx)?;
    known.expect(state.generation);
    names::load(&tx, known)?;
    Ok((tx, state))
}

pub(super) fn observations(
    conn: &Connection,
    known: &mut Known,
    query: &Query,
) -> Result<Vec<Stored>, Fault> {
    let (tx, state) = begin(conn, known)?;
    let mut found = Vec::new();
    match *query {
        Query::Latest { each, since } => {
            let since = since.map_or(i64::MIN, |since| since.0);
            let mut rest = by_series::rest(&tx, &state, since)?;
            let sql = format!("SELECT {OBSERVATION} FROM observations WHERE id = ?1");
            let mut statement = tx.prepare_cached(&sql)?;
            for (series, subject) in known.series.sorted() {
                let rest = rest.remove(&series).unwrap_or_default();
                for (_, id) in by_series::latest(&tx, series, since, each, rest)? {
                    found.push(statement.query_row([id], |row| Ok(stored(row, subject)))??);
                }
            }
        }
        Query::After { id, limit } => {
            let sql = format!("SELECT {OBSERVATION} FROM observations WHERE id > ?1 ORDER BY id LIMIT ?2");
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query((id, limit))?;
            while let Some(row) = rows.next()? {
                let series = row.get(2)?;
                let subject = known.series.value(series);
                found.push(stored(row, subject.ok_or(BadRow::Missing { table: "series", id: series })?)?);
            }
        }
    }
    Ok(found)
}

fn stored(row: &Row<'_>, subject: &Subject) -> Result<Stored, Fault> {
    let Subject { model, shape, arm } = subject;
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    let size = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(unsigned));
    let observation = Observation {
        at: UnixMillis(row.get(1)?),
        model: model.clone(),
        shape: shape.clone(),
        arm: arm.clone(),
        worker: WorkerId(unsigned(row.get(3)?)),
        operation: operation(text(4)?)?,
        outcome: word("an outcome", text(5)?)?,
        warm: row.get(6)?,
        load_ms: row.get(7)?,
        queue_ms: row.get(8)?,
        in_page_ms: row.get(9)?,
        service_ms: row.get(10)?,
        total_ms: row.get(11)?,
        bytes_in: size(12)?,
        bytes_out: size(13)?,
        memory_bytes: size(14)?,
    };
    Ok(Stored { id: row.get(0)?, observation })
}

pub(super) fn rollups(
    conn: &Connection,
    known: &mut Known,
    since: Option<UnixMillis>,
) -> Result<Vec<Rollup>, Fault> {
    let (tx, _) = begin(conn, known)?;
    let mut rollups = Rollups::new(known);
    each(&tx, since, |series, period, start, totals| Ok(rollups.push(series, period, start, totals)?))?;
    Ok(rollups.sorted())
}

pub(super) fn visit_rollups(
    conn: &Connection,
    known: &mut Known,
    since: Option<UnixMillis>,
    visit: &mut dyn FnMut(&Rollup),
) -> Result<(), Fault> {
    let (tx, _) = begin(conn, known)?;
    each(&tx, since, |series, period, start, totals| {
        let subject = known.series.value(series).ok_or(BadRow::Missing { table: "series", id: series })?;
        let (model, shape, arm) = (subject.model.clone(), subject.shape.clone(), subject.arm.clone());
        visit(&Rollup { model, shape, arm, period, start, totals });
        Ok(())
    })
}

/// What is zero in most rows. Reading a column costs as much as reading its value from the file, so these are looked at
/// only where SQLite says that there is something in them.
const RARE: &str = "wrong | vanished | timed_out | out_of_memory | neutral | loads_ok | loads_failed | recoveries_ok | \
     recoveries_failed | (load_ms <> 0)";

/// Reads every row of days and then every one of hours, both by time.
fn each(
    tx: &Connection,
    since: Option<UnixMillis>,
    mut row_of: impl FnMut(i64, Period, UnixMillis, Totals) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for period in [Period::Day, Period::Hour] {
        let sql = format!("SELECT start, series, {RARE}, {TOTALS} FROM {} WHERE start >= ?1", table(period));
        let mut statement = tx.prepare_cached(&sql)?;
        let first = since.map_or(i64::MIN, |since| since.0.saturating_sub(period.ms() - 1));
        let mut rows = statement.query([first])?;
        while let Some(row) = rows.next()? {
            let rare = row.get::<_, i64>(2)? != 0;
            let totals = if rare { from_row(row, 3)? } else { from_plain_row(row, 3)? };
            row_of(row.get(1)?, period, UnixMillis(row.get(0)?), totals)?;
        }
    }
    Ok(())
}
