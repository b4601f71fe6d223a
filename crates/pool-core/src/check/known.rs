//! Runs whose answers are known.

use std::collections::HashMap;
use std::sync::Arc;

use tensor::{Bindings, NamedTensor};
use vocab::{ModelHash, SessionId, WorkerId};

use super::CheckConfig;
use crate::pool::bytes_of;

/// A run whose answer is known.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "inputs and outputs are all that there is")]
pub struct Canary {
    /// The inputs; they must fit the model's signature.
    pub inputs: Arc<[NamedTensor]>,
    /// What it gives: all of the model's outputs, or some of them.
    pub outputs: Vec<NamedTensor>,
}

/// A run and what it gave.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) inputs: Arc<[NamedTensor]>,
    /// The sizes that the inputs bind.
    pub(crate) dims: Arc<Bindings>,
    /// The names of the outputs that were wanted; `None` for all.
    pub(crate) names: Option<Arc<[Arc<str>]>>,
    pub(crate) outputs: Vec<NamedTensor>,
}

impl Case {
    fn bytes(&self) -> u64 {
        bytes_of(&self.inputs) + bytes_of(&self.outputs)
    }
}

/// Why a case is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The caller said so.
    Caller,
    /// Two workers did.
    Agreed,
    /// One worker did.
    Alone(WorkerId),
}

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) case: Arc<Case>,
    pub(crate) origin: Origin,
    /// Sessions that have passed it. One worker may have several, on different backends.
    passed: Vec<SessionId>,
}

impl Known {
    /// Whether a session that is off this case is wrong.
    pub(crate) fn convicts(&self, session: SessionId) -> bool {
        !matches!(self.origin, Origin::Alone(_)) || self.passed.contains(&session)
    }
}

#[derive(Debug)]
enum Entry {
    Known(Known),
    /// It does not give the same answer twice.
    Unpredictable,
}

/// How many sessions are remembered to have passed a canary.
const MOST_PASSED: usize = 64;

/// The canaries of all models.
#[derive(Debug)]
pub(crate) struct Store {
    config: CheckConfig,
    /// With the number of its last use, so that the one that was not used for the longest time goes first.
    models: HashMap<ModelHash, (u64, Entry)>,
    uses: u64,
}

impl Store {
    pub(crate) fn new(config: CheckConfig) -> Self {
        Self { config, models: HashMap::new(), uses: 0 }
    }

    pub(crate) fn config(&self) -> CheckConfig {
        self.config
    }

    pub(crate) fn get(&mut self, model: ModelHash) -> Option<Known> {
        self.uses += 1;
        let (used, entry) = self.models.get_mut(&model)?;
        *used = self.uses;
        match entry {
            Entry::Known(known) => Some(known.clone()),
            Entry::Unpredictable => None,
        }
    }

    pub(crate) fn is_unpredictable(&self, model: ModelHash) -> bool {
        matches!(self.models.get(&model), Some((_, Entry::Unpredictable)))
    }

    /// Whether a run with this case is small enough to be repeated.
    pub(crate) fn takes(&self, case: &Case) -> bool {
        case.bytes() <= self.config.most_bytes
    }

    /// Whether the canary of a model is the caller's, and so stays until the caller says something else.
    fn is_callers(&self, model: ModelHash) -> bool {
        matches!(self.models.get(&model), Some((_, Entry::Known(known))) if known.origin == Origin::Caller)
    }

    /// Keeps a case, unless the caller's is there and this one is not.
    pub(crate) fn keep(&mut self, model: ModelHash, case: Arc<Case>, origin: Origin, passed: Vec<SessionId>) {
        if origin == Origin::Caller || !self.is_callers(model) {
            self.put(model, Entry::Known(Known { case, origin, passed }));
        }
    }

    /// The model does not give the same answer twice.
    pub(crate) fn give_up(&mut self, model: ModelHash) {
        if !self.is_callers(model) {
            self.put(model, Entry::Unpredictable);
        }
    }

    /// Nobody can say whether a case is right.
    pub(crate) fn forget(&mut self, model: ModelHash) {
        if !self.is_callers(model) {
            self.models.remove(&model);
        }
    }

    fn put(&mut self, model: ModelHash, entry: Entry) {
        if self.models.len() >= self.config.most_models && !self.models.contains_key(&model) {
            let oldest = self.models.iter().min_by_key(|(_, (used, _))| *used).map(|(hash, _)| *hash);
            if let Some(oldest) = oldest {
                self.models.remove(&oldest);
            }
        }
        self.uses += 1;
        self.models.insert(model, (self.uses, entry));
    }

    /// A session has passed this case. One that only one worker vouched for is agreed upon by another's. Ignored where
    /// there is another case by now.
    pub(crate) fn passed(
        &mut self,
        model: ModelHash,
        case: &Arc<Case>,
        worker: WorkerId,
        session: SessionId,
    ) {
        let Some((_, Entry::Known(known))) = self.models.get_mut(&model) else { return };
        if !Arc::ptr_eq(&known.case, case) {
            return;
        }
        if matches!(known.origin, Origin::Alone(first) if first != worker) {
            known.origin = Origin::Agreed;
        }
        if !known.passed.contains(&session) {
            if known.passed.len() >= MOST_PASSED {
                known.passed.remove(0);
            }
            known.passed.push(session);
        }
    }
}
