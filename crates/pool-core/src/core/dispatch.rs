//! Bringing requests and sessions together.
//!
//! There are two ways to look for work. [`Core::place`] starts from one lane of the queue and looks at the sessions of
//! its model; it is used when a request comes or comes back. [`Core::pump`] starts from one worker and looks at the
//! lanes in their turn; it is used when a worker has become able to do more. Neither looks at requests behind a lane's
//! head, and neither lets a lane that cannot go stand in the way of another that can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telemetry::{Event, EvictCause};
use vocab::{ModelHash, RequestId, SessionId, WorkerId};

use super::demand::fits;
use super::guard::{Permits, ShutOut};
use super::needs::BackendSet;
use super::outlook::Outlook;
use super::placement::{self, Demand, LoadCandidate, Room, RunCandidate, Verdict};
use super::queue::LaneKey;
use super::requests::{Entry, Lease, LeaseState};
use super::sessions::{Session, SessionPhase};
use super::timers::TimerKey;
use super::workers::Worker;
use super::{Action, Core, LeaseId};

/// How many shapes of one model are looked at for something to load.
const SHAPES: usize = 8;
/// For how many models a worker that has become able to do more is asked whether it should load them. The others have
/// been asked about when their requests came, and are again when their patience ends.
const MODELS: usize = 16;
/// How soon a model that found no room is looked at again, at the earliest.
const SOON: Duration = Duration::from_millis(100);
/// How many runs warm a session up: engines go on compiling during the first ones. Measured in `docs/selection.md`.
const WARM_UP_RUNS: u64 = 3;

/// Whether to load a model for a request.
enum LoadChoice {
    Start(LoadCandidate),
    /// There is no room on the arm that was chosen for the request.
    Unpin,
    /// Not now, but look again after this time.
    Later(Duration),
    No,
}

/// What a load would be for.
struct Wanted<'a> {
    usable: BackendSet,
    /// How many sessions serve the request already, or soon will.
    live: usize,
    /// Whether sessions that are in use may have to go.
    drastic: bool,
    outlook: Option<&'a Outlook>,
    shut: &'a ShutOut,
}

impl Core {
    pub(super) fn enqueue(&mut self, request: RequestId) {
        let Some(entry) = self.requests.get(&request) else { return };
        self.queue.push(&entry.lane, request);
        if let Some(model) = self.models.get_mut(&entry.model.hash) {
            model.queued += 1;
        }
    }

    /// Takes a request out of the queue, where it is in it.
    pub(super) fn dequeue(&mut self, request: RequestId) {
        let Some(entry) = self.requests.get(&request) else { return };
        if self.queue.remove(&entry.lane, request)
            && let Some(model) = self.models.get_mut(&entry.model.hash)
        {
            model.queued -= 1;
        }
    }

    /// Serves a lane as far as that goes now, and starts a load for it where that pays.
    pub(super) fn place(&mut self, now: Instant, lane: &LaneKey) {
        while let Some(head) = self.queue.group(lane).and_then(|group| group.oldest_with(&lane.dims)) {
            let (session, denied) = self.session_for(now, lane, head);
            let Some(session) = session else {
                if denied {
                    // Whoever is waited for may be gone without a word by then.
                    self.be_patient(now, lane.model, self.config.patience.max(SOON));
                }
                match self.load_choice(now, head, None) {
                    LoadChoice::Unpin => {
                        if let Some(lane) = self.unpin(head) {
                            self.place(now, &lane);
                        }
                        continue;
                    }
                    LoadChoice::Start(choice) => {
                        self.start_load(now, head, choice);
                    }
                    LoadChoice::Later(after) => self.be_patient(now, lane.model, after),
                    LoadChoice::No => {}
                }
                return;
            };
            self.dispatch(now, head, session);
        }
    }

