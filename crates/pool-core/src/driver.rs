//! The driver: gives the core the time, and does what the core says.
//!
//! Everything is decided under one lock, which is never held across an await; what a decision asks for (waking
//! callers, cancelling, spawning, telling telemetry) is carried out after the lock is released, in the same order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use perf_history::{Observation, UnixMillis};
use telemetry::{CheckOutcome, Event, LeaveCause, Telemetry};
use tensor::NamedTensor;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{CachesAt, ModelHash, RequestId, SessionId, Step, WorkerId};

use crate::calls;
use crate::calls::{Doubt, Run};
use crate::check::{Case, Check, CheckConfig, Finding, Origin, Party, Store, Verdict};
use crate::core::{Action, Core, LeaseId, RunEnd, Scrutiny, Stance, Submission};
use crate::membership::{Gone, Leave, Membership};
use crate::pool::{PoolStats, bytes_of};
use crate::{
    Completed, Held, LinkError, LoadCall, LoadReport, ObservationSink, RunCall, RunError, RunReply,
    RunReport, WorkerInfo, WorkerLink,
};

/// Who waits for a request, and what it is to be run on.
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Result<Completed, RunError>>,
    pub(crate) inputs: Arc<[NamedTensor]>,
    pub(crate) outputs: Option<Arc<[Arc<str>]>>,
    pub(crate) step: Option<Step>,
}

/// A worker that is in the pool.
struct Joined<L> {
    link: Arc<L>,
    gone: Arc<Gone>,
}

/// What the lock guards.
struct State<L> {
    core: Core,
    joined: HashMap<WorkerId, Joined<L>>,
    waiters: HashMap<RequestId, Waiter>,
    /// The cancel tokens of the calls in flight.
    runs: HashMap<LeaseId, CancellationToken>,
    loads: HashMap<SessionId, CancellationToken>,
    /// When the timer task is going to wake by itself.
    timer_at: Option<Instant>,
}

pub(crate) struct Inner<L> {
    state: Mutex<State<L>>,
    telemetry: Telemetry,
    sink: Option<Arc<dyn ObservationSink>>,
    runtime: Handle,
    tasks: TaskTracker,
    /// Wakes the timer task because something is due earlier than it thinks.
    earlier: Arc<Notify>,
    /// Runs whose answers are known.
    canaries: Arc<Mutex<Store>>,
    /// Wakes whoever waits for workers to come or for requests to end.
    changed: Notify,
    /// Fires when the pool is over.
    stopped: CancellationToken,
}

/// What the run gave that has just ended, with the request that it belongs to.
type Outputs = Option<(RequestId, Given)>;

/// What a run gave.
#[derive(Default)]
struct Given {
    outputs: Vec<NamedTensor>,
    caches: Option<CachesAt>,
}

/// A worker, how to hear that it is gone, and some of its sessions.
type Reach<L> = (Arc<L>, Arc<Gone>, Vec<SessionId>);

/// What is left to do once the lock is released.
enum Deed<L> {
    Emit(Event),
    Observe(Box<Observation>),
    Answer(Waiter, Box<Result<RunReport, RunError>>, Given),
    Cancel(CancellationToken),
    Gone(Joined<L>, LeaveCause, Vec<Held>),
    Run(Arc<L>, Arc<Gone>, LeaseId, RunCall, Option<Doubt>),
    Load(Party<L>, LoadCall),
    Unload(Arc<L>, Arc<Gone>, SessionId),
    Check(Box<Check<L>>),
}

