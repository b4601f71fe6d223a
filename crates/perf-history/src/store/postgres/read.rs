//! Reading observations and roll-ups, each from one state of the database.

use postgres::Row;
use postgres::fallible_iterator::FallibleIterator as _;
use vocab::WorkerId;

use super::append::OBSERVATION;
use super::error::Fault;
use super::hours::from_row;
use super::server::{Conn, Tx};
use super::state::State;
use super::text::given;
use super::{Memory, names};
use crate::store::columns::{BadRow, TOTALS, operation, unsigned, word};
use crate::store::hour_sums::table;
use crate::store::rollups::Rollups;
use crate::store::subject::{Known, Subject};
use crate::{Observation, Period, Query, Rollup, Stored, UnixMillis};

/// Begins reading: everything that is read until the end is of one state, and every name in it is known.
fn begin<'a>(conn: &'a mut Conn, known: &mut Known) -> Result<Tx<'a>, Fault> {
    let mut tx = conn.reading()?;
    let state = State::read(&mut tx)?;
    known.expect(state.generation);
    names::load(&mut tx, known)?;
    Ok(tx)
}

pub(super) fn observations(
    conn: &mut Conn,
    memory: &mut Memory,
    query: &Query,
) -> Result<Vec<Stored>, Fault> {
    let known = &mut memory.known;
    let mut tx = begin(conn, known)?;
    let mut found = Vec::new();
    let mut keep = |row: &Row| -> Result<(), Fault> {
        let series = row.try_get(2)?;
        let subject = known.series.value(series);
        found.push(stored(row, subject.ok_or(BadRow::Missing { table: "series", id: series })?)?);
        Ok(())
    };
    match *query {
        Query::Latest { each, since } => {
            let sql = format!(
                "SELECT {OBSERVATION} FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (wanted, place) \
                 CROSS JOIN LATERAL (SELECT * FROM perf_history.observations \
                 WHERE series = wanted AND at >= $2 ORDER BY at DESC, id DESC LIMIT $3) AS latest \
                 ORDER BY place, at, id"
            );
            let series: Vec<i64> = known.series.sorted().into_iter().map(|(id, _)| id).collect();
            let since = since.map_or(i64::MIN, |since| since.0);
            let mut rows = tx.rows(&sql, &[&series, &since, &i64::from(each)])?;
            while let Some(row) = rows.next()? {
                keep(&row)?;
            }
        }
        Query::After { id, limit } => {
            let sql = format!(
                "SELECT {OBSERVATION} FROM perf_history.observations WHERE id > $1 ORDER BY id LIMIT $2"
            );
            let mut rows = tx.rows(&sql, &[&id, &i64::from(limit)])?;
            while let Some(row) = rows.next()? {
                keep(&row)?;
            }
        }
    }
    Ok(found)
}

fn stored(row: &Row, subject: &Subject) -> Result<Stored, Fault> {
    let Subject { model, shape, arm } = subject;
    let size = |at: usize| Ok::<_, Fault>(row.try_get::<_, Option<i64>>(at)?.map(unsigned));
    let observation = Observation {
        at: UnixMillis(row.try_get(1)?),
        model: model.clone(),
        shape: shape.clone(),
        arm: arm.clone(),
        worker: WorkerId(unsigned(row.try_get(3)?)),
        operation: operation(row.try_get(4)?)?,
        outcome: word("an outcome", &given(row.try_get(5)?))?,
        warm: row.try_get(6)?,
        load_ms: row.try_get(7)?,
        queue_ms: row.try_get(8)?,
        in_page_ms: row.try_get(9)?,
        service_ms: row.try_get(10)?,
        total_ms: row.try_get(11)?,
        bytes_in: size(12)?,
        bytes_out: size(13)?,
        memory_bytes: size(14)?,
    };
    Ok(Stored { id: row.try_get(0)?, observation })
}

pub(super) fn rollups(
    conn: &mut Conn,
    memory: &mut Memory,
    since: Option<UnixMillis>,
) -> Result<Vec<Rollup>, Fault> {
    let known = &mut memory.known;
    let mut tx = begin(conn, known)?;
    let mut rollups = Rollups::new(known);
    for period in [Period::Day, Period::Hour] {
        let sql =
            format!("SELECT start, series, {TOTALS} FROM perf_history.{} WHERE start >= $1", table(period));
        let first = since.map_or(i64::MIN, |since| since.0.saturating_sub(period.ms() - 1));
        let mut rows = tx.rows(&sql, &[&first])?;
        while let Some(row) = rows.next()? {
            rollups.push(row.try_get(1)?, period, UnixMillis(row.try_get(0)?), from_row(&row, 2)?)?;
        }
    }
    Ok(rollups.sorted())
}
