//! How well workers would do with a model that none of them may ever have seen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use perf_history::{Arm, ShapeBucket, Standing};
use tensor::Bindings;
use vocab::{Backend, WorkerId};

use super::Core;
use super::sessions::SessionPhase;
use super::workers::Stance;
use crate::{Model, WorkerInfo};

/// A worker that takes whatever fits it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prospect {
    /// The worker.
    pub worker: WorkerId,
    /// What it says of itself.
    pub info: Arc<WorkerInfo>,
    /// The memory that it has for models and that none of those takes that were asked about, in bytes.
    pub free_bytes: u64,
    /// The memory that no model takes at all, in bytes.
    pub unused_bytes: u64,
    /// How many sessions it may have at most.
    pub most_sessions: usize,
    /// The best of its arms for the model: what its score rests on, and the latency that is expected.
    pub best: Standing,
}

impl Core {
    /// The owner's workers that take whatever fits them, each with the best of its arms on these backends for a model (all of them,
    /// where none is named), the best worker first. `ours` are the models of whoever asks: the memory of others counts as
    /// free, because they would make room.
    #[must_use]
    pub fn prospects(
        &self,
        now: Instant,
        model: &Model,
        backends: &[Backend],
        ours: &[&Model],
    ) -> Vec<Prospect> {
        let wanted = |arm: &&Arc<Arm>| backends.is_empty() || backends.contains(&arm.backend);
        let serving: Vec<_> = self
            .workers
            .values()
            .filter(|worker| worker.stance == Stance::Serving && worker.info.guest.is_none())
            .collect();
        let arms: BTreeSet<Arc<Arm>> =
            serving.iter().flat_map(|worker| worker.arms()).filter(wanted).cloned().collect();
        let arms: Vec<Arc<Arm>> = arms.into_iter().collect();
        let experience = self.selector.experience();
        let known = experience.shapes(model.hash).max_by_key(|(_, arms)| arms.len()).map(|(shape, _)| shape);
        let shape = known.cloned().unwrap_or_else(|| ShapeBucket::of(&Bindings::default()));
        let standings = experience.rank(model.hash, &shape, model.model_type, &arms, self.unix(now));
        let mut prospects = Vec::with_capacity(serving.len());
        for standing in &standings {
            for worker in &serving {
                let listed = prospects.iter().any(|prospect: &Prospect| prospect.worker == worker.id);
                if listed || !worker.arms().any(|arm| *arm == standing.arm) {
                    continue;
                }
                let own = worker.all_sessions().filter_map(|id| self.sessions.get(&id));
                let own = own.filter(|session| {
                    // What is on its way is counted by whoever has it loaded.
                    matches!(session.phase, SessionPhase::Ready | SessionPhase::Draining(_))
                        && ours.iter().any(|model| model.hash == session.model.hash)
                });
                let taken = own.fold(0_u64, |sum, session| sum.saturating_add(session.charge));
                prospects.push(Prospect {
                    worker: worker.id,
                    info: Arc::clone(&worker.info),
                    free_bytes: worker.info.memory_budget_bytes.saturating_sub(taken),
                    unused_bytes: worker.info.memory_budget_bytes.saturating_sub(self.used_bytes(worker)),
                    most_sessions: self.config.sessions_per_worker,
                    best: standing.clone(),
                });
            }
        }
        prospects
    }
}