/// What observations are dated by. A clock before 1970 counts as 1970.
fn unix_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<L: WorkerLink> Inner<L> {
    pub(crate) fn start(
        core: Core,
        telemetry: Telemetry,
        sink: Option<Arc<dyn ObservationSink>>,
        runtime: Handle,
    ) -> Arc<Self> {
        let checks = core.config().checks;
        let state = State {
            core,
            joined: HashMap::new(),
            waiters: HashMap::new(),
            runs: HashMap::new(),
            loads: HashMap::new(),
            timer_at: None,
        };
        let inner = Arc::new(Self {
            state: Mutex::new(state),
            telemetry,
            sink,
            runtime,
            tasks: TaskTracker::new(),
            earlier: Arc::new(Notify::new()),
            canaries: Arc::new(Mutex::new(Store::new(checks))),
            changed: Notify::new(),
            stopped: CancellationToken::new(),
        });
        let timer =
            calls::keep_time(Arc::downgrade(&inner), Arc::clone(&inner.earlier), inner.stopped.clone());
        inner.tasks.spawn_on(timer, &inner.runtime);
        inner
    }

    /// Lets `decide` change the state, and carries out what the core then asks for.
    fn with<R>(self: &Arc<Self>, outputs: Outputs, decide: impl FnOnce(&mut State<L>, Instant) -> R) -> R {
        let mut state = self.state.lock();
        // The time is taken under the lock, so that the core never sees it run backwards.
        let now = now();
        state.core.set_clock(now, unix_now());
        let figures = |core: &Core| (core.workers(), core.is_at_rest(), core.drained());
        let before = figures(&state.core);
        let result = decide(&mut state, now);
        let deeds = state.translate(outputs);
        let due = state.core.next_wake();
        let wake_timer = due.is_some_and(|due| state.timer_at.is_none_or(|at| due < at));
        if wake_timer {
            state.timer_at = due;
        }
        let changed = before != figures(&state.core) || state.core.unfinished() == 0;
        drop(state);
        for deed in deeds {
            self.carry_out(now, deed);
        }
        if wake_timer {
            self.earlier.notify_one();
        }
        if changed {
            self.changed.notify_waiters();
        }
        result
    }

    fn carry_out(self: &Arc<Self>, now: Instant, deed: Deed<L>) {
        let weak = Arc::downgrade(self);
        match deed {
            Deed::Emit(event) => self.telemetry.emit(now, event),
            Deed::Observe(observation) => {
                if let Some(sink) = &self.sink {
                    sink.observe(*observation);
                }
            }
            Deed::Answer(waiter, result, Given { outputs, caches }) => {
                let result = result.map(|report| Completed { outputs, report, caches });
                // A caller that went away has cancelled the request, or is about to find it ended.
                drop(waiter.answer.send(result));
            }
            Deed::Cancel(token) => token.cancel(),
            Deed::Gone(joined, cause, held) => joined.gone.set(cause, held),
            Deed::Run(link, gone, lease, call, doubt) => {
                self.tasks.spawn_on(calls::run(weak, link, gone, lease, call, doubt), &self.runtime);
            }
            Deed::Load(party, call) => {
                let canaries = Arc::clone(&self.canaries);
                self.tasks.spawn_on(calls::load(weak, canaries, party, call), &self.runtime);
            }
            Deed::Check(check) => {
                self.tasks.spawn_on(calls::check(weak, Arc::clone(&self.canaries), *check), &self.runtime);
            }
            Deed::Unload(link, gone, session) => {
                self.tasks.spawn_on(calls::unload(weak, link, gone, session), &self.runtime);
            }
        }
    }

    pub(crate) fn submit(
        self: &Arc<Self>,
        submission: Submission,
        waiter: Waiter,
    ) -> Result<RequestId, RunError> {
        self.with(None, |state, now| {
            let request = state.core.submit(now, submission)?;
            state.waiters.insert(request, waiter);
            Ok(request)
        })
    }

    /// Lets `decide` change the core alone.
    pub(crate) fn decide<R>(self: &Arc<Self>, decide: impl FnOnce(&mut Core, Instant) -> R) -> R {
        self.with(None, |state, now| decide(&mut state.core, now))
    }

    pub(crate) fn join(self: &Arc<Self>, info: WorkerInfo, link: Arc<L>, stance: Stance) -> Membership {
        let gone = Arc::new(Gone::default());
        let worker = self.with(None, |state, now| {
            let worker = state.core.join_as(now, info, stance);
            state.joined.insert(worker, Joined { link, gone: Arc::clone(&gone) });
            worker
        });
        let pool: std::sync::Weak<Self> = Arc::downgrade(self);
        if self.stopped.is_cancelled() {
            self.remove(worker, LeaveCause::Shutdown);
        }
        Membership { worker, gone, pool }
    }

    fn remove(self: &Arc<Self>, worker: WorkerId, cause: LeaveCause) {
        self.with(None, |state, now| state.core.leave(now, worker, cause));
    }

    pub(crate) fn cancel(self: &Arc<Self>, request: RequestId) {
        self.with(None, |state, now| state.core.cancel(now, request));
    }

    pub(crate) fn close(self: &Arc<Self>) {
        self.with(None, |state, now| state.core.close(now));
        self.changed.notify_waiters();
    }

    pub(crate) fn end_requests(self: &Arc<Self>) {
        self.with(None, |state, now| state.core.abort(now));
        self.changed.notify_waiters();
    }

    pub(crate) fn abort(self: &Arc<Self>) {
        self.with(None, |state, now| {
            state.core.abort(now);
            let workers: Vec<_> = state.core.worker_ids().collect();
            for worker in workers {
                state.core.leave(now, worker, LeaveCause::Shutdown);
            }
        });
        self.stopped.cancel();
        self.tasks.close();
        self.changed.notify_waiters();
    }

    pub(crate) async fn wait_for_tasks(&self) {
        self.tasks.wait().await;
    }

    /// Waits until the core is in some state.
    pub(crate) async fn wait_until(&self, reached: impl Fn(&Core) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before looking, so that a change between the look and the wait is not missed.
            changed.as_mut().enable();
            if self.read(&reached) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Core) -> R) -> R {
        look(&self.state.lock().core)
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(crate) fn emit(&self, event: Event) {
        self.telemetry.emit(now(), event);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats {
            core: state.core.stats(),
            tasks: self.tasks.len(),
            waiters: state.waiters.len(),
            calls: state.runs.len() + state.loads.len(),
        }
    }

    pub(crate) fn run_done(
        self: &Arc<Self>,
        lease: LeaseId,
        request: RequestId,
        result: Result<Run, LinkError>,
    ) {
        let mut sure = false;
        let (outputs, result) = match result {
            Ok(Run { reply: RunReply { outputs, in_page_ms, caches, marks }, confirmed }) => {
                sure = confirmed;
                let end = RunEnd { in_page_ms, bytes_out: bytes_of(&outputs), marks };
                (Some((request, Given { outputs, caches })), Ok(end))
            }
            Err(error) => (None, Err(error)),
        };
        self.with(outputs, |state, now| {
            state.runs.remove(&lease);
            if sure {
                state.core.confirmed(lease);
            }
            state.core.run_done(now, lease, result);
        });
    }

    pub(crate) fn load_done(self: &Arc<Self>, session: SessionId, result: Result<LoadReport, LinkError>) {
        self.with(None, |state, now| {
            state.loads.remove(&session);
            state.core.load_done(now, session, result);
        });
    }

    pub(crate) fn unload_done(self: &Arc<Self>, session: SessionId, result: Result<(), LinkError>) {
        self.with(None, |state, now| state.core.unload_done(now, session, result));
    }

    /// How to reach a worker, and the sessions of a model there that can run.
    pub(crate) fn sessions_of(&self, worker: WorkerId, model: ModelHash) -> Option<Reach<L>> {
        let state = self.state.lock();
        let joined = state.joined.get(&worker)?;
        Some((
            Arc::clone(&joined.link),
            Arc::clone(&joined.gone),
            state.core.ready_sessions(worker, model).collect(),
        ))
    }

    /// Makes a canary known, from the caller.
    pub(crate) fn set_canary(&self, model: ModelHash, case: Case) {
        self.canaries.lock().keep(model, Arc::new(case), Origin::Caller, Vec::new());
    }

    pub(crate) fn check_done(self: &Arc<Self>, model: ModelHash, named: &[WorkerId], finding: Finding) {
        self.decide(|core, now| {
            core.check_done(named);
            match finding {
                Finding::Fine(worker) => core.checked(worker, model, CheckOutcome::Right, None),
                Finding::Wrong { worker, session, by, difference } => {
                    core.checked(worker, model, by, difference.off());
                    core.quarantine(now, worker, session);
                }
                Finding::Undecided { worker, difference } => {
                    core.checked(worker, model, CheckOutcome::Undecided, difference.off());
                }
                Finding::Nothing => {}
            }
        });
    }

    /// Whom to ask whether a guest's answer is right.
    pub(crate) fn confirmers(&self, lease: LeaseId) -> Vec<Party<L>> {
        let state = self.state.lock();
        let named = state.core.confirmers(lease);
        named.into_iter().filter_map(|(worker, session)| state.party(worker, session)).collect()
    }

    /// What a comparison of a guest's answer with the owner's workers showed.
    pub(crate) fn compared(self: &Arc<Self>, worker: WorkerId, model: ModelHash, verdict: &Verdict) {
        self.decide(|core, _| match verdict {
            Verdict::Right => core.checked(worker, model, CheckOutcome::Right, None),
            Verdict::Wrong(difference) => {
                core.checked(worker, model, CheckOutcome::WrongBySpotCheck, difference.off());
            }
            Verdict::Unpredictable => {
                core.checked(worker, model, CheckOutcome::Undecided, None);
                core.keep_from_strangers(model);
            }
            Verdict::Nobody => {}
        });
    }

    /// Whether a worker is a guest that is not trusted.
    pub(crate) fn is_stranger(&self, worker: WorkerId) -> bool {
        self.read(|core| core.is_stranger(worker))
    }

    /// How checks are made.
    pub(crate) fn check_config(&self) -> CheckConfig {
        self.canaries.lock().config()
    }

    /// A model that was just loaded does not give the known answer.
    pub(crate) fn wrong_on_load(self: &Arc<Self>, worker: WorkerId, model: ModelHash, off: Option<f64>) {
        self.decide(|core, _| core.checked(worker, model, CheckOutcome::WrongOnLoad, off));
    }

    /// Lets what is due take effect, and answers when the timer has to wake next.
    pub(crate) fn tick(self: &Arc<Self>) -> Option<Instant> {
        self.with(None, |state, now| state.core.tick(now));
        let mut state = self.state.lock();
        state.timer_at = state.core.next_wake();
        state.timer_at
    }
}