    /// A session that can take the lane's head now, and whether there is one that could and should not.
    fn session_for(&self, now: Instant, lane: &LaneKey, head: RequestId) -> (Option<SessionId>, bool) {
        let (Some(entry), Some(state)) = (self.requests.get(&head), self.models.get(&lane.model)) else {
            return (None, false);
        };
        if state.sessions.is_empty() {
            return (None, false);
        }
        let shut = self.shut_out_for(now, entry);
        let outlook = self.outlook(now, entry, &shut);
        let mut denied = false;
        let usable = self.usable(&lane.needs, entry.bytes());
        let candidates = state.sessions.iter().filter_map(|id| {
            let session = self.sessions.get(id)?;
            if session.phase != SessionPhase::Ready || !session.serves(&lane.needs, usable, &lane.dims) {
                return None;
            }
            let worker = self.workers.get(&session.worker)?;
            let takes =
                fits(&lane.needs, worker, entry.bytes()) && (lane.needs.preload || worker.has_free_slot());
            if shut.has(worker, session.backend)
                || !(lane.needs.preload || self.stranger_may(now, worker, session, &lane.dims))
            {
                return None;
            }
            if takes && outlook.as_ref().is_some_and(|outlook| !outlook.allows(&session.arm)) {
                denied = true;
                return None;
            }
            takes.then_some(RunCandidate {
                worker: worker.id,
                session: *id,
                // Of a stranger nothing is known but how long its answers take.
                tier: outlook
                    .as_ref()
                    .filter(|_| !worker.is_stranger())
                    .map_or(0, |outlook| outlook.tier(&session.arm)),
                felt_ms: worker.felt.ms(now),
                pending: worker.leases.len(),
                loading: worker.loading,
            })
        });
        let session = placement::pick_run(candidates, head.0).map(|choice| choice.session);
        (session, denied)
    }

    /// Gives a worker whatever it can do now.
    pub(super) fn pump(&mut self, now: Instant, worker: WorkerId) {
        self.pump_runs(now, worker);
        self.pump_loads(now, worker);
    }

    /// Like [`pump`](Self::pump) when all that changed is that a run has ended: as long as its session has work, and
    /// the worker no room to spare, there is nothing new to be loaded.
    pub(super) fn pump_after_run(&mut self, now: Instant, worker: WorkerId, session: SessionId) {
        self.pump_runs(now, worker);
        let unused = self
            .sessions
            .get(&session)
            .is_none_or(|session| session.leases == 0 && self.wanted(session).is_none());
        if unused || self.workers.get(&worker).is_some_and(Worker::has_free_slot) {
            self.pump_loads(now, worker);
        }
    }

    fn pump_runs(&mut self, now: Instant, worker: WorkerId) {
        while let Some((request, session)) = self.next_run(now, worker) {
            self.dispatch(now, request, session);
        }
    }

    fn pump_loads(&mut self, now: Instant, worker: WorkerId) {
        loop {
            let mut patience = Vec::new();
            let next = self.next_load(now, worker, &mut patience);
            for (model, after) in patience {
                self.be_patient(now, model, after);
            }
            // A load that did not begin would be found again and again.
            if !next.is_some_and(|(request, choice)| self.start_load(now, request, choice)) {
                return;
            }
        }
    }

