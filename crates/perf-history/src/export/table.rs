//! The columns of a table, and what an observation has in each.

use std::borrow::Cow;

use crate::{Arm, ModelId, Observation, Stored};

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    /// Never negative.
    Unsigned,
    /// Milliseconds since 1970-01-01 UTC.
    Time,
    Number,
    Truth,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "a text has no types"))]
    pub(super) kind: Kind,
    /// Whether a cell may be empty.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "a text has no types"))]
    pub(super) optional: bool,
}

/// One value. Its kind is that of its column, unless there is none.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    None,
    Text(Cow<'a, str>),
    Integer(i64),
    Unsigned(u64),
    Number(f64),
    Truth(bool),
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: false }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: true }
}

/// Every column, in order.
pub(super) const COLUMNS: [Column; 27] = [
    column("id", Kind::Integer),
    column("at_unix_ms", Kind::Time),
    column("model_hash", Kind::Text),
    column("model_name", Kind::Text),
    column("model_version", Kind::Text),
    optional("model_type", Kind::Text),
    column("model_precision", Kind::Text),
    column("shape", Kind::Text),
    column("browser", Kind::Text),
    column("browser_version", Kind::Text),
    column("backend", Kind::Text),
    optional("device_requested", Kind::Text),
    column("device_effective", Kind::Text),
    optional("adapter", Kind::Text),
    column("threads", Kind::Unsigned),
    column("worker", Kind::Unsigned),
    column("operation", Kind::Text),
    column("outcome", Kind::Text),
    column("warm", Kind::Truth),
    optional("load_ms", Kind::Number),
    optional("queue_ms", Kind::Number),
    optional("in_page_ms", Kind::Number),
    optional("service_ms", Kind::Number),
    optional("total_ms", Kind::Number),
    optional("bytes_in", Kind::Unsigned),
    optional("bytes_out", Kind::Unsigned),
    optional("memory_bytes", Kind::Unsigned),
];

/// The cells of an observation, one for each column.
pub(super) fn cells(stored: &Stored) -> [Cell<'_>; COLUMNS.len()] {
    let Stored { id, observation } = stored;
    let Observation {
        at,
        model,
        shape,
        arm,
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
    let ModelId { hash, name, version, model_type, precision } = &**model;
    let Arm { browser, browser_version, backend, device_requested, device_effective, adapter, threads } =
        &**arm;
    [
        Cell::Integer(*id),
        Cell::Integer(at.0),
        Cell::Text(hash.to_string().into()),
        text(name),
        text(version),
        model_type.map_or(Cell::None, |model_type| text(model_type.as_str())),
        text(precision),
        text(shape.as_str()),
        text(browser.as_str()),
        text(browser_version),
        text(backend.as_str()),
        device_requested.as_ref().map_or(Cell::None, |device| text(device.as_str())),
        text(device_effective.as_str()),
        adapter.as_deref().map_or(Cell::None, text),
        Cell::Unsigned(u64::from(*threads)),
        Cell::Unsigned(worker.0),
        text(operation.as_str()),
        Cell::Text(outcome.to_string().into()),
        Cell::Truth(*warm),
        number(*load_ms),
        number(*queue_ms),
        number(*in_page_ms),
        number(*service_ms),
        number(*total_ms),
        unsigned(*bytes_in),
        unsigned(*bytes_out),
        unsigned(*memory_bytes),
    ]
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

fn number(number: Option<f64>) -> Cell<'static> {
    // No store gives anything else, and few readers of tables could do with it.
    number.filter(|number| number.is_finite()).map_or(Cell::None, Cell::Number)
}

fn unsigned(number: Option<u64>) -> Cell<'static> {
    number.map_or(Cell::None, Cell::Unsigned)
}
