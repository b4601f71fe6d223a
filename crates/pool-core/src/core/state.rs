//! The core's state, and what happens to workers and requests from outside.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use perf_history::{ShapeBucket, UnixMillis};
use recovery::{MemoryReading, PressureLevel};
use telemetry::{Event, LeaveCause, RejectReason};
use vocab::{ModelHash, RequestId, SessionId, WorkerId};

use super::demand::Capable;
use super::guard::Guard;
use super::needs::Needs;
use super::queue::{LaneKey, Queue};
use super::requests::{Entry, Failure, Lease, LeaseState, ModelState};
use super::sessions::{Session, SessionPhase};
use super::timers::{TimerKey, Timers};
use super::workers::{Expected, Offers, Stance, Worker};
use super::{Action, LeaseId, Submission};
use crate::config::MAX_DURATION;
use crate::selection::{Selector, Why};
use crate::{ConfigError, LinkError, Phase, PoolConfig, RunError, WorkerInfo};

/// How many lost workers are expected back at most.
const MOST_EXPECTED: usize = 64;
/// From how many models on those that have nothing here are forgotten.
const MANY_MODELS: usize = 1_024;

/// The decision core. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Core {
    pub(super) config: PoolConfig,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) sessions: HashMap<SessionId, Session>,
    pub(super) requests: HashMap<RequestId, Entry>,
    pub(super) leases: HashMap<LeaseId, Lease>,
    pub(super) models: HashMap<ModelHash, ModelState>,
    pub(super) queue: Queue,
    pub(super) timers: Timers,
    /// Workers that run nothing and load nothing.
    pub(super) idle: BTreeSet<WorkerId>,
    pub(super) offers: Offers,
    pub(super) expected: Vec<Expected>,
    pub(super) actions: Vec<Action>,
    pub(super) closed: bool,
    pub(super) last_finish: Option<Instant>,
    /// The time between two requests' ends, as a moving average, in milliseconds.
    pub(super) finish_gap_ms: Option<f64>,
    pub(super) last_id: u64,
    /// How many different arms the workers have.
    pub(super) distinct_arms: usize,
    /// Whether a guest serves that is trusted.
    pub(super) has_trusted_guests: bool,
    /// How much memory the machine has left, and how scarce that is: what holds for a worker until it is told itself.
    pub(super) machine: (PressureLevel, MemoryReading),
    pub(super) selector: Selector,
    pub(super) guard: Guard,
    /// A point in time as both clocks tell it.
    pub(super) clocks: Option<(Instant, UnixMillis)>,
}