    /// The request whose turn it is among those that a worker's sessions can run.
    fn next_run(&self, now: Instant, id: WorkerId) -> Option<(RequestId, SessionId)> {
        let worker = self.workers.get(&id)?;
        let has_slot = worker.has_free_slot();
        if !has_slot && !self.queue.has_preloads() {
            return None;
        }
        for (_, level) in self.queue.levels() {
            for (model, flow) in level.in_turn_among(worker.sessions.keys().copied()) {
                let mut first: Option<(RequestId, SessionId)> = None;
                for (needs, group) in flow.groups() {
                    let Some(bytes) = self.bytes_of(group.oldest()) else { continue };
                    if !fits(needs, worker, bytes) || !(needs.preload || has_slot) {
                        continue;
                    }
                    let usable = self.usable(needs, bytes);
                    let shut = self.shut_out(now, needs, model, bytes);
                    for session in worker.sessions_of(model).filter_map(|id| self.sessions.get(&id)) {
                        let ready = session.phase == SessionPhase::Ready && session.suits(needs, usable);
                        if !ready || shut.has(worker, session.backend) {
                            continue;
                        }
                        let head = match &session.dims {
                            Some(dims) => group.oldest_with(dims),
                            None => group.oldest(),
                        };
                        if let Some(head) = head
                            && self.requests.get(&head).is_some_and(|entry| {
                                needs.preload || self.stranger_may(now, worker, session, &entry.lane.dims)
                            })
                            && first.is_none_or(|(first, _)| head < first)
                            && self.may_take(now, session, head, &shut)
                        {
                            first = Some((head, session.id));
                        }
                    }
                }
                if first.is_some() {
                    return first;
                }
            }
        }
        None
    }

    /// Whether a session's arm is good enough for a request.
    fn may_take(&self, now: Instant, session: &Session, request: RequestId, shut: &ShutOut) -> bool {
        let Some(entry) = self.requests.get(&request) else { return false };
        self.outlook(now, entry, shut).is_none_or(|outlook| outlook.allows(&session.arm))
    }

    /// The request whose turn it is among those for which a worker should load a model.
    fn next_load(
        &self,
        now: Instant,
        id: WorkerId,
        patience: &mut Vec<(ModelHash, Duration)>,
    ) -> Option<(RequestId, LoadCandidate)> {
        if self.workers.get(&id)?.loading >= self.config.loads_per_worker {
            return None;
        }
        let flows = self.queue.levels().flat_map(|(_, level)| level.in_turn());
        for (model, flow) in flows.take(MODELS) {
            for (_, group) in flow.groups() {
                for (head, _) in group.heads().take(SHAPES) {
                    match self.load_choice(now, head, Some(id)) {
                        LoadChoice::Start(choice) => return Some((head, choice)),
                        LoadChoice::Later(after) => patience.push((model, after)),
                        LoadChoice::No | LoadChoice::Unpin => {}
                    }
                }
            }
        }
        None
    }

    fn bytes_of(&self, request: Option<RequestId>) -> Option<u64> {
        Some(self.requests.get(&request?)?.bytes())
    }

    /// Whether to load the model of a lane's head, and where: on `only` that worker, or on any.
    fn load_choice(&self, now: Instant, head: RequestId, only: Option<WorkerId>) -> LoadChoice {
        let Some(entry) = self.requests.get(&head) else { return LoadChoice::No };
        let Some(state) = self.models.get(&entry.model.hash) else { return LoadChoice::No };
        let (needs, dims) = (entry.needs(), &entry.lane.dims);
        let usable = self.usable(needs, entry.bytes());
        let shut = self.shut_out_for(now, entry);
        let live = self.live_for(entry.model.hash, needs, usable, dims, &shut);
        if live > 0 && only.map_or(self.idle.is_empty(), |only| !self.idle.contains(&only)) {
            // Only an idle worker loads what another one already has.
            return LoadChoice::No;
        }
        if needs.preload && live > 0 {
            return LoadChoice::No;
        }
        let waited = entry.waited(now);
        let demand = Demand {
            waiting: state.queued,
            live,
            waited,
            run_ms: state.run_ms,
            load_ms: state.load_ms,
            patience: self.config.patience,
        };
        if let Verdict::Wait(left) = placement::another_load_pays(&demand) {
            return LoadChoice::Later(left);
        }
        // What was only the pool's own choice drives nobody out.
        let drastic = live == 0 && waited >= self.config.patience && !entry.is_trial();
        let outlook = self.outlook(now, entry, &shut);
        let wanted = Wanted { usable, live, drastic, outlook: outlook.as_ref(), shut: &shut };
        let candidate = |worker: &Worker| self.load_candidate(now, worker, entry, &wanted);
        let choice = match only {
            Some(only) => self.workers.get(&only).and_then(candidate),
            None if live > 0 => {
                let idle = self.idle.iter().filter_map(|id| self.workers.get(id));
                placement::pick_load(idle.filter_map(candidate))
            }
            None => placement::pick_load(self.workers.values().filter_map(candidate)),
        };
        match choice {
            Some(choice) => LoadChoice::Start(choice),
            None if live == 0 && entry.is_trial() && only.is_none() => LoadChoice::Unpin,
            None if live == 0 => {
                let left = self.config.patience.saturating_sub(waited);
                LoadChoice::Later(if left.is_zero() { self.config.patience.max(SOON) } else { left })
            }
            None => LoadChoice::No,
        }
    }

