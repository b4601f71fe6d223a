//! Dropping what is not kept any more, a bounded amount at a time.

use std::collections::BTreeMap;

use super::error::Fault;
use super::hours::{from_row, read, write};
use super::server::{Conn, Tx};
use super::state::State;
use super::writer;
use crate::store::columns::TOTALS;
use crate::store::hour_sums::Key;
use crate::{Compacted, Period, Retention, Totals, UnixMillis};

/// How many rows of each kind go at a time, so that nobody who writes waits long.
const AT_ONCE: i64 = 20_000;

pub(super) fn compact(conn: &mut Conn, now: UnixMillis, retention: &Retention) -> Result<Compacted, Fault> {
    let mut tx = conn.writing()?;
    let mut state = State::lock(&mut tx)?;
    let before = |days: u32| now.0.saturating_sub(i64::from(days).saturating_mul(Period::Day.ms()));

    let most = i64::try_from(retention.most_observations).unwrap_or(i64::MAX);
    let observations = drop_observations(&mut tx, &state, before(retention.observation_days), most)?;
    state.observations -= observations;
    let hours = fold_hours(&mut tx, before(retention.hour_days))?;
    let days = drop_days(&mut tx, before(retention.day_days))?;
    let more = [observations, hours, days].into_iter().any(|dropped| dropped >= AT_ONCE);
    if days > 0 && !more && drop_names(&mut tx)? {
        state.generation += 1;
    }
    writer::drop_silent(&mut tx)?;
    state.write(&mut tx)?;
    tx.commit()?;
    let count = |dropped: i64| dropped.unsigned_abs();
    Ok(Compacted { observations: count(observations), hours: count(hours), days: count(days), more })
}

/// Drops observations that are older than `oldest`, and those by which there are more than `most`.
fn drop_observations(tx: &mut Tx<'_>, state: &State, oldest: i64, most: i64) -> Result<i64, Fault> {
    let old = tx.execute(
        "DELETE FROM perf_history.observations WHERE id = ANY(ARRAY( \
         SELECT id FROM perf_history.observations WHERE at < $1 ORDER BY at, id LIMIT $2))",
        &[&oldest, &AT_ONCE],
    )?;
    let excess = (state.observations - old).saturating_sub(most).clamp(0, AT_ONCE - old);
    if excess == 0 {
        return Ok(old);
    }
    let dropped = tx.execute(
        "DELETE FROM perf_history.observations WHERE id = ANY(ARRAY( \
         SELECT id FROM perf_history.observations ORDER BY at, id LIMIT $1))",
        &[&excess],
    )?;
    Ok(old + dropped)
}

/// Adds the sums of the hours that ended at `oldest` or before to those of their days.
fn fold_hours(tx: &mut Tx<'_>, oldest: i64) -> Result<i64, Fault> {
    let last_start = oldest.saturating_sub(Period::Hour.ms());
    let sql = format!(
        "SELECT start, series, {TOTALS} FROM perf_history.hours WHERE start <= $1 ORDER BY start, series LIMIT $2"
    );
    let mut days: BTreeMap<Key, Totals> = BTreeMap::new();
    let mut last: Option<Key> = None;
    let mut folded = 0;
    for row in tx.query(&sql, &[&last_start, &AT_ONCE])? {
        let (start, series): Key = (row.try_get(0)?, row.try_get(1)?);
        let day = Period::Day.start(UnixMillis(start)).0;
        days.entry((day, series)).or_default().merge(&from_row(&row, 2)?);
        last = Some((start, series));
        folded += 1;
    }
    let Some((start, series)) = last else { return Ok(0) };
    let keys: Vec<Key> = days.keys().copied().collect();
    for (key, there) in read(tx, Period::Day, &keys)? {
        days.entry(key).or_default().merge(&there);
    }
    let days: Vec<(Key, &Totals)> = days.iter().map(|(&key, totals)| (key, totals)).collect();
    write(tx, Period::Day, &days)?;
    tx.execute("DELETE FROM perf_history.hours WHERE (start, series) <= ($1, $2)", &[&start, &series])?;
    Ok(folded)
}

/// Drops the days that ended at `oldest` or before.
fn drop_days(tx: &mut Tx<'_>, oldest: i64) -> Result<i64, Fault> {
    tx.execute(
        "DELETE FROM perf_history.days WHERE (start, series) IN \
         (SELECT start, series FROM perf_history.days WHERE start <= $1 ORDER BY start, series LIMIT $2)",
        &[&oldest.saturating_sub(Period::Day.ms()), &AT_ONCE],
    )
}

/// Drops series that nothing is about any more, and then models and arms; `false` where there were none.
fn drop_names(tx: &mut Tx<'_>) -> Result<bool, Fault> {
    let series = tx.execute(
        "DELETE FROM perf_history.series WHERE \
         NOT EXISTS (SELECT FROM perf_history.hours WHERE hours.series = series.id) \
         AND NOT EXISTS (SELECT FROM perf_history.days WHERE days.series = series.id) \
         AND NOT EXISTS (SELECT FROM perf_history.observations WHERE observations.series = series.id)",
        &[],
    )?;
    for (table, column) in [("arms", "arm"), ("models", "model")] {
        let sql = format!(
            "DELETE FROM perf_history.{table} WHERE \
             NOT EXISTS (SELECT FROM perf_history.series WHERE series.{column} = {table}.id)"
        );
        tx.execute(&sql, &[])?;
    }
    Ok(series > 0)
}