impl Core {
    /// A core without workers.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(config: PoolConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            selector: Selector::new(config.selection.clone())?,
            guard: Guard::new(&config.breakers)?,
            clocks: None,
            machine: (PressureLevel::Normal, MemoryReading::default()),
            distinct_arms: 0,
            has_trusted_guests: false,
            config,
            workers: BTreeMap::new(),
            sessions: HashMap::new(),
            requests: HashMap::new(),
            leases: HashMap::new(),
            models: HashMap::new(),
            queue: Queue::default(),
            timers: Timers::default(),
            idle: BTreeSet::new(),
            offers: Offers::default(),
            expected: Vec::new(),
            actions: Vec::new(),
            closed: false,
            last_finish: None,
            finish_gap_ms: None,
            last_id: 0,
        })
    }

    /// The next id. All kinds of ids count in one sequence, so that none can be mistaken for another in a log.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// What is to be done, in this order. Empties the list.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When [`tick`](Self::tick) has to be called next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A worker joins.
    pub fn join(&mut self, now: Instant, info: WorkerInfo) -> WorkerId {
        self.join_as(now, info, Stance::Serving)
    }

    /// A worker joins, and gets only what its stance allows.
    pub fn join_as(&mut self, now: Instant, info: WorkerInfo, stance: Stance) -> WorkerId {
        let id = WorkerId(self.next_id());
        self.emit(Event::WorkerJoined {
            worker: id,
            browser: info.browser,
            browser_version: info.browser_version.as_str().into(),
            slots: info.slots,
        });
        let same = |expected: &Expected| {
            expected.info.browser == info.browser && expected.info.guest.is_some() == info.guest.is_some()
        };
        if let Some(back) = self.expected.iter().position(same) {
            self.expected.remove(back);
        }
        let mut worker = Worker::new(id, info, stance);
        // A guest is another machine.
        if worker.info.guest.is_none() {
            (worker.memory.level, worker.memory.reading) = self.machine;
        }
        self.workers.insert(id, worker);
        self.idle.insert(id);
        self.count_offers();
        self.pump(now, id);
        id
    }

    /// A worker leaves, or is taken out. What ran there is tried elsewhere. Ignored where it is not in the pool.
    pub fn leave(&mut self, now: Instant, worker: WorkerId, cause: LeaveCause) {
        let detail = format!("it left the pool: {cause}");
        self.lose_worker(now, worker, cause, &LinkError::Vanished { detail });
    }

    pub(super) fn lose_worker(&mut self, now: Instant, id: WorkerId, cause: LeaveCause, error: &LinkError) {
        if !self.workers.contains_key(&id) {
            return;
        }
        // Who waited for a load there is found before anything is taken away, because that changes who may use what.
        let here: Vec<SessionId> = self.workers[&id].all_sessions().collect();
        let mut hit = BTreeMap::new();
        for session in here.iter().filter_map(|session| self.sessions.get(session)) {
            if matches!(session.phase, SessionPhase::Pending | SessionPhase::Loading) {
                for request in self.waiting_on(session, true) {
                    hit.insert(request, (session.backend, true));
                }
            }
        }
        let mut lost: Vec<_> = here
            .iter()
            .filter_map(|session| self.sessions.get(session))
            .filter(|session| session.phase == SessionPhase::Loading)
            .map(|session| self.lost_load(now, session))
            .collect();
        let held = self.held(&here);
        self.breakers_of_lost(now, id, cause);
        let Some(worker) = self.workers.remove(&id) else { return };
        self.idle.remove(&id);
        for lease in &worker.leases {
            let Some(lease_state) = self.leases.remove(lease) else { continue };
            match lease_state.state {
                LeaseState::Running(request) => {
                    lost.push(self.lost_run(now, &lease_state, request));
                    if worker.is_stranger()
                        && let Some(entry) = self.requests.get_mut(&request)
                    {
                        entry.fail_by_stranger();
                    }
                    if let (Some(entry), Some(session)) =
                        (self.requests.get_mut(&request), self.sessions.get(&lease_state.session))
                    {
                        entry.running = None;
                        hit.insert(request, (session.backend, false));
                    }
                }
                LeaseState::Cancelling { until } => self.timers.clear(until, TimerKey::Lease(*lease)),
            }
        }
        for session in here {
            self.forget_session(session);
        }
        for observation in lost {
            self.observe_loss(cause, observation);
        }
        self.forget_breaker(id);
        self.count_offers();
        self.expect_back(now, &worker, cause);
        self.emit(Event::WorkerLeft { worker: id, cause });
        self.actions.push(Action::Forget { worker: id, cause, held });
        let failures = hit.into_iter().map(|(request, (backend, loading))| {
            (request, Failure { worker: id, backend, loading, error: error.clone() })
        });
        self.fail_all(now, failures.collect(), false);
        self.unpin_stranded(now);
        self.sweep_unservable(now);
        // With the worker went what it offered, so other workers may be the best that there is now.
        self.pump_all(now);
    }

    fn expect_back(&mut self, now: Instant, worker: &Worker, cause: LeaveCause) {
        let gone_for_good =
            matches!(cause, LeaveCause::Retired | LeaveCause::Recycled | LeaveCause::Shutdown)
                || self.closed
                || worker.is_stranger()
                || (cause == LeaveCause::Quarantined && worker.info.guest.is_some());
        if gone_for_good || self.config.rejoin_grace.is_zero() || self.expected.len() >= MOST_EXPECTED {
            return;
        }
        let until = now + self.config.rejoin_grace;
        self.expected.push(Expected { info: worker.info.clone(), until });
        self.timers.set(until, TimerKey::Rejoin);
    }

    pub(super) fn count_offers(&mut self) {
        let serving = || {
            let all = self.workers.values().filter(|worker| worker.stance == Stance::Serving);
            all.filter(|worker| !worker.is_stranger())
        };
        self.has_trusted_guests = serving().any(|worker| worker.info.guest.is_some());
        self.offers = Offers::of(serving().map(|worker| &*worker.info));
        let mut arms: Vec<_> = serving().flat_map(Worker::arms).collect();
        arms.sort_unstable();
        arms.dedup();
        self.distinct_arms = arms.len();
    }

    /// A request comes in.
    ///
    /// # Errors
    /// [`RunError::ShuttingDown`], [`RunError::QueueFull`], [`RunError::NoWorker`] or [`RunError::ModelTooLarge`];
    /// nothing was kept then.
    pub fn submit(&mut self, now: Instant, submission: Submission) -> Result<RequestId, RunError> {
        self.admit(now, submission).inspect_err(|error| {
            let reason = match error {
                RunError::QueueFull { .. } => RejectReason::QueueFull,
                RunError::ModelTooLarge { .. } => RejectReason::ModelTooLarge,
                RunError::ShuttingDown => RejectReason::ShuttingDown,
                _ => RejectReason::NoWorker,
            };
            self.actions.push(Action::Emit(Event::RequestRejected { reason }));
        })
    }

    fn admit(&mut self, now: Instant, submission: Submission) -> Result<RequestId, RunError> {
        let Submission { model, dims, constraints, preload, bytes_in, worker, stateful } = submission;
        if self.closed {
            return Err(RunError::ShuttingDown);
        }
        let queued = self.queue.len();
        if queued >= self.config.queue_capacity {
            return Err(RunError::QueueFull {
                capacity: self.config.queue_capacity,
                retry_after: self.retry_after(),
            });
        }
        let mut needs = Needs::new(&constraints, model.hash, preload, stateful);
        needs.only_worker = worker;
        let fallback = constraints.fallback || needs.any_backend();
        let bytes = model.memory_estimate_bytes;
        if fallback {
            self.skip_refused(now, &mut needs, model.hash, bytes);
        }
        if self.capable(&needs, bytes) == Capable::Nobody {
            return Err(self.nobody(&needs, bytes));
        }
        let id = RequestId(self.next_id());
        let timeout = constraints.timeout.unwrap_or(self.config.default_deadline).min(MAX_DURATION);
        let shape = ShapeBucket::of(&dims);
        let lane = LaneKey { priority: constraints.priority, model: model.hash, needs, dims };
        let entry = Entry {
            lane: lane.clone(),
            model,
            fallback,
            accepted: now,
            deadline: now + timeout,
            attempts: 0,
            max_attempts: constraints.attempts.unwrap_or(self.config.max_attempts).max(1),
            last: None,
            running: None,
            dispatched: None,
            place: None,
            load_ms: None,
            bytes_in,
            shape,
            why: Why::Leader,
            exploring: false,
            trial_until: None,
            explain: constraints.explain,
            stateful,
            decision: None,
            by_stranger: false,
        };
        self.timers.set(entry.deadline, TimerKey::Request(id));
        self.know_model(&entry);
        self.requests.insert(id, entry);
        self.emit(Event::RequestAccepted { request: id, model: lane.model, queued: queued as u64 });
        let lane = self.choose_arm(now, id).unwrap_or(lane);
        self.enqueue(id);
        self.place(now, &lane);
        Ok(id)
    }

    fn know_model(&mut self, entry: &Entry) {
        if self.models.len() >= MANY_MODELS && !self.models.contains_key(&entry.model.hash) {
            self.models.retain(|_, model| {
                !model.sessions.is_empty() || model.queued > 0 || model.patience.is_some()
            });
        }
        let weights = &self.config.weights;
        self.models.entry(entry.model.hash).or_insert_with(|| {
            ModelState::new(&entry.model, weights.get(&entry.model.name).copied().unwrap_or(1))
        });
    }

    /// When a refused caller may try again: when about a quarter of the queue has moved on.
    fn retry_after(&self) -> Duration {
        let quarter = self.queue.len().div_ceil(4) as f64;
        let ms = self.finish_gap_ms.map_or(1_000.0, |gap| gap * quarter);
        Duration::from_secs_f64(ms.clamp(10.0, 30_000.0) / 1e3)
    }

    /// The caller of a request went away. Ignored where the request has ended.
    pub fn cancel(&mut self, now: Instant, request: RequestId) {
        self.finish(now, request, Err(RunError::Cancelled));
    }

    /// Refuses requests from now on. Those that were accepted go on, unless no worker that is here can serve them.
    pub fn close(&mut self, now: Instant) {
        self.closed = true;
        self.expected.clear();
        // Nobody is expected any more, so those that wait for somebody to come wait in vain.
        self.sweep_unservable(now);
    }

    /// Closes, and ends every request with [`RunError::ShuttingDown`].
    pub fn abort(&mut self, now: Instant) {
        self.close(now);
        let mut all: Vec<_> = self.requests.keys().copied().collect();
        all.sort_unstable();
        for request in all {
            self.finish(now, request, Err(RunError::ShuttingDown));
        }
        let mut loading: Vec<_> =
            self.sessions.values().filter(|s| s.phase == SessionPhase::Loading).collect();
        loading.sort_unstable_by_key(|session| session.id);
        let loading: Vec<_> = loading.into_iter().map(|session| session.id).collect();
        for session in loading {
            self.cancel_load(now, session);
        }
        self.timers.drop_all(TimerKey::Breaker);
    }

    /// Time has passed: deadlines, timeouts and graces that are due take effect.
    pub fn tick(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                TimerKey::Request(request) => {
                    let Some(entry) = self.requests.get(&request) else { continue };
                    let phase = match entry.running {
                        Some(_) => Phase::Running,
                        None if self.is_loading_for(entry) => Phase::Loading,
                        None if self.is_held_back(entry) => Phase::Memory,
                        None => Phase::Queued,
                    };
                    let error = entry.deadline_exceeded(phase, now);
                    self.finish(now, request, Err(error));
                }
                TimerKey::Trial(request) => self.trial_over(now, request),
                TimerKey::Lease(lease) => {
                    if let Some(lease) = self.leases.get(&lease) {
                        self.condemn(now, lease.worker);
                    }
                }
                TimerKey::Session(session) => self.session_timer(now, session),
                TimerKey::Patience(model) => {
                    if let Some(model) = self.models.get_mut(&model) {
                        model.patience = None;
                    }
                    self.consider(now, model);
                }
                TimerKey::Breaker => self.pump_all(now),
                TimerKey::Rejoin => {
                    self.expected.retain(|expected| expected.until > now);
                    self.sweep_unservable(now);
                }
            }
        }
    }

    /// Takes out a worker that did not do in time what it must.
    pub(super) fn condemn(&mut self, now: Instant, worker: WorkerId) {
        let detail = "it did not answer in time".to_owned();
        self.lose_worker(now, worker, LeaveCause::Unresponsive, &LinkError::Vanished { detail });
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.actions.push(Action::Emit(event));
    }
}
