//! Observations in the order in which they came, in portions that are taken out whole.

use std::collections::VecDeque;
use std::mem;

use crate::Observation;

/// A queue whose observations are taken out a batch at a time, without a copy: it is locked for as short a time as
/// adding one takes. Whoever adds sees to the bound.
#[derive(Debug)]
pub(super) struct Queue {
    batch: usize,
    full: VecDeque<Vec<Observation>>,
    /// The last batch, with room left.
    open: Vec<Observation>,
}

impl Queue {
    pub(super) fn new(batch: usize) -> Self {
        Self { batch, full: VecDeque::new(), open: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.full.len() * self.batch + self.open.len()
    }

    pub(super) fn push(&mut self, observation: Observation) {
        self.open.push(observation);
        if self.open.len() == self.batch {
            self.full.push_back(mem::take(&mut self.open));
        }
    }

    /// The next batch; a smaller one where there are no more, and none where there is nothing.
    pub(super) fn take(&mut self) -> Vec<Observation> {
        self.full.pop_front().unwrap_or_else(|| mem::take(&mut self.open))
    }
}