    fn load_candidate(
        &self,
        now: Instant,
        worker: &Worker,
        entry: &Entry,
        wanted: &Wanted<'_>,
    ) -> Option<LoadCandidate> {
        let &Wanted { usable, live, drastic, outlook, shut } = wanted;
        let (needs, model) = (entry.needs(), &entry.model);
        if worker.loading >= self.config.loads_per_worker || !fits(needs, worker, entry.bytes()) {
            return None;
        }
        if !worker.is_relied_on(needs) && !self.is_confirmable(model.hash, None, &entry.lane.dims) {
            return None;
        }
        let there = worker.sessions_of(model.hash).filter_map(|id| self.sessions.get(&id));
        if there.into_iter().any(|s| s.phase.is_live() && s.serves(needs, usable, &entry.lane.dims)) {
            return None;
        }
        let avoided = |backend| worker.avoids(model.hash, backend, now);
        let device = needs.device.as_ref();
        let passing = self.is_passing(entry);
        // A session for sizes that will hardly come again is worth less than any that takes all sizes.
        let wasted = |backend| {
            let mut infos = worker.info.backends.iter().filter(|info| info.backend == backend);
            passing && infos.any(|info| info.static_shapes)
        };
        let tier = |backend| {
            let arm = outlook.and_then(|outlook| Some((outlook, worker.arm(backend, device)?)));
            arm.map_or(0, |(outlook, arm)| {
                outlook.tier(&arm) + if wasted(backend) { outlook.len() } else { 0 }
            })
        };
        let allowed = |backend| {
            live == 0
                || outlook
                    .and_then(|outlook| Some(outlook.allows(&worker.arm(backend, device)?)))
                    .unwrap_or(true)
        };
        let (room, victims) = self.make_room(now, worker, entry.bytes(), entry.lane.priority, drastic)?;
        let backends = worker.info.backends.iter().map(|info| info.backend);
        // The first of equals is that which the worker itself would use first.
        let backend = backends
            .filter(|&backend| usable.has(backend) && !shut.has(worker, backend) && allowed(backend))
            .filter(|&backend| self.load_refused(worker, backend, entry, &victims).is_none())
            .min_by_key(|&backend| (avoided(backend), tier(backend)))?;
        let avoided = avoided(backend);
        if avoided && live > 0 {
            return None;
        }
        // Draining others to have a second copy would never pay, and for the only copy it is the last resort.
        (room != Room::Drain || live == 0).then_some(LoadCandidate {
            worker: worker.id,
            backend,
            tier: tier(backend),
            room,
            avoided,
            pending: worker.leases.len(),
            loading: worker.loading,
            free_bytes: worker.info.memory_budget_bytes.saturating_sub(self.used_bytes(worker)),
        })
    }

    /// Looks at all lanes of a model again.
    pub(super) fn consider(&mut self, now: Instant, model: ModelHash) {
        let mut lanes: Vec<LaneKey> = Vec::new();
        for (priority, flow) in self.queue.flows(model) {
            for (needs, group) in flow.groups() {
                for (_, dims) in group.heads().take(SHAPES) {
                    lanes.push(LaneKey { priority, model, needs: needs.clone(), dims: Arc::clone(dims) });
                }
            }
        }
        for lane in lanes {
            self.place(now, &lane);
        }
    }