impl<L: WorkerLink> Leave for Inner<L> {
    fn leave(self: Arc<Self>, worker: WorkerId, cause: LeaveCause) {
        self.remove(worker, cause);
    }
}

impl<L: WorkerLink> State<L> {
    /// Turns the core's actions into deeds that need the lock no more. The outputs of the run that has just ended go
    /// to its own request, where the core completes it, and to nobody else.
    fn translate(&mut self, mut outputs: Outputs) -> Vec<Deed<L>> {
        let actions = self.core.take_actions();
        let mut deeds = Vec::with_capacity(actions.len());
        for action in actions {
            deeds.extend(self.translate_one(action, &mut outputs));
        }
        deeds
    }

    fn party(&self, worker: WorkerId, session: SessionId) -> Option<Party<L>> {
        let joined = self.joined.get(&worker)?;
        let (link, gone) = (Arc::clone(&joined.link), Arc::clone(&joined.gone));
        Some(Party { worker, session, link, gone })
    }

    fn translate_one(&mut self, action: Action, outputs: &mut Outputs) -> Option<Deed<L>> {
        let deed = match action {
            Action::Emit(event) => Deed::Emit(event),
            Action::Observe(observation) => Deed::Observe(observation),
            Action::Finish { request, result } => {
                let waiter = self.waiters.remove(&request)?;
                let own = outputs.take_if(|(owner, _)| *owner == request).map(|(_, given)| given);
                Deed::Answer(waiter, result, own.unwrap_or_default())
            }
            Action::CancelRun { lease } => Deed::Cancel(self.runs.get(&lease)?.clone()),
            Action::CancelLoad { session } => Deed::Cancel(self.loads.get(&session)?.clone()),
            Action::Forget { worker, cause, held } => Deed::Gone(self.joined.remove(&worker)?, cause, held),
            Action::Unload { worker, session } => {
                let joined = self.joined.get(&worker)?;
                Deed::Unload(Arc::clone(&joined.link), Arc::clone(&joined.gone), session)
            }
            Action::Check { worker, session, request, model, fixed, dims, others, turn } => {
                let waiter = self.waiters.get(&request)?;
                let (_, answered) = outputs.as_ref().filter(|(owner, _)| *owner == request)?;
                let others = others.into_iter().filter_map(|(worker, session)| self.party(worker, session));
                let case = Case {
                    inputs: Arc::clone(&waiter.inputs),
                    dims,
                    names: waiter.outputs.clone(),
                    // The bytes of tensors are shared, not copied.
                    outputs: answered.outputs.clone(),
                };
                let (others, subject) = (others.collect(), self.party(worker, session)?);
                Deed::Check(Box::new(Check { request, model, fixed, subject, others, case, turn }))
            }
            Action::Run { worker, lease, request, session, deadline, scrutiny } => {
                let joined = self.joined.get(&worker)?;
                let waiter = self.waiters.get(&request)?;
                let cancel = CancellationToken::new();
                self.runs.insert(lease, cancel.clone());
                let call = RunCall {
                    request,
                    session,
                    inputs: Arc::clone(&waiter.inputs),
                    outputs: waiter.outputs.clone(),
                    step: waiter.step,
                    deadline: deadline.into(),
                    cancel,
                };
                let doubt = match scrutiny {
                    Scrutiny::None => None,
                    scrutiny => self.core.model_of(session).map(|model| Doubt { worker, model, scrutiny }),
                };
                Deed::Run(Arc::clone(&joined.link), Arc::clone(&joined.gone), lease, call, doubt)
            }
            Action::Load { worker, session, model, backend, device, dims, deadline } => {
                let joined = self.joined.get(&worker)?;
                let cancel = CancellationToken::new();
                self.loads.insert(session, cancel.clone());
                let deadline = deadline.into();
                let call = LoadCall { session, model, backend, device, dims, deadline, cancel };
                let (link, gone) = (Arc::clone(&joined.link), Arc::clone(&joined.gone));
                Deed::Load(Party { worker, session, link, gone }, call)
            }
        };
        Some(deed)
    }
}
