//! What a recorder has done so far.

use std::sync::Arc;

use crate::{Compacted, StoreError};

/// Counts of a recorder, all of one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Observations that were given to it, with those that were lost.
    pub recorded: u64,
    /// Observations that are durable.
    pub written: u64,
    /// Observations that came when too many waited, or that could not be written before the recorder ended.
    pub lost: u64,
    /// Batches that were written.
    pub batches: u64,
    /// Calls of the store that failed.
    pub failures: u64,
    /// Whether the last try to write failed.
    pub stalled: bool,
    /// What was dropped because it is not kept any more; [`more`](Compacted::more) where there is more to drop.
    pub compacted: Compacted,
    /// What failed last, however long ago.
    pub last_error: Option<Arc<StoreError>>,
}

impl RecorderStats {
    /// How many observations wait to be written, or are being written.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.recorded - self.written - self.lost
    }
}
