//! Adding observations: rows, roll-ups and counters in one transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::super::columns::{finite, signed};
use super::super::hour_sums::HourSums;
use super::super::subject::{Known, Subject};
use super::error::Fault;
use super::state::State;
use super::{by_series, hours, names};
use crate::Observation;

/// Begins a transaction that writes; nobody else does until it ends.
pub(super) fn begin(conn: &mut Connection) -> Result<Transaction<'_>, Fault> {
    Ok(conn.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Adds the batch. If it fails, what is known and the sums must be forgotten: they may be of rows that do not exist.
pub(super) fn append(
    conn: &mut Connection,
    known: &mut Known,
    sums: &mut HourSums,
    batch: &[Observation],
) -> Result<(), Fault> {
    let tx = begin(conn)?;
    let mut state = State::read(&tx)?;
    known.expect(state.generation);
    let series = batch
        .iter()
        .map(|observation| names::series(&tx, known, &Subject::of(observation)))
        .collect::<Result<Vec<_>, _>>()?;
    for (observation, &series) in batch.iter().zip(&series) {
        state.last_id += 1;
        insert(&tx, state.last_id, series, observation)?;
    }
    state.observations += i64::try_from(batch.len()).unwrap_or(i64::MAX);
    hours::add(&tx, sums, batch, &series)?;
    by_series::keep_up(&tx, &mut state)?;
    state.write(&tx)?;
    Ok(tx.commit()?)
}

fn insert(conn: &Connection, id: i64, series: i64, observation: &Observation) -> Result<(), Fault> {
    let Observation {
        at,
        model: _,
        shape: _,
        arm: _,
        worker,
        operation,
        outcome,
        warm,
        load_ms,
        queue_ms,
        in_page_ms,
        service_ms,
        total_ms,
        bytes_in,
        bytes_out,
        memory_bytes,
    } = observation;
    let mut statement =
        conn.prepare_cached("INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    statement.execute(params![
        id,
        at.0,
        series,
        signed(worker.0),
        operation.as_str(),
        outcome.to_string(),
        warm,
        finite(*load_ms),
        finite(*queue_ms),
        finite(*in_page_ms),
        finite(*service_ms),
        finite(*total_ms),
        bytes_in.map(signed),
        bytes_out.map(signed),
        memory_bytes.map(signed)
    ])?;
    Ok(())
}
