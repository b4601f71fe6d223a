//! Workers that compute with the evaluator, and fail as they are told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use onnx_graph::Model;
use parking_lot::Mutex;
use sharding::{
    CacheKeeper, CachesAt, HostError, LoadCall, Plan, RunCall, RunReply, Stage, StageHost, Unload,
    WorkerHealth,
};
use tensor::NamedTensor;
use vocab::{SessionId, WorkerId};

use crate::eval;

/// What goes wrong in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It reports a failure before it computes.
    Fails,
    /// It reports a failure after it computed, so that its caches have moved on.
    FailsLate,
    /// The worker dies, with all its sessions.
    Dies,
    /// It never answers.
    Hangs,
    /// The reply lacks its first output.
    Incomplete,
    /// The caches have been lost before.
    Forgets,
    /// It refuses the inputs.
    Refuses,
}

/// Why the scripted host failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostFailure(pub String);

/// One run that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// The stage.
    pub stage: usize,
    /// The worker.
    pub worker: WorkerId,
    /// The step that its caches had to hold; 0 without caches.
    pub position: u64,
    /// The incarnation that its caches had to have; 0 without caches.
    pub epoch: u64,
}

#[derive(Debug)]
struct Session {
    worker: WorkerId,
    model: Arc<Model>,
    caches: CacheKeeper,
}

#[derive(Debug, Default)]
struct Inner {
    alive: BTreeMap<WorkerId, bool>,
    sessions: HashMap<SessionId, Session>,
    script: BTreeMap<usize, VecDeque<Fault>>,
    ranks: BTreeMap<usize, BTreeMap<WorkerId, u32>>,
    load_faults: u32,
    unload_hangs: u32,
    ran: Vec<Ran>,
    running: usize,
    most_running: usize,
}

/// A host of that many workers.
#[derive(Debug)]
pub struct ScriptedHost {
    plan: Plan,
    takes: Duration,
    inner: Mutex<Inner>,
}

impl ScriptedHost {
    /// A host for the parts of a plan. Each run takes that long.
    #[must_use]
    pub fn new(plan: Plan, workers: u64, takes: Duration) -> Self {
        let alive = (1..=workers).map(|worker| (WorkerId(worker), true)).collect();
        Self { plan, takes, inner: Mutex::new(Inner { alive, ..Inner::default() }) }
    }

    /// Has the next runs of a stage fail, one for each fault.
    pub fn fail(&self, stage: usize, faults: &[Fault]) {
        self.inner.lock().script.entry(stage).or_default().extend(faults);
    }

    /// Has a worker be at some place among those for a stage; the others are at the first.
    pub fn rank(&self, stage: usize, worker: WorkerId, rank: u32) {
        self.inner.lock().ranks.entry(stage).or_default().insert(worker, rank);
    }

    /// Has the next loads fail.
    pub fn fail_loads(&self, count: u32) {
        self.inner.lock().load_faults = count;
    }

    /// Has the next unloads never end.
    pub fn hang_unloads(&self, count: u32) {
        self.inner.lock().unload_hangs = count;
    }

    /// Kills a worker, with all its sessions.
    pub fn kill(&self, worker: WorkerId) {
        self.inner.lock().kill(worker);
    }

    /// Brings a worker back, with nothing loaded.
    pub fn revive(&self, worker: WorkerId) {
        self.inner.lock().alive.insert(worker, true);
    }

    /// The runs that were begun so far, in order.
    #[must_use]
    pub fn ran(&self) -> Vec<Ran> {
        self.inner.lock().ran.clone()
    }

    /// Sessions that are loaded, and sequences that have caches in them.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.sessions.len(), inner.sessions.values().map(|session| session.caches.sequences()).sum())
    }

    /// Runs that go on at this moment, and the most that went on at the same time.
    #[must_use]
    pub fn running(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.running, inner.most_running)
    }
}

impl Inner {
    const fn hangs_now(&mut self) -> bool {
        let hangs = self.unload_hangs > 0;
        self.unload_hangs = self.unload_hangs.saturating_sub(1);
        hangs
    }

    fn kill(&mut self, worker: WorkerId) {
        self.alive.insert(worker, false);
        self.sessions.retain(|_, session| session.worker != worker);
    }

    fn finish(
        &mut self,
        call: &RunCall,
        mut outputs: Vec<NamedTensor>,
    ) -> Result<RunReply, HostError<HostFailure>> {
        let Some(session) = self.sessions.get_mut(&call.session) else { return Err(gone()) };
        let caches: Option<CachesAt> = match call.step {
            Some(step) => {
                Some(session.caches.advance(step, &mut outputs).map_err(|_| HostError::CachesLost)?)
            }
            None => None,
        };
        outputs.retain(|output| call.outputs.contains(&output.name));
        Ok(RunReply { outputs, compute_ms: 0.0, caches })
    }
}

