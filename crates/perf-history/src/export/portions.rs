//! All observations of a store, some at a time.

use super::ExportError;
use crate::{HistoryStore, Query, Stored};

/// How many observations are in memory at once.
const PORTION: u32 = 65_536;

/// Hands every portion to `write`; returns how many observations there were.
pub(super) fn each(
    store: &mut dyn HistoryStore,
    mut write: impl FnMut(&[Stored]) -> Result<(), ExportError>,
) -> Result<u64, ExportError> {
    let (mut id, mut count) = (0, 0);
    loop {
        let portion = store.observations(&Query::After { id, limit: PORTION }).map_err(ExportError::Read)?;
        let Some(last) = portion.last() else { return Ok(count) };
        id = last.id;
        count += u64::try_from(portion.len()).unwrap_or(u64::MAX);
        write(&portion)?;
    }
}
