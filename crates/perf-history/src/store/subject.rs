//! What observations and roll-ups are about, and what a connection remembers of the rows that name it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::{Arm, ModelId, Observation, ShapeBucket};

/// A model, in one shape bucket, on one arm: a row of the table `series`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) model: Arc<ModelId>,
    pub(super) shape: ShapeBucket,
    pub(super) arm: Arc<Arm>,
}

impl Subject {
    pub(super) fn of(observation: &Observation) -> Self {
        Self {
            model: observation.model.clone(),
            shape: observation.shape.clone(),
            arm: observation.arm.clone(),
        }
    }
}

/// The rows of one table of names, by id and by value.
#[derive(Debug)]
pub(super) struct Names<T> {
    ids: HashMap<Arc<T>, i64>,
    values: HashMap<i64, Arc<T>>,
    /// Every row up to this id is known. Others may be, too: those that this connection added itself.
    whole: i64,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), values: HashMap::new(), whole: 0 }
    }
}

impl<T: Hash + Eq> Names<T> {
    pub(super) fn id(&self, value: &T) -> Option<i64> {
        self.ids.get(value).copied()
    }

    pub(super) fn value(&self, id: i64) -> Option<&Arc<T>> {
        self.values.get(&id)
    }

    /// The id up to which every row is known.
    pub(super) fn whole(&self) -> i64 {
        self.whole
    }

    /// Remembers a row that was found or added alone.
    pub(super) fn insert(&mut self, id: i64, value: Arc<T>) {
        self.ids.insert(value.clone(), id);
        self.values.insert(id, value);
    }

    /// Remembers the next row of all of them, in the order of their ids.
    pub(super) fn insert_next(&mut self, id: i64, value: Arc<T>) {
        self.insert(id, value);
        self.whole = id;
    }
}

impl Names<Subject> {
    /// Every row, by model, shape and arm.
    pub(super) fn sorted(&self) -> Vec<(i64, &Arc<Subject>)> {
        let mut all: Vec<_> = self.values.iter().map(|(&id, subject)| (id, subject)).collect();
        all.sort_unstable_by_key(|&(_, subject)| subject);
        all
    }
}

/// What a connection knows of models, arms and series.
///
/// Rows of these tables never change. They vanish only when a compaction finds that nothing refers to them any more;
/// it then raises the generation, and whoever knows another generation forgets everything.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) generation: i64,
    pub(super) models: Names<ModelId>,
    pub(super) arms: Names<Arm>,
    pub(super) series: Names<Subject>,
}

impl Known {
    /// Forgets what was known of another generation.
    pub(super) fn expect(&mut self, generation: i64) {
        if self.generation != generation {
            *self = Self { generation, ..Self::default() };
        }
    }
}
