//! When a worker's numbers are to be checked, and what follows from that.

use std::time::{Duration, Instant};

use telemetry::{CheckOutcome, Event, LeaveCause};
use vocab::{ModelHash, RequestId, SessionId, WorkerId};

use super::requests::Lease;
use super::sessions::SessionPhase;
use super::{Action, Core};
use crate::config::MAX_DURATION;

/// How many other workers are named, who may be asked what they compute.
const OTHERS: usize = 3;

impl Core {
    /// A run has ended well: asks for a check of its session if one is due.
    pub(super) fn check_if_due(&mut self, now: Instant, lease: &Lease, request: RequestId) {
        let Some(session) = self.sessions.get(&lease.session) else { return };
        if self.is_stranger(session.worker) {
            // Its answers are confirmed before they are given.
            return;
        }
        let due = session.check_at.is_some_and(|at| at <= now) && session.phase == SessionPhase::Ready;
        let unchecked = self.workers.get(&lease.worker).is_some_and(|worker| worker.checks == 0);
        let Some(entry) = self.requests.get(&request).filter(|entry| due && unchecked && !entry.stateful)
        else {
            return;
        };
        let others = self.others_with(session, entry);
        let took = now.saturating_duration_since(lease.began);
        // A check may ask its session twice.
        let rest = Duration::try_from_secs_f64(took.as_secs_f64() * 2.0 / self.config.checks.share);
        let rest = rest.unwrap_or(MAX_DURATION).min(MAX_DURATION);
        let model = entry.model.clone();
        let Some(session) = self.sessions.get_mut(&lease.session) else { return };
        session.check_at = Some(now + rest.max(self.config.checks.interval));
        let turn = session.checks;
        session.checks += 1;
        let action = Action::Check {
            worker: lease.worker,
            session: lease.session,
            request,
            model,
            fixed: session.dims.is_some(),
            dims: std::sync::Arc::clone(&entry.lane.dims),
            others: others.clone(),
            turn,
        };
        for worker in others.iter().map(|(worker, _)| *worker).chain([lease.worker]) {
            self.disturb(worker);
        }
        self.actions.push(action);
    }

    /// Sessions of other workers that have the model and take the sizes of a request: other arms first, then those with
    /// the least to do.
    fn others_with(
        &self,
        session: &super::sessions::Session,
        entry: &super::requests::Entry,
    ) -> Vec<(WorkerId, SessionId)> {
        let Some(model) = self.models.get(&session.model.hash) else { return Vec::new() };
        let all = model.sessions.iter().filter_map(|id| self.sessions.get(id)).filter(|other| {
            other.worker != session.worker
                && !self.is_stranger(other.worker)
                && other.phase == SessionPhase::Ready
                && other.dims.as_ref().is_none_or(|dims| *dims == entry.lane.dims)
        });
        let mut all: Vec<_> = all
            .filter_map(|other| {
                let pending = self.workers.get(&other.worker)?.leases.len();
                Some((other.arm == session.arm, pending, other.worker, other.id))
            })
            .collect();
        all.sort_unstable();
        // One worker may have the model on several backends; one of them is enough.
        let mut named = Vec::with_capacity(OTHERS);
        for (_, _, worker, session) in all {
            if named.len() < OTHERS && named.iter().all(|(other, _)| *other != worker) {
                named.push((worker, session));
            }
        }
        named
    }

    /// A worker is about to do something beside its leases, so what these take says less about it.
    fn disturb(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.checks += 1;
        for lease in &worker.leases {
            if let Some(lease) = self.leases.get_mut(lease) {
                lease.alone = false;
            }
        }
    }

    /// A check has ended: these workers were named in it.
    pub fn check_done(&mut self, named: &[WorkerId]) {
        for worker in named {
            if let Some(worker) = self.workers.get_mut(worker) {
                worker.checks = worker.checks.saturating_sub(1);
            }
        }
    }

    /// Tells what a check showed.
    pub fn checked(&mut self, worker: WorkerId, model: ModelHash, outcome: CheckOutcome, off: Option<f64>) {
        self.emit(Event::Checked { worker, model, outcome, off });
    }

    /// Takes out a worker whose numbers are wrong, though they were right when it had loaded the model: one of this
    /// session's runs has shown that.
    pub fn quarantine(&mut self, now: Instant, worker: WorkerId, session: SessionId) {
        self.observe_wrong(now, session);
        self.leave(now, worker, LeaveCause::Quarantined);
    }

    /// When a session that has just been loaded is to be checked for the first time.
    pub(super) fn first_check(&self, now: Instant) -> Option<Instant> {
        let checks = &self.config.checks;
        checks.enabled.then(|| now + checks.interval)
    }
}
