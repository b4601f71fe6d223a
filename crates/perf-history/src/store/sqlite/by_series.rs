//! The index from series to observations, which is brought up to date in portions.
//!
//! An ordinary index would have a page changed, and written to the log, for almost every observation of a batch, because
//! a batch is about many series. In portions, each page takes a few dozen entries at once; ingest is three times as
//! fast. What is not in it yet is read from the end of the table.

use std::collections::HashMap;

use rusqlite::Connection;

use super::error::Fault;
use super::state::State;

/// How many observations are added to the index at once.
const PORTION: i64 = 32_768;

/// The time and the id of an observation: the order of what is latest.
pub(super) type Place = (i64, i64);

/// Brings the index up to date, if that is worth it.
pub(super) fn keep_up(conn: &Connection, state: &mut State) -> Result<(), Fault> {
    if state.last_id - state.arranged < PORTION {
        return Ok(());
    }
    conn.prepare_cached(
        "INSERT INTO by_series (series, at, id) \
         SELECT series, at, id FROM observations WHERE id > ?1 ORDER BY series, at, id",
    )?
    .execute([state.arranged])?;
    state.arranged = state.last_id;
    Ok(())
}

/// Takes observations out of the index, given as series, time and id.
pub(super) fn remove(conn: &Connection, mut gone: Vec<(i64, i64, i64)>) -> Result<(), Fault> {
    gone.sort_unstable();
    let mut statement =
        conn.prepare_cached("DELETE FROM by_series WHERE series = ?1 AND at = ?2 AND id = ?3")?;
    for entry in gone {
        statement.execute(entry)?;
    }
    Ok(())
}

/// What is not in the index yet, by series.
pub(super) fn rest(conn: &Connection, state: &State, since: i64) -> Result<HashMap<i64, Vec<Place>>, Fault> {
    let mut rest: HashMap<i64, Vec<Place>> = HashMap::new();
    let mut statement = conn.prepare_cached("SELECT series, at, id FROM observations WHERE id > ?1")?;
    let mut rows = statement.query([state.arranged])?;
    while let Some(row) = rows.next()? {
        let place: Place = (row.get(1)?, row.get(2)?);
        if place.0 >= since {
            rest.entry(row.get(0)?).or_default().push(place);
        }
    }
    Ok(rest)
}

/// The latest places of one series, in order, from the index and the given rest.
pub(super) fn latest(
    conn: &Connection,
    series: i64,
    since: i64,
    each: u32,
    mut rest: Vec<Place>,
) -> Result<Vec<Place>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT at, id FROM by_series WHERE series = ?1 AND at >= ?2 ORDER BY at DESC, id DESC LIMIT ?3",
    )?;
    let mut rows = statement.query((series, since, each))?;
    while let Some(row) = rows.next()? {
        rest.push((row.get(0)?, row.get(1)?));
    }
    rest.sort_unstable();
    let each = usize::try_from(each).unwrap_or(usize::MAX);
    Ok(rest.split_off(rest.len().saturating_sub(each)))
}