    /// Has the model looked at again after some time, unless that will happen earlier anyway.
    fn be_patient(&mut self, now: Instant, model: ModelHash, after: Duration) {
        let Some(state) = self.models.get_mut(&model) else { return };
        let at = now + after;
        match state.patience {
            Some(earlier) if earlier <= at => return,
            Some(later) => self.timers.clear(later, TimerKey::Patience(model)),
            None => {}
        }
        state.patience = Some(at);
        self.timers.set(at, TimerKey::Patience(model));
    }

    /// Gives a queued request to a session that is ready for it.
    fn dispatch(&mut self, now: Instant, request: RequestId, session_id: SessionId) {
        let lease = LeaseId(self.next_id());
        let clock = lease.0;
        self.end_trial(request);
        let explained = self.requests.get(&request).filter(|entry| entry.explain).and_then(|entry| {
            let session = self.sessions.get(&session_id)?;
            Some(Arc::new(self.explain(now, entry, &session.arm, session.worker)))
        });
        let preload = self.requests.get(&request).is_some_and(|entry| entry.lane.needs.preload);
        let permits = if preload { Permits::default() } else { self.ask_breakers(now, session_id) };
        let (Some(entry), Some(session)) =
            (self.requests.get_mut(&request), self.sessions.get_mut(&session_id))
        else {
            return;
        };
        let Some(worker) = self.workers.get_mut(&session.worker) else { return };
        if let Some(model) = self.models.get_mut(&entry.model.hash) {
            let cost = if entry.lane.needs.preload { 0 } else { model.cost() };
            if self.queue.serve(&entry.lane, request, cost) {
                model.queued -= 1;
            }
        }
        entry.attempts += 1;
        entry.dispatched = Some(now);
        entry.decision = explained;
        entry.load_ms = (request.0 <= session.loaded_after).then_some(session.load_ms);
        let place = worker.place(session.backend);
        entry.place = Some(place);
        session.uses += 1;
        session.last_used = clock;
        if entry.lane.needs.preload {
            let report = Self::report(now, request, entry, session, worker, 0.0);
            self.finish(now, request, Ok(report));
            return;
        }
        session.leases += 1;
        let alone = worker.is_idle() && worker.checks == 0;
        for other in &worker.leases {
            if let Some(other) = self.leases.get_mut(other) {
                other.alone = false;
            }
        }
        worker.leases.push(lease);
        self.idle.remove(&worker.id);
        entry.running = Some(lease);
        let scrutiny = worker.scrutiny(lease.0);
        let run = Action::Run {
            worker: worker.id,
            lease,
            request,
            session: session_id,
            deadline: entry.deadline,
            scrutiny,
        };
        let attempt = entry.attempts;
        let state = LeaseState::Running(request);
        let settled =
            worker.is_stranger() || self.selector.note_run(&entry.context(), &session.arm, entry.exploring);
        let warm = session.completed >= WARM_UP_RUNS && settled;
        let run_lease = Lease {
            worker: worker.id,
            session: session_id,
            state,
            began: now,
            warm,
            alone,
            permits,
            overdue: false,
        };
        self.leases.insert(lease, run_lease);
        self.emit(Event::RequestDispatched { request, place, attempt });
        self.actions.push(run);
    }

    /// Ends the use of a session that is to go once nobody uses it.
    pub(super) fn release_session(&mut self, now: Instant, id: SessionId, broken: Option<EvictCause>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.leases = session.leases.saturating_sub(1);
        let idle = session.leases == 0;
        if let Some(cause) = broken {
            self.evict(now, id, cause);
        } else if idle && matches!(session.phase, SessionPhase::Draining(_)) {
            self.begin_unload(now, id);
        }
    }
}
