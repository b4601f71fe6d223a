//! What a host has to do for caches that stay with a session.

use std::collections::HashMap;
use std::sync::Arc;

use tensor::{NamedTensor, Tensor};
use vocab::{CachesAt, SequenceId, Step};

use crate::plan::State;

/// The caches of one session, of many sequences. A host keeps one for each session that it loads: before a run it asks
/// for [`inputs`](Self::inputs), after it hands all outputs to [`advance`](Self::advance).
#[derive(Debug, Default)]
pub struct CacheKeeper {
    states: Vec<State>,
    held: HashMap<SequenceId, Held>,
}

#[derive(Debug)]
struct Held {
    at: CachesAt,
    past: Vec<NamedTensor>,
}

/// The caches are not those that the step expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caches are not those of the step")]
pub struct CachesLost;

impl CacheKeeper {
    /// A keeper for a stage with these caches.
    #[must_use]
    pub fn new(states: Vec<State>) -> Self {
        Self { states, held: HashMap::new() }
    }

    /// The caches to run a step with, in addition to what the call brings; none in a first step, because then the call
    /// brings them.
    ///
    /// # Errors
    /// There are no caches of the step's epoch and position.
    pub fn inputs(&self, step: Step) -> Result<Vec<NamedTensor>, CachesLost> {
        if step.position == 0 {
            return Ok(Vec::new());
        }
        let held = self.held.get(&step.sequence).ok_or(CachesLost)?;
        let fits = (held.at.epoch, held.at.position) == (step.epoch, step.position);
        if fits { Ok(held.past.clone()) } else { Err(CachesLost) }
    }

    /// Takes the caches out of a step's outputs and keeps them for the next one. Where an output is missing, nothing is kept.
    ///
    /// # Errors
    /// An output that should hold a cache is not there.
    pub fn advance(&mut self, step: Step, outputs: &mut Vec<NamedTensor>) -> Result<CachesAt, CachesLost> {
        // What a step leaves behind replaces what it was made of, even if it turns out to be incomplete.
        self.held.remove(&step.sequence);
        let mut past = Vec::with_capacity(self.states.len());
        let mut length = 0;
        for state in &self.states {
            let at = outputs.iter().position(|output| output.name == state.present).ok_or(CachesLost)?;
            let tensor: Tensor = outputs.swap_remove(at).tensor;
            length += state.axis.and_then(|axis| tensor.shape().dims().get(axis).copied()).unwrap_or(0);
            past.push(NamedTensor::new(Arc::clone(&state.past), tensor));
        }
        let at = CachesAt { epoch: step.epoch, position: step.position + 1, length };
        self.held.insert(step.sequence, Held { at, past });
        Ok(at)
    }

    /// Drops the caches of a sequence.
    pub fn release(&mut self, sequence: SequenceId) {
        self.held.remove(&sequence);
    }

    /// Sequences that hold caches here.
    #[must_use]
    pub fn sequences(&self) -> usize {
        self.held.len()
    }
}
