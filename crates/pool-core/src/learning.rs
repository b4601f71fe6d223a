//! What the pool knows when it starts, and where it tells what it learns.

use std::sync::Arc;

use perf_history::Observation;

use crate::selection::Policy;

/// Keeps what was observed.
///
/// It is called on whatever task something ended on, so it must not wait; a recorder with a queue and a thread of its own
/// is what is meant.
pub trait ObservationSink: Send + Sync {
    /// Takes an observation.
    fn observe(&self, observation: Observation);
}

/// What a pool begins with, and where its observations go.
#[derive(Default)]
#[non_exhaustive]
pub struct Learning {
    /// What was observed earlier, oldest first.
    pub earlier: Vec<Observation>,
    /// Where observations go. Default: nowhere; the pool learns from them all the same.
    pub sink: Option<Arc<dyn ObservationSink>>,
    /// A policy of the caller's own, in the place of the one that the settings name.
    pub policy: Option<Box<dyn Policy>>,
}

impl std::fmt::Debug for Learning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learning")
            .field("earlier", &self.earlier.len())
            .field("sink", &self.sink.is_some())
            .field("policy", &self.policy)
            .finish()
    }
}
