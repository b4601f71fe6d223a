//! Between the core and the pages: what the core wants done, and how it ends.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pool_core::core::{Action, LeaseId, RunEnd};
use pool_core::{Held, LinkError, LoadReport};
use telemetry::LeaveCause;
use vocab::{Backend, DeviceKind, FailureKind, ModelHash, RequestId, SessionId, WorkerId};

use super::{Bug, Event, Place, World};

/// A page as a worker of the pool.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) place: Place,
    pub(super) page: u32,
    pub(super) slots: usize,
    pub(super) budget: u64,
    /// What each session takes, from the call to load until its memory is back.
    pub(super) sessions: BTreeMap<SessionId, (u64, ModelHash, Backend)>,
    pub(super) running: BTreeSet<LeaseId>,
    pub(super) loading: usize,
    /// When the thread that computes was seen to do something.
    pub(super) progress: Instant,
}

#[derive(Debug)]
pub(super) struct Load {
    pub(super) worker: WorkerId,
    pub(super) backend: Backend,
    pub(super) model: ModelHash,
    pub(super) began: Instant,
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) worker: WorkerId,
    pub(super) session: SessionId,
    pub(super) request: RequestId,
    pub(super) began: Instant,
    pub(super) cancelled: bool,
    /// Its worker is not in the pool any more. Only a driver with a bug keeps it.
    pub(super) forgotten: Option<(Place, u32)>,
}

/// Whether a page answers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Yes,
    /// The thread that computes hangs.
    Never,
    /// The connection is closed.
    Gone,
}

fn gone() -> LinkError {
    LinkError::Vanished { detail: "its connection closed".to_owned() }
}

fn failed(kind: FailureKind) -> LinkError {
    LinkError::Reported { kind, message: "simulated".to_owned() }
}

