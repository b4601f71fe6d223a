//! A decision core coupled to simulated workers under one simulated clock.
//!
//! The simulation knows the core only through its actions, and checks with every action what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::{Action, Core, LeaseId, RunEnd, Scrutiny, Submission};
use pool_core::{
    Constraints, LinkError, LoadReport, Model, Observation, PoolConfig, RunError, RunReport, WorkerInfo,
};
use telemetry::{Event, LeaveCause};
use tensor::Bindings;
use vocab::{Backend, DeviceKind, FailureKind, RequestId, SessionId, WorkerId};

#[allow(clippy::disallowed_methods, reason = "a simulation needs one real instant to count from")]
fn epoch() -> Instant {
    Instant::now()
}

/// A worker as its page would know itself.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) info: WorkerInfo,
    /// The memory of each session, from the call to load until it is unloaded or its load has failed.
    pub(crate) sessions: BTreeMap<SessionId, u64>,
    pub(crate) running: BTreeMap<LeaseId, (RequestId, SessionId)>,
}

#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) core: Core,
    pub(crate) now: Instant,
    pub(crate) pages: BTreeMap<WorkerId, Page>,
    pub(crate) loading: BTreeMap<SessionId, (WorkerId, Arc<Model>, Backend, Arc<Bindings>)>,
    pub(crate) unloading: BTreeMap<SessionId, WorkerId>,
    pub(crate) cancelled_loads: BTreeSet<SessionId>,
    pub(crate) cancelled_runs: BTreeSet<LeaseId>,
    pub(crate) open: BTreeSet<RequestId>,
    pub(crate) ended: BTreeMap<RequestId, Result<RunReport, RunError>>,
    /// The requests in the order in which they were sent to workers.
    pub(crate) sent: Vec<(RequestId, WorkerId)>,
    /// How closely the answers of runs on guests were to be looked at, in the same order.
    pub(crate) scrutinies: Vec<(LeaseId, Scrutiny)>,
    pub(crate) events: Vec<Event>,
    pub(crate) observed: Vec<Observation>,
    pub(crate) loads: usize,
}

