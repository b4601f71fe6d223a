//! Dropping what is not kept any more, a bounded amount at a time.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::super::columns::TOTALS;
use super::super::hour_sums::{Key, table};
use super::error::Fault;
use super::hours::{from_row, read, write};
use super::state::State;
use super::{append, by_series};
use crate::{Compacted, Period, Retention, Totals, UnixMillis};

/// How many rows of each kind go at a time, so that nobody who writes waits long.
const AT_ONCE: i64 = 20_000;

/// How many freed pages are given back at a time.
const PAGES_AT_ONCE: i64 = 4_096;

pub(super) fn compact(
    conn: &mut Connection,
    now: UnixMillis,
    retention: &Retention,
) -> Result<Compacted, Fault> {
    let tx = append::begin(conn)?;
    let mut state = State::read(&tx)?;
    let before = |days: u32| now.0.saturating_sub(i64::from(days).saturating_mul(Period::Day.ms()));

    let most = i64::try_from(retention.most_observations).unwrap_or(i64::MAX);
    let observations = drop_observations(&tx, &state, before(retention.observation_days), most)?;
    state.observations -= observations;
    let hours = fold_hours(&tx, before(retention.hour_days))?;
    let days = drop_days(&tx, before(retention.day_days))?;
    let more = [observations, hours, days].into_iter().any(|dropped| dropped >= AT_ONCE);
    if days > 0 && !more && drop_names(&tx, &state)? {
        state.generation += 1;
    }
    state.write(&tx)?;
    shrink(&tx)?;
    tx.commit()?;
    let count = |dropped: i64| dropped.unsigned_abs();
    Ok(Compacted { observations: count(observations), hours: count(hours), days: count(days), more })
}

/// Drops observations that are older than `oldest`, and those by which there are more than `most`.
fn drop_observations(conn: &Connection, state: &State, oldest: i64, most: i64) -> Result<i64, Fault> {
    let old = delete(
        conn,
        state,
        "DELETE FROM observations WHERE id IN \
         (SELECT id FROM observations WHERE at < ?1 ORDER BY at, id LIMIT ?2) RETURNING series, at, id",
        &[oldest, AT_ONCE],
    )?;
    let excess = (state.observations - old).saturating_sub(most).clamp(0, AT_ONCE - old);
    if excess == 0 {
        return Ok(old);
    }
    let dropped = delete(
        conn,
        state,
        "DELETE FROM observations WHERE id IN (SELECT id FROM observations ORDER BY at, id LIMIT ?1) \
         RETURNING series, at, id",
        &[excess],
    )?;
    Ok(old + dropped)
}

/// Deletes observations, also from the index; returns how many.
fn delete(conn: &Connection, state: &State, sql: &str, params: &[i64]) -> Result<i64, Fault> {
    let mut dropped = 0;
    let mut arranged = Vec::new();
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        let entry @ (_, _, id): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        dropped += 1;
        if id <= state.arranged {
            arranged.push(entry);
        }
    }
    by_series::remove(conn, arranged)?;
    Ok(dropped)
}

/// Adds the sums of the hours that ended at `oldest` or before to those of their days.
fn fold_hours(conn: &Connection, oldest: i64) -> Result<i64, Fault> {
    let last_start = oldest.saturating_sub(Period::Hour.ms());
    let mut days: BTreeMap<Key, Totals> = BTreeMap::new();
    let mut last: Option<Key> = None;
    let mut folded = 0;
    {
        let sql = format!(
            "SELECT start, series, {TOTALS} FROM {} WHERE start <= ?1 ORDER BY start, series LIMIT ?2",
            table(Period::Hour)
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query([last_start, AT_ONCE])?;
        while let Some(row) = rows.next()? {
            let (start, series): Key = (row.get(0)?, row.get(1)?);
            let day = Period::Day.start(UnixMillis(start)).0;
            days.entry((day, series)).or_default().merge(&from_row(row, 2)?);
            last = Some((start, series));
            folded += 1;
        }
    }
    let Some((start, series)) = last else { return Ok(0) };
    for (key, mut totals) in days {
        if let Some(there) = read(conn, Period::Day, key)? {
            totals.merge(&there);
        }
        write(conn, Period::Day, key, &totals)?;
    }
    conn.execute("DELETE FROM hours WHERE (start, series) <= (?1, ?2)", [start, series])?;
    Ok(folded)
}

/// Drops the days that ended at `oldest` or before.
fn drop_days(conn: &Connection, oldest: i64) -> Result<i64, Fault> {
    let dropped = conn.execute(
        "DELETE FROM days WHERE (start, series) IN \
         (SELECT start, series FROM days WHERE start <= ?1 ORDER BY start, series LIMIT ?2)",
        [oldest.saturating_sub(Period::Day.ms()), AT_ONCE],
    )?;
    Ok(i64::try_from(dropped).unwrap_or(i64::MAX))
}

/// Drops series that nothing is about any more, and then models and arms; `false` where there were none.
fn drop_names(conn: &Connection, state: &State) -> Result<bool, Fault> {
    let series = conn.execute(
        "DELETE FROM series WHERE id NOT IN (SELECT series FROM hours UNION SELECT series FROM days) \
         AND NOT EXISTS (SELECT 1 FROM by_series WHERE by_series.series = series.id) \
         AND id NOT IN (SELECT series FROM observations WHERE id > ?1)",
        [state.arranged],
    )?;
    conn.execute("DELETE FROM arms WHERE id NOT IN (SELECT arm FROM series)", ())?;
    conn.execute("DELETE FROM models WHERE id NOT IN (SELECT model FROM series)", ())?;
    Ok(series > 0)
}

/// Gives freed pages back when they are more than a quarter of the file; until then, what is added next uses them.
fn shrink(conn: &Connection) -> Result<(), Fault> {
    let free: i64 = conn.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if free > pages / 4 {
        let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
        // Each step gives one page back.
        let mut rows = statement.query(())?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
