//! Adding observations: rows, roll-ups and counters in one transaction.

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;

use super::error::Fault;
use super::server::{Conn, Tx};
use super::state::State;
use super::text::kept;
use super::writer::Writer;
use super::{Memory, hours, names};
use crate::Observation;
use crate::store::columns::{finite, signed};

/// The columns of the table `observations`, in the order in which they are written and read.
pub(super) const OBSERVATION: &str = "id, at, series, worker, operation, outcome, warm, load_ms, queue_ms, \
     in_page_ms, service_ms, total_ms, bytes_in, bytes_out, memory_bytes";

const TYPES: &[Type] = &[
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::FLOAT8,
    Type::INT8,
    Type::INT8,
    Type::INT8,
];

/// Adds what of the batch has not been added yet. If it fails, what is remembered must be forgotten: it may be of rows
/// that do not exist.
pub(super) fn append(
    conn: &mut Conn,
    memory: &mut Memory,
    writer: &mut Writer,
    batch: &[Observation],
) -> Result<(), Fault> {
    let mut tx = conn.writing()?;
    let mut state = State::lock(&mut tx)?;
    memory.expect(&state);
    let before = writer.already_added(&mut tx, batch)?;
    let new = &batch[before..];
    let Memory { known, sums } = memory;
    let series = names::series(&mut tx, known, new)?;
    insert(&mut tx, state.last_id, new, &series)?;
    let count = i64::try_from(new.len()).unwrap_or(i64::MAX);
    state.last_id += count;
    state.observations += count;
    hours::add(&mut tx, sums, new, &series)?;
    let contents = state.write(&mut tx)?;
    let number = writer.begin(&mut tx)?;
    match tx.commit() {
        Ok(()) => {
            writer.confirm(number);
            sums.moved_to(contents);
            Ok(())
        }
        Err(fault) => {
            if matches!(fault, Fault::Unconfirmed(_)) {
                writer.doubt(number, batch, before);
            }
            Err(fault)
        }
    }
}

fn insert(tx: &mut Tx<'_>, last_id: i64, batch: &[Observation], series: &[i64]) -> Result<(), Fault> {
    let sql = format!("COPY perf_history.observations ({OBSERVATION}) FROM STDIN (FORMAT binary)");
    let statement = tx.statement(&sql)?;
    let mut rows = BinaryCopyInWriter::new(tx.inner.copy_in(&statement)?, TYPES);
    for ((observation, series), id) in batch.iter().zip(series).zip(last_id + 1..) {
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
        rows.write(&[
            &id,
            &at.0,
            series,
            &signed(worker.0),
            &operation.as_str(),
            &kept(&outcome.to_string()),
            warm,
            &finite(*load_ms),
            &finite(*queue_ms),
            &finite(*in_page_ms),
            &finite(*service_ms),
            &finite(*total_ms),
            &bytes_in.map(signed),
            &bytes_out.map(signed),
            &memory_bytes.map(signed),
        ])?;
    }
    rows.finish()?;
    Ok(())
}
