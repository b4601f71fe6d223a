//! Guests: who may be given to them, who confirms what they answer, and what becomes of one that is wrong.
//!
//! A *stranger* is a guest that is not trusted. It is no part of any reckoning about who could serve a request, no arm of
//! selection, and no source of observations. It runs what one of the owner's workers could confirm at this moment, and
//! nothing else; so whether its answer is looked at is decided by chance alone, and never by who happens to be there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tensor::Bindings;
use vocab::{ModelHash, SessionId, WorkerId};

use super::sessions::{Session, SessionPhase};
use super::workers::Worker;
use super::{Core, LeaseId};

/// How many workers are named that may confirm an answer.
const CONFIRMERS: usize = 3;

impl Core {
    /// Whether a worker is a guest that is not trusted.
    pub(crate) fn is_stranger(&self, worker: WorkerId) -> bool {
        self.workers.get(&worker).is_some_and(Worker::is_stranger)
    }

    /// Whether a worker is here that requests can rely on: one of the owner's, or a guest that is trusted.
    #[must_use]
    pub fn is_staffed(&self) -> bool {
        self.workers.values().any(|worker| !worker.is_stranger())
    }

    /// Whether a session may run inputs of these sizes, as far as that is a matter of trust.
    pub(super) fn stranger_may(
        &self,
        now: Instant,
        worker: &Worker,
        session: &Session,
        dims: &Arc<Bindings>,
    ) -> bool {
        !worker.is_stranger()
            || (!self.is_barred(now, worker.id)
                && self.is_confirmable(session.model.hash, Some(session), dims))
    }

    /// Whether one of the owner's workers has a model loaded and takes inputs of these sizes.
    pub(super) fn is_confirmable(
        &self,
        model: ModelHash,
        stranger: Option<&Session>,
        dims: &Arc<Bindings>,
    ) -> bool {
        let predictable = self.models.get(&model).is_some_and(|state| !state.unpredictable);
        predictable && self.owners_sessions(model, stranger, dims).next().is_some()
    }

    /// The sessions of the owner's workers that could compute what a stranger's does.
    fn owners_sessions<'a>(
        &'a self,
        model: ModelHash,
        stranger: Option<&'a Session>,
        dims: &'a Arc<Bindings>,
    ) -> impl Iterator<Item = &'a Session> + 'a {
        let state = self.models.get(&model);
        let sessions = state.into_iter().flat_map(|state| &state.sessions);
        sessions.filter_map(|id| self.sessions.get(id)).filter(move |session| {
            session.phase == SessionPhase::Ready
                && stranger.is_none_or(|stranger| stranger.worker != session.worker)
                && session.dims.as_ref().is_none_or(|own| own == dims)
                && !self.is_stranger(session.worker)
        })
    }

    /// The sessions of the owner's workers that can confirm what a run gives, those with the least to do first. Empty
    /// where the run is over.
    #[must_use]
    pub fn confirmers(&self, lease: LeaseId) -> Vec<(WorkerId, SessionId)> {
        let Some(lease) = self.leases.get(&lease) else { return Vec::new() };
        let super::requests::LeaseState::Running(request) = lease.state else { return Vec::new() };
        let (Some(session), Some(entry)) = (self.sessions.get(&lease.session), self.requests.get(&request))
        else {
            return Vec::new();
        };
        let owners = self.owners_sessions(session.model.hash, Some(session), &entry.lane.dims);
        let mut owners: Vec<_> = owners
            .filter_map(|own| Some((self.workers.get(&own.worker)?.leases.len(), own.worker, own.id)))
            .collect();
        owners.sort_unstable();
        // One worker may have the model on several backends; one of them is enough.
        let mut named: Vec<(WorkerId, SessionId)> = Vec::with_capacity(CONFIRMERS);
        for (_, worker, session) in owners {
            if named.len() < CONFIRMERS && named.iter().all(|(other, _)| *other != worker) {
                named.push((worker, session));
            }
        }
        named
    }

    /// The answer of a run was confirmed; its end is about to be told.
    pub fn confirmed(&mut self, lease: LeaseId) {
        let worker = self.leases.get(&lease).map(|lease| lease.worker);
        if let Some(worker) = worker.and_then(|worker| self.workers.get_mut(&worker)) {
            worker.confirmed = worker.confirmed.saturating_add(1);
        }
    }

    /// A model was found to give different answers to the same inputs, so that nothing can be confirmed: no stranger gets
    /// it any more.
    pub fn keep_from_strangers(&mut self, model: ModelHash) {
        if let Some(state) = self.models.get_mut(&model) {
            state.unpredictable = true;
        }
    }

    /// Gives every guest these models and no others.
    pub fn set_guest_models(&mut self, now: Instant, models: &Arc<BTreeSet<ModelHash>>) {
        let mut gone = Vec::new();
        for worker in self.workers.values_mut() {
            let Some(mut guest) = worker.info.guest.clone() else { continue };
            gone.extend(
                worker.sessions.keys().filter(|hash| !models.contains(hash)).map(|hash| (worker.id, *hash)),
            );
            guest.models = Arc::clone(models);
            Arc::make_mut(&mut worker.info).guest = Some(guest);
        }
        for expected in &mut self.expected {
            if let Some(guest) = &mut Arc::make_mut(&mut expected.info).guest {
                guest.models = Arc::clone(models);
            }
        }
        self.sweep_unservable(now);
        for (worker, model) in gone {
            self.unload(now, worker, model);
        }
        self.pump_all(now);
    }
}