/// Counts a run for as long as it goes on, also where it is dropped.
struct Running<'h>(&'h ScriptedHost);

impl<'h> Running<'h> {
    fn begin(host: &'h ScriptedHost) -> Self {
        let mut inner = host.inner.lock();
        inner.running += 1;
        inner.most_running = inner.most_running.max(inner.running);
        Self(host)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().running -= 1;
    }
}

fn gone() -> HostError<HostFailure> {
    HostError::Gone(HostFailure("the worker is dead".to_owned()))
}

fn failed(why: &str) -> HostError<HostFailure> {
    HostError::Failed(HostFailure(why.to_owned()))
}

impl StageHost for ScriptedHost {
    type Error = HostFailure;

    async fn load(&self, call: LoadCall) -> Result<(), HostError<HostFailure>> {
        let file = std::fs::read(&call.file).map_err(|error| failed(&error.to_string()))?;
        let model = Model::parse(file.into()).map_err(|error| failed(&error.to_string()))?;
        {
            // The session is there before the call ends, as with a page that goes on loading when nobody waits any more.
            let mut inner = self.inner.lock();
            if inner.alive.get(&call.worker) != Some(&true) {
                return Err(gone());
            }
            let caches = CacheKeeper::new(self.plan.states_of(call.stage.index).cloned().collect());
            let session = Session { worker: call.worker, model: Arc::new(model), caches };
            inner.sessions.insert(call.session, session);
        }
        tokio::time::sleep(self.takes).await;
        let mut inner = self.inner.lock();
        if inner.load_faults > 0 {
            inner.load_faults -= 1;
            return Err(failed("it was told to"));
        }
        if !inner.sessions.contains_key(&call.session) {
            return Err(gone());
        }
        Ok(())
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, HostError<HostFailure>> {
        let _running = Running::begin(self);
        let (fault, model, past) = {
            let mut inner = self.inner.lock();
            let (position, epoch) = call.step.map_or((0, 0), |step| (step.position, step.epoch));
            inner.ran.push(Ran { stage: call.stage, worker: call.worker, position, epoch });
            let fault = inner.script.get_mut(&call.stage).and_then(VecDeque::pop_front);
            if fault == Some(Fault::Dies) {
                inner.kill(call.worker);
            }
            let Some(session) = inner.sessions.get_mut(&call.session) else { return Err(gone()) };
            if let (Some(Fault::Forgets), Some(step)) = (fault, call.step) {
                session.caches.release(step.sequence);
            }
            let past = call.step.map_or(Ok(Vec::new()), |step| session.caches.inputs(step));
            (fault, Arc::clone(&session.model), past.map_err(|_| HostError::CachesLost)?)
        };
        tokio::time::sleep(self.takes).await;
        match fault {
            Some(Fault::Fails) => return Err(failed("it was told to")),
            Some(Fault::Refuses) => return Err(HostError::Refused(HostFailure("it was told to".to_owned()))),
            Some(Fault::Hangs) => std::future::pending::<()>().await,
            _ => {}
        }
        let inputs: Vec<NamedTensor> = call.inputs.iter().cloned().chain(past).collect();
        let outputs = eval(model.proto(), &inputs).map_err(|error| failed(&error.to_string()))?;
        let mut reply = self.inner.lock().finish(&call, outputs)?;
        match fault {
            Some(Fault::FailsLate) => Err(failed("it was told to, after it was done")),
            Some(Fault::Incomplete) => {
                reply.outputs.drain(..reply.outputs.len().min(1));
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    async fn unload(&self, what: Unload) -> Result<(), HostError<HostFailure>> {
        if self.inner.lock().hangs_now() {
            std::future::pending::<()>().await;
        }
        let mut inner = self.inner.lock();
        match what.sequence {
            None => _ = inner.sessions.remove(&what.session),
            Some(sequence) => {
                if let Some(session) = inner.sessions.get_mut(&what.session) {
                    session.caches.release(sequence);
                }
            }
        }
        Ok(())
    }

    async fn health(&self, stage: &Stage) -> Vec<WorkerHealth> {
        let inner = self.inner.lock();
        let ranks = inner.ranks.get(&stage.index);
        let row = |(&worker, &alive): (&WorkerId, &bool)| {
            let rank = ranks.and_then(|ranks| ranks.get(&worker)).copied().unwrap_or_default();
            WorkerHealth { worker, alive, free_bytes: None, rank }
        };
        inner.alive.iter().map(row).collect()
    }
}
