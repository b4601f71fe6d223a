//! The most recent events, in a ring whose writers never wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::{Event, Recorded};

/// A fixed number of cells. Each writer takes the next cell by one atomic addition and locks that cell alone, so two
/// writers meet only when one laps the other, or when a reader is copying just that cell.
#[derive(Debug)]
pub(crate) struct Ring {
    cells: Box<[Mutex<Option<Recorded>>]>,
    next: AtomicU64,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { cells: (0..capacity).map(|_| Mutex::new(None)).collect(), next: AtomicU64::new(0) }
    }

    /// Keeps the event; answers `false` where it would have had to wait for the cell.
    pub(crate) fn push(&self, at_ms: f64, event: Arc<Event>) -> bool {
        if self.cells.is_empty() {
            return true;
        }
        let sequence = self.next.fetch_add(1, Relaxed);
        let cell = &self.cells[(sequence % self.cells.len() as u64) as usize];
        let Some(mut cell) = cell.try_lock() else { return false };
        // The old event is freed after the lock is.
        let old = cell.replace(Recorded { sequence, at_ms, event });
        drop(cell);
        drop(old);
        true
    }

    /// The events that are kept, oldest first.
    pub(crate) fn read(&self) -> Vec<Recorded> {
        let mut all: Vec<_> = self.cells.iter().filter_map(|cell| cell.lock().clone()).collect();
        all.sort_by_key(|recorded| recorded.sequence);
        all
    }
}
