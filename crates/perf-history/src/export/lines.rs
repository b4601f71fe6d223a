//! Observations as lines of JSON.

use std::io::Write;

use super::{ExportError, portions};
use crate::{HistoryStore, Stored};

/// Writes every observation as a line of JSON, as [`Observation`](crate::Observation) itself is written and read.
/// Returns how many there were.
///
/// This is the form from which `cargo xtask bench selection` replays a history.
///
/// # Errors
/// [`ExportError`].
pub fn export_json_lines(store: &mut dyn HistoryStore, mut writer: impl Write) -> Result<u64, ExportError> {
    let mut line = |stored: &Stored| -> Result<(), ExportError> {
        serde_json::to_writer(&mut writer, &stored.observation)
            .map_err(|error| ExportError::Write(Box::new(error)))?;
        writer.write_all(b"\n").map_err(|error| ExportError::Write(Box::new(error)))
    };
    let count = portions::each(store, |portion| portion.iter().try_for_each(&mut line))?;
    writer.flush().map_err(|error| ExportError::Write(Box::new(error)))?;
    Ok(count)
}