#[allow(dead_code, reason = "each test binary uses its own part of the simulation")]
impl Sim {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            core: Core::new(config).expect("the configuration is valid"),
            now: epoch(),
            pages: BTreeMap::new(),
            loading: BTreeMap::new(),
            unloading: BTreeMap::new(),
            cancelled_loads: BTreeSet::new(),
            cancelled_runs: BTreeSet::new(),
            open: BTreeSet::new(),
            ended: BTreeMap::new(),
            sent: Vec::new(),
            scrutinies: Vec::new(),
            events: Vec::new(),
            observed: Vec::new(),
            loads: 0,
        }
    }

    pub(crate) fn join(&mut self, info: WorkerInfo) -> WorkerId {
        let worker = self.core.join(self.now, info.clone());
        self.pages.insert(worker, Page { info, sessions: BTreeMap::new(), running: BTreeMap::new() });
        self.obey();
        worker
    }

    pub(crate) fn leave(&mut self, worker: WorkerId, cause: LeaveCause) {
        self.core.leave(self.now, worker, cause);
        self.obey();
    }

    #[track_caller]
    pub(crate) fn accept(&mut self, submission: Submission) -> RequestId {
        self.submit(submission).expect("the request is accepted")
    }

    pub(crate) fn submit(&mut self, submission: Submission) -> Result<RequestId, RunError> {
        let request = self.core.submit(self.now, submission);
        if let Ok(request) = &request {
            assert!(self.open.insert(*request), "{request} was accepted twice");
        }
        self.obey();
        request
    }

    pub(crate) fn cancel(&mut self, request: RequestId) {
        self.core.cancel(self.now, request);
        self.obey();
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.core.tick(self.now);
        assert!(self.core.next_wake().is_none_or(|due| due > self.now), "a tick leaves nothing that is due");
        self.obey();
    }

    pub(crate) fn load_ok(&mut self, session: SessionId, load_ms: f64) {
        self.load_done(session, Ok(report(load_ms)));
    }

    pub(crate) fn load_done(&mut self, session: SessionId, result: Result<LoadReport, LinkError>) {
        if let Some((worker, ..)) = self.loading.remove(&session)
            && result.is_err()
            && let Some(page) = self.pages.get_mut(&worker)
        {
            page.sessions.remove(&session);
        }
        self.core.load_done(self.now, session, result);
        self.obey();
    }

    pub(crate) fn run_done(&mut self, lease: LeaseId, result: Result<f64, LinkError>) {
        for page in self.pages.values_mut() {
            page.running.remove(&lease);
        }
        let result = result.map(|in_page_ms| RunEnd { in_page_ms, bytes_out: 0, marks: None });
        self.core.run_done(self.now, lease, result);
        self.obey();
    }

    pub(crate) fn unload_done(&mut self, session: SessionId, result: Result<(), LinkError>) {
        let missing = matches!(&result, Err(LinkError::Reported { kind: FailureKind::NoSuchSession, .. }));
        if let Some(worker) = self.unloading.remove(&session)
            && (result.is_ok() || missing)
            && let Some(page) = self.pages.get_mut(&worker)
        {
            page.sessions.remove(&session);
        }
        self.core.unload_done(self.now, session, result);
        self.obey();
    }

    /// The runs in flight, oldest first.
    pub(crate) fn running(&self) -> Vec<LeaseId> {
        let mut all: Vec<_> = self.pages.values().flat_map(|page| page.running.keys().copied()).collect();
        all.sort_unstable();
        all
    }

    /// Lets every call that is in flight now succeed. Answers how many there were.
    pub(crate) fn settle(&mut self) -> usize {
        let loads: Vec<_> = self.loading.keys().copied().collect();
        let unloads: Vec<_> = self.unloading.keys().copied().collect();
        let runs = self.running();
        let calls = loads.len() + unloads.len() + runs.len();
        for session in loads {
            let cancelled = self.cancelled_loads.contains(&session);
            self.load_done(session, if cancelled { Err(LinkError::Cancelled) } else { Ok(report(5.0)) });
        }
        for session in unloads {
            self.unload_done(session, Ok(()));
        }
        for lease in runs {
            let cancelled = self.cancelled_runs.contains(&lease);
            self.run_done(lease, if cancelled { Err(LinkError::Cancelled) } else { Ok(1.0) });
        }
        calls
    }

    /// Settles until nothing is in flight any more.
    pub(crate) fn settle_all(&mut self) {
        while self.settle() > 0 {}
    }

    /// Does what the core says, and checks it.
    pub(crate) fn obey(&mut self) {
        for action in self.core.take_actions() {
            match action {
                Action::Load { worker, session, model, backend, dims, .. } => {
                    let page = self.pages.get_mut(&worker).expect("a load goes to a worker that is there");
                    let offered = page.info.backends.iter().find(|info| info.backend == backend);
                    let offered = offered.expect("a load asks for a backend that the worker has");
                    assert!(offered.static_shapes || dims.is_empty(), "dynamic shapes are left open");
                    page.sessions.insert(session, model.memory_estimate_bytes);
                    let used: u64 = page.sessions.values().sum();
                    assert!(used <= page.info.memory_budget_bytes, "{worker} holds {used} bytes");
                    self.loading.insert(session, (worker, model, backend, dims));
                    self.loads += 1;
                }
                Action::Run { worker, lease, request, session, scrutiny, .. } => {
                    let page = self.pages.get_mut(&worker).expect("a run goes to a worker that is there");
                    assert!(page.sessions.contains_key(&session), "a run names a session of its worker");
                    assert!(!self.loading.contains_key(&session), "a run names a session that is loaded");
                    assert!(!self.unloading.contains_key(&session), "a run names a session that stays");
                    assert!(self.open.contains(&request), "a run is for a request that has not ended");
                    page.running.insert(lease, (request, session));
                    let (running, slots) = (page.running.len(), page.info.slots as usize);
                    assert!(running <= slots, "{worker} has {running} runs on {slots} slots");
                    self.sent.push((request, worker));
                    if scrutiny != Scrutiny::None {
                        assert!(
                            !self.core.confirmers(lease).is_empty(),
                            "whatever is doubted can be confirmed"
                        );
                        self.scrutinies.push((lease, scrutiny));
                    }
                }
                Action::Unload { worker, session } => {
                    let page = &self.pages[&worker];
                    assert!(
                        page.running.values().all(|&(_, used)| used != session),
                        "an unload of a session in use"
                    );
                    assert!(page.sessions.contains_key(&session), "an unload names a session of its worker");
                    self.unloading.insert(session, worker);
                }
                Action::CancelLoad { session } => {
                    assert!(self.loading.contains_key(&session), "what is cancelled is in flight");
                    self.cancelled_loads.insert(session);
                }
                Action::CancelRun { lease } => {
                    assert!(self.running().contains(&lease), "what is cancelled is in flight");
                    self.cancelled_runs.insert(lease);
                }
                Action::Forget { worker, .. } => {
                    self.pages.remove(&worker).expect("a worker is forgotten once");
                    self.loading.retain(|_, (on, ..)| *on != worker);
                    self.unloading.retain(|_, on| *on != worker);
                }
                Action::Finish { request, result } => {
                    assert!(self.open.remove(&request), "{request} ended twice, or was never accepted");
                    self.ended.insert(request, *result);
                }
                Action::Check { worker, session, others, .. } => {
                    let page = self.pages.get(&worker).expect("a check is of a worker that is there");
                    assert!(page.sessions.contains_key(&session), "a check names a session of its worker");
                    let named: Vec<_> = others.iter().map(|(other, _)| *other).chain([worker]).collect();
                    assert!(named.iter().all(|worker| self.pages.contains_key(worker)));
                    self.core.check_done(&named);
                }
                Action::Observe(observation) => self.observed.push(*observation),
                Action::Emit(event) => self.events.push(event),
                other => panic!("an action that the simulation does not know: {other:?}"),
            }
        }
        assert_eq!(self.core.unfinished(), self.open.len(), "the core and its caller agree on what is open");
    }
}

pub(crate) fn report(load_ms: f64) -> LoadReport {
    LoadReport {
        load_ms,
        memory_bytes: None,
        placement: Vec::new(),
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        detail: serde_json::Map::new(),
    }
}

#[allow(dead_code, reason = "not every test binary needs failures")]
pub(crate) fn failed(kind: FailureKind) -> LinkError {
    LinkError::Reported { kind, message: "simulated".to_owned() }
}

pub(crate) fn submission(model: &Arc<Model>, constraints: Constraints) -> Submission {
    Submission {
        model: Arc::clone(model),
        dims: Arc::default(),
        constraints,
        preload: false,
        bytes_in: 0,
        worker: None,
        stateful: false,
    }
}

/// Bindings of the symbol `n` to a size.
#[allow(dead_code, reason = "not every test binary needs shapes")]
pub(crate) fn dims(n: u64) -> Arc<Bindings> {
    Arc::new([(Arc::from("n"), n)].into())
}
