//! How batches are formed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// A setting of batching that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BatchingError {
    what: String,
}

/// How the requests of a model form batches.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Batching {
    /// Rows that a batch has at most. 1 to 4 096; 1 turns batching off. Default 1. A request of more rows goes alone.
    pub max_batch: u32,
    /// How long a request waits for company while a worker is free. 0 to 10 s. Default 2 ms.
    pub max_delay: Duration,
    /// Sizes to go at before the delay is over, each at most `max_batch`. Default: none, only a full batch goes early.
    pub preferred: Vec<u32>,
    /// Inputs that may be lengthened to the longest of a batch, and the value to fill with; empty (the default): only
    /// requests of the same shape go together. What is filled must not change the other elements' results, as with an
    /// attention mask of zeros.
    pub pad: BTreeMap<String, f64>,
    /// Whether a batch is filled up to the next of the preferred sizes, or else to `max_batch`, by repeating its first row; what
    /// comes of those rows is dropped. For backends that compile a graph for each size, as WebNN does. Default: no.
    pub fill: bool,
    /// Batches on their way at the same time, for each worker. 1 to 64. Default 2: one computes, one is sent.
    pub in_flight: u32,
    /// Requests that wait at most; one more is refused. At least 1. Default 1 024.
    pub queue: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            max_batch: 1,
            max_delay: Duration::from_millis(2),
            preferred: Vec::new(),
            pad: BTreeMap::new(),
            fill: false,
            in_flight: 2,
            queue: 1_024,
        }
    }
}

impl Batching {
    /// Whether batches are formed at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.max_batch > 1
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first one that cannot work.
    pub fn validate(&self) -> Result<(), BatchingError> {
        let refused = |what: String| Err(BatchingError { what });
        if !(1..=4_096).contains(&self.max_batch) {
            return refused(format!("max_batch must be 1 to 4096, not {}", self.max_batch));
        }
        if self.max_delay > Duration::from_secs(10) {
            return refused(format!(
                "max_delay_ms must be at most 10000, not {}",
                self.max_delay.as_millis()
            ));
        }
        if let Some(wrong) = self.preferred.iter().find(|size| !(1..=self.max_batch).contains(*size)) {
            return refused(format!(
                "preferred sizes must be 1 to max_batch ({}), not {wrong}",
                self.max_batch
            ));
        }
        if !(1..=64).contains(&self.in_flight) {
            return refused(format!("in_flight must be 1 to 64, not {}", self.in_flight));
        }
        if self.queue == 0 {
            return refused("queue must be at least 1".to_owned());
        }
        Ok(())
    }

    /// Rows that are computed for so many.
    pub(super) fn filled(&self, rows: u64) -> u64 {
        let sizes = self.preferred.iter().copied().chain([self.max_batch]).map(u64::from);
        let next = sizes.filter(|size| *size >= rows).min();
        next.filter(|_| self.fill).unwrap_or(rows)
    }

    /// Rows that go of so many that wait. Before the delay is over it is the largest preferred size that there is; once it
    /// is, as many as a batch takes.
    pub(super) fn size_for(&self, waiting: u64, overdue: bool) -> u64 {
        let most = waiting.min(u64::from(self.max_batch));
        if overdue || waiting >= u64::from(self.max_batch) {
            return most;
        }
        let preferred =
            self.preferred.iter().map(|size| u64::from(*size)).filter(|size| *size <= waiting).max();
        preferred.unwrap_or(most)
    }
}