impl World {
    /// Does what the core says, and checks that it may be said.
    pub(super) fn obey(&mut self) {
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() || self.broken.is_some() {
                return;
            }
            for action in actions {
                match action {
                    Action::Load { worker, session, model, backend, .. } => {
                        self.load(worker, session, (model.memory_estimate_bytes, model.hash, backend));
                    }
                    Action::CancelLoad { session } => {
                        if let Some(load) = self.loads.get_mut(&session) {
                            load.cancelled = true;
                        }
                        let confirms = self.between(0.01, 0.5);
                        self.later(confirms, Event::LoadEnd(session));
                    }
                    Action::Run { worker, lease, request, session, .. } => {
                        self.run(worker, lease, request, session);
                    }
                    Action::CancelRun { lease } => {
                        if let Some(run) = self.runs.get_mut(&lease) {
                            run.cancelled = true;
                        }
                        let confirms = self.between(0.01, 0.5);
                        self.later(confirms, Event::RunEnd(lease));
                    }
                    Action::Unload { worker, session } => {
                        let used = self.runs.values().any(|run| run.session == session);
                        self.must(!used, || format!("{session} is unloaded while it runs"));
                        self.unloads.insert(session, worker);
                        let takes = self.between(0.01, 0.5);
                        self.later(takes, Event::UnloadEnd(session));
                    }
                    Action::Forget { worker, cause, held } => self.forget(worker, cause, held),
                    Action::Finish { request, result } => {
                        let answer = self.answer.take_if(|(of, ..)| *of == request);
                        self.deliver(request, *result, answer.map(|(_, wrong, page)| (wrong, page)));
                    }
                    Action::Check { worker, session, others, .. } => self.checked(worker, session, &others),
                    Action::Observe(_) | Action::Emit(_) => {}
                    other => self.must(false, || format!("an unknown action: {other:?}")),
                }
            }
        }
    }

    /// A worker is checked. Its canary tells whether it lies.
    fn checked(&mut self, worker: WorkerId, session: SessionId, others: &[(WorkerId, SessionId)]) {
        let named: Vec<WorkerId> = others.iter().map(|(other, _)| *other).chain([worker]).collect();
        let strange = named.iter().find(|worker| !self.links.contains_key(worker)).copied();
        self.must(strange.is_none(), || format!("a check names {strange:?}, which is not in the pool"));
        self.core.check_done(&named);
        let Some(place) = self.links.get(&worker).map(|link| link.place) else { return };
        if self.machines[place].lies && self.bug != Some(Bug::LiarServes) {
            self.core.quarantine(self.now, worker, session);
        }
    }

    fn load(&mut self, worker: WorkerId, session: SessionId, what: (u64, ModelHash, Backend)) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&worker) else {
            return self.must(false, || format!("a load goes to {worker}, which is not in the pool"));
        };
        if link.running.is_empty() && link.loading == 0 {
            link.progress = now;
        }
        link.loading += 1;
        link.sessions.insert(session, what);
        let used: u64 = link.sessions.values().map(|(bytes, ..)| bytes).sum();
        let (budget, place) = (link.budget, link.place);
        self.must(used <= budget, || format!("{worker} holds {used} of {budget} bytes"));
        let load = Load { worker, backend: what.2, model: what.1, began: now, cancelled: false };
        self.loads.insert(session, load);
        let takes = self.between(0.05, 2.0) * if self.machines[place].slow { 8.0 } else { 1.0 };
        self.later(takes, Event::LoadEnd(session));
    }

    fn run(&mut self, worker: WorkerId, lease: LeaseId, request: RequestId, session: SessionId) {
        let now = self.now;
        let known = self.open.contains_key(&request);
        self.must(known, || format!("{request} runs and has ended"));
        let loading = self.loads.contains_key(&session) || self.unloads.contains_key(&session);
        let Some(link) = self.links.get_mut(&worker) else {
            return self.must(false, || format!("a lease on {worker}, which is not in the pool"));
        };
        if link.running.is_empty() && link.loading == 0 {
            link.progress = now;
        }
        link.running.insert(lease);
        let ready = link.sessions.contains_key(&session) && !loading;
        let (running, slots, place) = (link.running.len(), link.slots, link.place);
        self.must(ready, || format!("{session} runs and is not loaded"));
        self.must(running <= slots, || format!("{worker} has {running} runs on {slots} slots"));
        let run = Run { worker, session, request, began: now, cancelled: false, forgotten: None };
        self.runs.insert(lease, run);
        let takes = self.between(0.02, 0.8) * if self.machines[place].slow { 10.0 } else { 1.0 };
        self.later(takes, Event::RunEnd(lease));
    }

    /// Whether the page of a worker answers calls.
    fn answers(&self, worker: WorkerId) -> Answers {
        let Some(link) = self.links.get(&worker) else { return Answers::Gone };
        let machine = &self.machines[link.place];
        if machine.page != link.page || !machine.connected {
            Answers::Gone
        } else if machine.worker_hung {
            Answers::Never
        } else {
            Answers::Yes
        }
    }

    pub(super) fn run_ends(&mut self, lease: LeaseId) {
        let Some(run) = self.runs.get(&lease) else { return };
        let (worker, session, cancelled) = (run.worker, run.session, run.cancelled);
        if let Some((place, page)) = run.forgotten {
            let request = run.request;
            self.runs.remove(&lease);
            let there = self.machines[place].page == page && self.machines[place].connected;
            if there {
                self.deliver_late(request);
            }
            return;
        }
        match self.answers(worker) {
            Answers::Yes => {}
            Answers::Never => return,
            Answers::Gone => return self.end_run(lease, Err(gone())),
        }
        let Some(link) = self.links.get_mut(&worker) else { return };
        link.progress = self.now;
        let place = link.place;
        let backend = link.sessions.get(&session).map_or(Backend::Wasm, |(.., backend)| *backend);
        let result = if cancelled && self.chance(0.8) {
            Err(LinkError::Cancelled)
        } else {
            self.outcome(place, backend).map(|()| RunEnd {
                in_page_ms: self.now.saturating_duration_since(self.runs[&lease].began).as_secs_f64() * 1e3,
                bytes_out: 4,
                marks: None,
            })
        };
        self.end_run(lease, result);
    }

    /// What a call gives on a page that answers.
    fn outcome(&mut self, place: Place, backend: Backend) -> Result<(), LinkError> {
        let odd = if self.calm { 1.0 } else { self.random_share() };
        let now = self.now;
        let machine = &mut self.machines[place];
        let flaky = machine.flaky.is_some_and(|until| now < until);
        let kind = if machine.device_lost && backend != Backend::Wasm {
            FailureKind::DeviceLost
        } else if machine.no_memory && odd < 0.6 {
            FailureKind::OutOfMemory
        } else {
            return match odd {
                odd if odd < if flaky { 0.7 } else { 0.01 } => Err(failed(FailureKind::Internal)),
                odd if odd < 0.015 && !flaky => Err(failed(FailureKind::InvalidInput)),
                odd if odd < 0.02 && !flaky => {
                    Err(LinkError::TimedOut { phase: "simulated", after: Duration::from_secs(1) })
                }
                odd if odd < 0.022 && !flaky => Err(failed(FailureKind::NoSuchSession)),
                _ => Ok(()),
            };
        };
        machine.reported.push(kind.clone());
        Err(failed(kind))
    }

    fn random_share(&mut self) -> f64 {
        self.between(0.0, 1.0)
    }

    /// A run has ended.
    fn end_run(&mut self, lease: LeaseId, result: Result<RunEnd, LinkError>) {
        let Some(run) = self.runs.remove(&lease) else { return };
        let Some(link) = self.links.get_mut(&run.worker) else { return };
        link.running.remove(&lease);
        let (place, page) = (link.place, link.page);
        if result.is_ok() {
            self.answer = Some((run.request, self.machines[place].lies, (place, page)));
            self.patients[place].recycler.task_done();
        }
        self.core.run_done(self.now, lease, result);
        self.obey();
        self.answer = None;
    }

    pub(super) fn load_ends(&mut self, session: SessionId) {
        let Some(&Load { worker, backend, model, began, cancelled }) = self.loads.get(&session) else {
            return;
        };
        match self.answers(worker) {
            Answers::Yes => {}
            Answers::Never => return,
            Answers::Gone => return self.end_load(session, worker, Err(gone())),
        }
        let odd = self.random_share();
        let Some(link) = self.links.get_mut(&worker) else { return };
        link.progress = self.now;
        let place = link.place;
        let result = if cancelled && odd < 0.8 {
            Err(LinkError::Cancelled)
        } else if odd < 0.01 && !self.calm {
            Err(failed(FailureKind::UnsupportedByBackend))
        } else if odd < 0.015 && !self.calm {
            Err(failed(FailureKind::InvalidModel))
        } else {
            self.outcome(place, backend)
        };
        self.end_load(session, worker, result.map(|()| (model, backend, began)));
    }

    fn end_load(
        &mut self,
        session: SessionId,
        worker: WorkerId,
        result: Result<(ModelHash, Backend, Instant), LinkError>,
    ) {
        self.loads.remove(&session);
        if let Some(link) = self.links.get_mut(&worker) {
            link.loading -= 1;
            if result.is_err() {
                link.sessions.remove(&session);
            }
        }
        let result = result.map(|(model, backend, began)| {
            self.loaded.entry(worker).or_default().insert((model, backend));
            LoadReport {
                load_ms: self.now.saturating_duration_since(began).as_secs_f64() * 1e3,
                memory_bytes: None,
                placement: Vec::new(),
                device_requested: None,
                device_effective: DeviceKind::Cpu,
                detail: serde_json::Map::new(),
            }
        });
        self.core.load_done(self.now, session, result);
        self.obey();
    }

    pub(super) fn unload_ends(&mut self, session: SessionId) {
        let Some(&worker) = self.unloads.get(&session) else { return };
        let answers = self.answers(worker);
        if answers == Answers::Never {
            return;
        }
        self.unloads.remove(&session);
        if let Some(link) = self.links.get_mut(&worker) {
            link.sessions.remove(&session);
            link.progress = self.now;
        }
        let result = if answers == Answers::Yes { Ok(()) } else { Err(gone()) };
        self.core.unload_done(self.now, session, result);
        self.obey();
    }

    /// A page is gone: every call to it that is in flight ends with that.
    pub(super) fn calls_vanish(&mut self, worker: WorkerId) {
        let run = self.runs.iter().find(|(_, run)| run.worker == worker && run.forgotten.is_none());
        if let Some((&lease, _)) = run {
            self.end_run(lease, Err(gone()));
        } else if let Some((&session, _)) = self.loads.iter().find(|(_, load)| load.worker == worker) {
            self.end_load(session, worker, Err(gone()));
        }
    }

    /// A worker is out of the pool: what is in flight there is dropped.
    fn forget(&mut self, worker: WorkerId, cause: LeaveCause, held: Vec<Held>) {
        let Some(link) = self.links.remove(&worker) else {
            return self.must(false, || format!("{worker} is forgotten twice"));
        };
        let keeps = self.bug == Some(Bug::LateAnswer);
        let lost: Vec<LeaseId> = link.running.iter().copied().collect();
        for lease in lost {
            let Some(run) = self.runs.get_mut(&lease) else { continue };
            if keeps && !run.cancelled {
                run.forgotten = Some((link.place, link.page));
            } else {
                self.runs.remove(&lease);
            }
        }
        self.loads.retain(|_, load| load.worker != worker);
        self.unloads.retain(|_, of| *of != worker);
        self.say(|| format!("b{}: {worker} is out ({cause}), it held {}", link.place, held.len()));
        self.was_forgotten(link.place, worker, cause, held);
    }
}
