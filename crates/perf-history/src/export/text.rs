//! A table as text, with commas.

use std::borrow::Cow;
use std::io::Write;

use super::table::{COLUMNS, Cell, cells};
use super::{ExportError, portions};
use crate::{HistoryStore, Stored};

/// What makes a spreadsheet read a text as a formula, and what is put before such a text.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r', QUOTE];
const QUOTE: char = '\'';

/// Writes every observation as a line of comma-separated values (RFC 4180, UTF-8, lines end in CR LF), after a line
/// with the names of the columns. Returns how many there were.
///
/// What was not measured is an empty cell. So is an empty text: [`export_parquet`](super) tells the two apart.
///
/// Names of adapters and versions come from browsers, that is, from whoever opened the page, and a spreadsheet takes a
/// text such as `=HYPERLINK(…)` for a formula. So a text that begins with `=`, `+`, `-`, `@`, a tab, a carriage return
/// or an apostrophe gets an apostrophe before it, and whoever wants the text itself drops the first apostrophe.
///
/// # Errors
/// [`ExportError`].
pub fn export_csv(store: &mut dyn HistoryStore, writer: impl Write) -> Result<u64, ExportError> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(writer);
    let cannot = |error: csv::Error| ExportError::Write(Box::new(error));
    table.write_record(COLUMNS.map(|column| column.name)).map_err(cannot)?;
    let count = portions::each(store, |portion| {
        let mut row =
            |stored: &Stored| table.write_record(cells(stored).map(in_words).iter().map(|cell| &**cell));
        portion.iter().try_for_each(&mut row).map_err(cannot)
    })?;
    table.flush().map_err(|error| ExportError::Write(Box::new(error)))?;
    Ok(count)
}

fn in_words(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::None => "".into(),
        Cell::Text(text) if text.starts_with(FORMULA) => format!("{QUOTE}{text}").into(),
        Cell::Text(text) => text,
        Cell::Integer(number) => number.to_string().into(),
        Cell::Unsigned(number) => number.to_string().into(),
        // As short as can be read back exactly, with an exponent where it is very large or small.
        Cell::Number(number) => format!("{number:?}").into(),
        Cell::Truth(truth) => if truth { "true" } else { "false" }.into(),
    }
}
