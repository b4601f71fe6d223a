//! How runs and requests end.

use std::sync::Arc;
use std::time::Instant;

use recovery::CallOutcome;
use telemetry::{Event, EvictCause, LeaveCause, Outcome, RetryCause};
use vocab::{DeviceKind, FailureKind, RequestId};

use super::demand::Capable;
use super::needs::{Needs, Own};
use super::observe::ms;
use super::queue::LaneKey;
use super::requests::{Entry, Failure, Lease, LeaseState, average, outcome};
use super::retry::{self, Remedy};
use super::sessions::Session;
use super::timers::TimerKey;
use super::workers::Worker;
use super::{Action, Core, LeaseId, RunEnd};
use crate::{LinkError, RunError, RunReport, Timeline};

impl Core {
    /// A run has ended. Ignored where the lease is not known any more.
    pub fn run_done(&mut self, now: Instant, id: LeaseId, result: Result<RunEnd, LinkError>) {
        let Some(lease) = self.leases.remove(&id) else { return };
        if let LeaseState::Cancelling { until } = lease.state {
            self.timers.clear(until, TimerKey::Lease(id));
        }
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.leases.retain(|&other| other != id);
            worker.served += 1;
            if worker.is_idle() {
                self.idle.insert(worker.id);
            }
        }
        let model = self.sessions.get(&lease.session).map(|session| session.model.hash);
        self.run_ended(now, &lease, result.as_ref().err());
        let mut failed = Vec::new();
        let mut broken = None;
        match (lease.state, &result) {
            (LeaseState::Running(request), Ok(end)) => self.completed(now, request, &lease, *end),
            (LeaseState::Running(request), Err(error)) => {
                self.observe_failure(now, &lease, request, error);
                self.bar_refusing(lease.session, error);
                let stranger = self.is_stranger(lease.worker);
                if let (Some(entry), Some(session)) =
                    (self.requests.get_mut(&request), self.sessions.get(&lease.session))
                {
                    entry.running = None;
                    if stranger {
                        entry.fail_by_stranger();
                    }
                    let (worker, backend) = (lease.worker, session.backend);
                    failed.push((request, Failure { worker, backend, loading: false, error: error.clone() }));
                }
            }
            (LeaseState::Cancelling { .. }, _) => {}
        }
        if let Err(error) = &result
            && retry::breaks_session(error)
        {
            let missing =
                matches!(error, LinkError::Reported { kind: FailureKind::NoSuchSession, message: _ });
            broken = Some(if missing { EvictCause::Missing } else { EvictCause::Broken });
        }
        self.release_session(now, lease.session, broken);
        if let Err(error @ LinkError::Vanished { .. }) = &result {
            self.lose_worker(now, lease.worker, LeaveCause::Vanished, error);
        }
        let wrong = |kind: &FailureKind| *kind == FailureKind::WrongNumbers;
        if let Err(error @ LinkError::Reported { kind, message: _ }) = &result
            && wrong(kind)
            && self.is_stranger(lease.worker)
        {
            self.lose_worker(now, lease.worker, LeaveCause::Quarantined, error);
        }
        self.fail_all(now, failed, true);
        self.pump_after_run(now, lease.worker, lease.session);
        if let Some(model) = model {
            self.spread(now, model);
        }
    }

    /// Tells the circuit breakers how a run ended.
    fn run_ended(&mut self, now: Instant, lease: &Lease, error: Option<&LinkError>) {
        match lease.state {
            LeaseState::Running(_) => self.tell_breakers(now, lease.began, lease.permits, error),
            LeaseState::Cancelling { .. } => {
                let took = now.saturating_duration_since(lease.began);
                let overdue = CallOutcome::Failed { took };
                self.record(now, lease.permits, if lease.overdue { overdue } else { CallOutcome::Abandoned });
            }
        }
    }

    fn completed(&mut self, now: Instant, request: RequestId, lease: &Lease, end: RunEnd) {
        let stranger = self.is_stranger(lease.worker);
        // A stranger's clock is its own affair: what we measured counts, the way there and back included.
        let told_ms = if stranger { ms(lease.began, now) } else { end.in_page_ms };
        let end = RunEnd { marks: end.marks.filter(|_| !stranger), ..end };
        let in_page_ms = if told_ms.is_finite() { told_ms.max(0.0) } else { 0.0 };
        self.observe_result(now, lease, request, RunEnd { in_page_ms, ..end });
        let (Some(entry), Some(session), Some(worker)) =
            (self.requests.get(&request), self.sessions.get(&lease.session), self.workers.get(&lease.worker))
        else {
            return;
        };
        if let Some(model) = self.models.get_mut(&entry.model.hash).filter(|_| !stranger) {
            model.run_ms = average(model.run_ms, in_page_ms);
        }
        let mut report = Self::report(now, request, entry, session, worker, in_page_ms);
        report.timeline = end.marks.map(|marks| Timeline::new(entry.accepted, lease.began, &marks, now));
        self.check_if_due(now, lease, request);
        self.finish(now, request, Ok(report));
    }

    pub(super) fn report(
        now: Instant,
        request: RequestId,
        entry: &Entry,
        session: &Session,
        worker: &Worker,
        in_page_ms: f64,
    ) -> RunReport {
        let info = worker.info.backends.iter().find(|info| info.backend == session.backend);
        let by_backend =
            || info.map_or(DeviceKind::Unknown(String::new()), |info| info.device_effective.clone());
        RunReport {
            request,
            worker: worker.id,
            browser: worker.info.browser,
            browser_version: worker.version.clone(),
            guest: worker.info.guest.as_ref().map(|guest| Arc::clone(&guest.label)),
            backend: session.backend,
            device_requested: session.device_requested.clone(),
            device_effective: session.device_effective.clone().unwrap_or_else(by_backend),
            threads: info.map_or(0, |info| info.threads),
            adapter: info.and_then(|info| info.adapter.as_deref()).map(Into::into),
            queue_ms: ms(entry.accepted, entry.dispatched.unwrap_or(now)),
            load_ms: entry.load_ms,
            in_page_ms,
            total_ms: ms(entry.accepted, now),
            attempts: entry.attempts,
            placement: session.placement.clone(),
            detail: session.detail.clone(),
            decision: entry.decision.clone(),
            timeline: None,
        }
    }

    /// Ends a request, wherever it is. Ignored where it has ended.
    pub(super) fn finish(&mut self, now: Instant, request: RequestId, result: Result<RunReport, RunError>) {
        self.dequeue(request);
        self.end_trial(request);
        let Some(entry) = self.requests.remove(&request) else { return };
        if entry.exploring {
            self.selector.release(&entry.context());
        }
        if let (Err(RunError::DeadlineExceeded { .. }), Some(id)) = (&result, entry.running)
            && let Some(lease) = self.leases.get(&id).copied()
        {
            let overdue = self.observe_deadline(now, &lease, &entry);
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.overdue = overdue;
            }
        }
        self.timers.clear(entry.deadline, TimerKey::Request(request));
        if let Some(id) = entry.running
            && let Some(lease) = self.leases.get_mut(&id)
            && result.is_err()
        {
            // The slot stays taken until the worker has confirmed that it stopped.
            let until = now + self.config.cancel_grace;
            lease.state = LeaseState::Cancelling { until };
            self.timers.set(until, TimerKey::Lease(id));
            self.actions.push(Action::CancelRun { lease: id });
        }
        if let Some(last) = self.last_finish.replace(now) {
            self.finish_gap_ms = average(self.finish_gap_ms, ms(last, now));
        }
        self.emit(Event::RequestFinished {
            request,
            model: entry.model.hash,
            outcome: result.as_ref().map_or_else(outcome, |_| Outcome::Completed),
            place: entry.place,
            queue_ms: ms(entry.accepted, entry.dispatched.unwrap_or(now)),
            in_page_ms: result.as_ref().ok().map(|report| report.in_page_ms),
            total_ms: ms(entry.accepted, now),
        });
        self.actions.push(Action::Finish { request, result: Box::new(result) });
    }

    /// Each of these requests had an attempt that failed: puts it back into the queue or ends it.
    ///
    /// `freed` tells whether their worker can be expected to have more memory now.
    pub(super) fn fail_all(&mut self, now: Instant, failures: Vec<(RequestId, Failure)>, freed: bool) {
        let mut lanes: Vec<LaneKey> = Vec::new();
        for (request, failure) in failures {
            self.dequeue(request);
            let Some(entry) = self.requests.get_mut(&request) else { continue };
            if failure.loading {
                entry.attempts += 1;
            }
            let worker = failure.worker;
            if entry.is_trial() {
                entry.last = Some(failure);
                match self.forgive(request) {
                    Some(Ok(lane)) => {
                        if !lanes.contains(&lane) {
                            lanes.push(lane);
                        }
                        self.emit(Event::RequestRetried { request, worker, cause: RetryCause::Exploration });
                    }
                    Some(Err(error)) => self.finish(now, request, Err(error)),
                    None => {}
                }
                continue;
            }
            let remedy = if entry.lane.needs.own >= Own::Untrusted && std::mem::take(&mut entry.by_stranger) {
                // Whatever a stranger says went wrong, the owner's workers are asked before the caller is told so.
                Remedy::Again(RetryCause::Guest)
            } else {
                retry::remedy(&failure.error, failure.loading, freed)
            };
            let backend = failure.backend;
            entry.last = Some(failure);
            let entry = &self.requests[&request];
            let Some((needs, cause)) = self.apply(entry, remedy, worker, backend) else {
                let error = entry.gave_up(|| self.mismatch(entry.needs()));
                self.finish(now, request, Err(error));
                continue;
            };
            if let Some(entry) = self.requests.get_mut(&request) {
                entry.lane.needs = needs;
                if !lanes.contains(&entry.lane) {
                    lanes.push(entry.lane.clone());
                }
            }
            self.enqueue(request);
            self.emit(Event::RequestRetried { request, worker, cause });
        }
        for lane in lanes {
            self.place(now, &lane);
        }
    }

    /// What the request needs from now on, so that the remedy can work; `None` where it cannot.
    fn apply(
        &self,
        entry: &Entry,
        remedy: Remedy,
        worker: vocab::WorkerId,
        backend: vocab::Backend,
    ) -> Option<(Needs, RetryCause)> {
        if entry.attempts >= entry.max_attempts {
            return None;
        }
        let bytes = entry.bytes();
        let elsewhere = || {
            let mut needs = entry.needs().clone();
            if !needs.not_workers.contains(&worker) {
                needs.not_workers.push(worker);
            }
            // Where the preferred backend is only on the worker that failed, another one would be a fallback.
            let usable = self.usable(&needs, bytes);
            let same = needs.any_backend() || usable == self.usable(entry.needs(), bytes);
            ((same || entry.fallback) && self.capable(&needs, bytes) == Capable::Now).then_some(needs)
        };
        let other_backend = || {
            let mut needs = entry.needs().clone();
            needs.not_backends.insert(backend);
            needs.arm = None;
            (entry.fallback && self.capable(&needs, bytes) == Capable::Now).then_some(needs)
        };
        match remedy {
            Remedy::Again(cause) => {
                let possible = self.capable(entry.needs(), bytes) != Capable::Nobody;
                possible.then(|| (entry.needs().clone(), cause))
            }
            Remedy::OtherWorkerOrReload(cause) => {
                Some((elsewhere().unwrap_or_else(|| entry.needs().clone()), cause))
            }
            Remedy::OtherWorker(cause) => Some((elsewhere()?, cause)),
            Remedy::OtherBackend => Some((other_backend()?, RetryCause::Fallback)),
            Remedy::OtherWorkerOrBackend => Some((elsewhere().or_else(other_backend)?, RetryCause::Fallback)),
            Remedy::Nothing => None,
        }
    }

    /// Ends the queued requests that nobody can serve any more.
    pub(super) fn sweep_unservable(&mut self, now: Instant) {
        let mut lost = Vec::new();
        for (_, level) in self.queue.levels() {
            for (_, flow) in level.in_turn() {
                for (needs, group) in flow.groups() {
                    let bytes =
                        group.oldest().and_then(|head| self.requests.get(&head)).map_or(0, Entry::bytes);
                    if self.capable(needs, bytes) == Capable::Nobody {
                        lost.extend(group.all());
                    }
                }
            }
        }
        for request in lost {
            let Some(entry) = self.requests.get(&request) else { continue };
            let error = match &entry.last {
                None => self.nobody(entry.needs(), entry.bytes()),
                Some(_) => entry.gave_up(|| self.mismatch(entry.needs())),
            };
            self.finish(now, request, Err(error));
        }
    }
}
