//! The life of a session: wanted, loaded, gone.

use std::sync::Arc;
use std::time::Instant;

use telemetry::{Event, EvictCause, LeaveCause};
use vocab::{FailureKind, RequestId, SessionId, WorkerId};

use super::observe::ms;
use super::placement::LoadCandidate;
use super::requests::{Failure, average};
use super::retry;
use super::sessions::{Session, SessionPhase};
use super::{Action, Core};
use crate::{LinkError, LoadReport};

impl Core {
    /// Begins a session for the request at the head of a lane, making room for it as was planned.
    /// Answers whether it is there now.
    pub(super) fn start_load(&mut self, now: Instant, head: RequestId, choice: LoadCandidate) -> bool {
        let id = SessionId(self.next_id());
        let (Some(entry), Some(worker)) = (self.requests.get(&head), self.workers.get(&choice.worker)) else {
            return false;
        };
        let drastic = choice.room == super::placement::Room::Drain;
        let room = self.make_room(now, worker, entry.bytes(), entry.lane.priority, drastic);
        let Some((_, victims)) = room else { return false };
        let Some(arm) = worker.arm(choice.backend, entry.needs().device.as_ref()) else { return false };
        let fixed =
            worker.info.backends.iter().any(|info| info.backend == choice.backend && info.static_shapes);
        let session = Session {
            id,
            worker: worker.id,
            model: Arc::clone(&entry.model),
            backend: choice.backend,
            device: entry.needs().device.clone(),
            dims: fixed.then(|| Arc::clone(&entry.lane.dims)),
            phase: SessionPhase::Pending,
            charge: entry.bytes(),
            leases: 0,
            uses: 0,
            last_used: id.0,
            loaded_at: None,
            loaded_after: 0,
            load_ms: 0.0,
            device_requested: None,
            device_effective: None,
            detail: Arc::default(),
            placement: Arc::new([]),
            timer: None,
            arm,
            shape: entry.shape.clone(),
            completed: 0,
            loading: None,
            check_at: None,
            checks: 0,
        };
        let hash = session.model.hash;
        for victim in victims {
            let full = self.sessions.get(&victim).is_some_and(|victim| victim.charge == 0);
            self.evict(now, victim, if full { EvictCause::SessionLimit } else { EvictCause::Memory });
        }
        self.sessions.insert(id, session);
        if let Some(model) = self.models.get_mut(&hash) {
            model.sessions.push(id);
        }
        if let Some(worker) = self.workers.get_mut(&choice.worker) {
            worker.sessions.entry(hash).or_default().push(id);
            worker.loading += 1;
            for lease in &worker.leases {
                if let Some(lease) = self.leases.get_mut(lease) {
                    lease.alone = false;
                }
            }
            self.idle.remove(&choice.worker);
        }
        self.advance_pending(now, choice.worker);
        self.sessions.contains_key(&id)
    }

    /// Starts the loads of a worker for which there is room now, in the order in which they were wanted.
    pub(super) fn advance_pending(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let budget = worker.info.memory_budget_bytes;
        let mut used = self.used_bytes(worker);
        let of_phase = |pending: bool| {
            let all = worker.all_sessions().filter_map(|id| self.sessions.get(&id));
            all.filter(move |session| (session.phase == SessionPhase::Pending) == pending)
                .map(|session| session.id)
        };
        let mut count = of_phase(false).count();
        let mut pending: Vec<SessionId> = of_phase(true).collect();
        pending.sort_unstable();
        for session_id in pending {
            let Some(session) = self.sessions.get(&session_id) else { continue };
            if self.wanted(session).is_none() {
                self.forget_session(session_id);
                continue;
            }
            if used.saturating_add(session.charge) > budget || count + 1 > self.config.sessions_per_worker {
                // Those behind it wait as well, or small models would keep a large one out for ever.
                return;
            }
            used += session.charge;
            count += 1;
            self.call_load(now, session_id);
        }
    }

    fn call_load(&mut self, now: Instant, id: SessionId) {
        let deadline = now + self.config.load_timeout;
        let permits = self.ask_breakers(now, id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(worker) = self.workers.get(&session.worker) else { return };
        session.phase = SessionPhase::Loading;
        session.loading = Some((permits, now));
        let load = Action::Load {
            worker: session.worker,
            session: id,
            model: Arc::clone(&session.model),
            backend: session.backend,
            device: session.device.clone(),
            dims: session.dims.clone().unwrap_or_default(),
            deadline,
        };
        let (model, place) = (session.model.hash, worker.place(session.backend));
        self.set_session_timer(id, Some(deadline));
        self.emit(Event::SessionLoading { session: id, model, place });
        self.actions.push(load);
    }

    /// A load has ended. Ignored where the session is not known any more.
    pub fn load_done(&mut self, now: Instant, id: SessionId, result: Result<LoadReport, LinkError>) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (worker, phase) = (session.worker, session.phase);
        let took_ms = session.loading.map_or(0.0, |(_, began)| ms(began, now));
        let wrong = |error: &LinkError| {
            matches!(error, LinkError::Reported { kind: FailureKind::WrongNumbers, message: _ })
        };
        self.load_ended(now, id, result.as_ref().err());
        match (phase, result) {
            (
                SessionPhase::Loading | SessionPhase::CancellingLoad,
                Err(error @ LinkError::Vanished { .. }),
            ) => {
                self.lose_worker(now, worker, LeaveCause::Vanished, &error);
            }
            (SessionPhase::Loading, Ok(report)) => self.loaded(now, id, took_ms, report),
            (SessionPhase::Loading, Err(error)) if wrong(&error) && self.is_stranger(worker) => {
                self.lose_worker(now, worker, LeaveCause::Quarantined, &error);
            }
            (SessionPhase::Loading, Err(error)) => {
                let waiting = self.load_failed(now, id, &error);
                let out_of_memory =
                    matches!(&error, LinkError::Reported { kind: FailureKind::OutOfMemory, message: _ });
                let freed = out_of_memory && self.evict_idle(now, worker, EvictCause::Memory);
                self.forget_session(id);
                self.fail_all(now, waiting, freed);
                self.advance_pending(now, worker);
                self.pump(now, worker);
            }
            (SessionPhase::CancellingLoad, Ok(_)) => {
                // It was finished in spite of the cancellation, so the page holds it, and nobody counts on it.
                self.load_over(worker);
                self.begin_unload(now, id);
                self.pump(now, worker);
            }
            (SessionPhase::CancellingLoad, Err(_)) => {
                self.forget_session(id);
                self.advance_pending(now, worker);
                self.pump(now, worker);
            }
            _ => {}
        }
    }

    /// Tells the circuit breakers how a load ended. Once for each; what comes later is not news.
    fn load_ended(&mut self, now: Instant, id: SessionId, error: Option<&LinkError>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some((permits, began)) = session.loading.take() else { return };
        self.tell_breakers(now, began, permits, error);
    }

    fn loaded(&mut self, now: Instant, id: SessionId, took_ms: f64, report: LoadReport) {
        let LoadReport { load_ms, memory_bytes, placement, device_requested, device_effective, detail } =
            report;
        let stranger = self.sessions.get(&id).is_some_and(|session| self.is_stranger(session.worker));
        // What a stranger says about time and memory is not used.
        let (load_ms, memory_bytes) = if stranger { (took_ms, None) } else { (load_ms, memory_bytes) };
        let load_ms = if load_ms.is_finite() { load_ms.max(0.0) } else { 0.0 };
        self.set_session_timer(id, None);
        let last_id = self.last_id;
        let check_at = self.first_check(now);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (worker_id, hash) = (session.worker, session.model.hash);
        session.phase = SessionPhase::Ready;
        session.charge = session.charge.max(memory_bytes.unwrap_or(0));
        session.loaded_at = Some(now);
        session.check_at = check_at;
        session.loaded_after = last_id;
        session.load_ms = load_ms;
        session.device_requested = device_requested.or_else(|| session.device.clone());
        session.device_effective = Some(device_effective);
        session.detail = Arc::new(detail);
        session.placement = placement.into();
        let backend = session.backend;
        if let Some(model) = self.models.get_mut(&hash) {
            model.unbar(&session.shape, &session.arm);
        }
        let learned = self.learn_arm(id);
        self.observe_load(now, id);
        if let Some(model) = self.models.get_mut(&hash).filter(|_| !stranger) {
            model.load_ms = average(model.load_ms, load_ms);
        }
        self.load_over(worker_id);
        if let Some(worker) = self.workers.get_mut(&worker_id) {
            worker.avoid.remove(&(hash, backend));
            let place = worker.place(backend);
            self.emit(Event::SessionLoaded { session: id, model: hash, place, load_ms });
        }
        if learned {
            self.unpin_stranded(now);
        }
        self.shed(now, worker_id);
        self.pump(now, worker_id);
        self.spread(now, hash);
    }

    /// Takes note of what a session turned out to compute on. Answers whether that is not what was expected.
    fn learn_arm(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let (Some(worker), Some(effective)) =
            (self.workers.get_mut(&session.worker), &session.device_effective)
        else {
            return false;
        };
        let Some(arm) = worker.learn_arm(session.backend, session.device.as_ref(), effective) else {
            return false;
        };
        let surprising = arm != session.arm;
        session.arm = arm;
        if surprising {
            self.count_offers();
        }
        surprising
    }

    /// Unloads what nobody uses where a page took more memory than was estimated.
    fn shed(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        if let Some((super::placement::Room::Evict, victims)) = self.make_room(now, worker, 0, 0, false)
            && self.used_bytes(worker) > worker.info.memory_budget_bytes
        {
            for victim in victims {
                self.evict(now, victim, EvictCause::Memory);
            }
        }
    }

    /// Lets idle workers load a model too, where that pays by now.
    pub(super) fn spread(&mut self, now: Instant, model: vocab::ModelHash) {
        let waits = self.models.get(&model).is_some_and(|model| model.queued > 0);
        if waits && !self.idle.is_empty() {
            self.consider(now, model);
        }
    }

    /// Notes that a load failed. Answers who was waiting for it, and with what to fail them.
    fn load_failed(&mut self, now: Instant, id: SessionId, error: &LinkError) -> Vec<(RequestId, Failure)> {
        self.observe_failed_load(now, id, error);
        self.bar_refusing(id, error);
        let stranger = self.sessions.get(&id).is_some_and(|session| self.is_stranger(session.worker));
        let Some(session) = self.sessions.get(&id) else { return Vec::new() };
        let (worker_id, backend, hash) = (session.worker, session.backend, session.model.hash);
        let waiting = self.waiting_on(session, false);
        let until = now + self.config.load_backoff;
        if let Some(worker) = self.workers.get_mut(&worker_id) {
            worker.avoid.retain(|_, &mut until| until > now);
            worker.avoid.insert((hash, backend), until);
            let place = worker.place(backend);
            let kind = match error {
                LinkError::Reported { kind, message: _ } => Some(kind.clone()),
                _ => None,
            };
            self.emit(Event::SessionLoadFailed { session: id, model: hash, place, kind });
        }
        if matches!(error, LinkError::Reported { kind: FailureKind::WrongNumbers, message: _ }) {
            self.trip_arm(now, id);
        }
        if retry::refuses_model(error)
            && !stranger
            && let Some(model) = self.models.get_mut(&hash)
        {
            model.refused[backend as usize] = Some(until);
        }
        let failure = Failure { worker: worker_id, backend, loading: true, error: error.clone() };
        waiting.into_iter().map(|request| (request, failure.clone())).collect()
    }

    /// A session's timer has come: its load, the cancellation of it, or its unload took too long.
    pub(super) fn session_timer(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.timer = None;
        let worker = session.worker;
        if session.phase != SessionPhase::Loading {
            self.condemn(now, worker);
            return;
        }
        let error = LinkError::TimedOut { phase: "loading the model", after: self.config.load_timeout };
        self.load_ended(now, id, Some(&error));
        let waiting = self.load_failed(now, id, &error);
        self.cancel_load(now, id);
        self.fail_all(now, waiting, false);
    }

    /// An unload has ended. Ignored where the session is not known any more.
    pub fn unload_done(&mut self, now: Instant, id: SessionId, result: Result<(), LinkError>) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.phase != SessionPhase::Unloading {
            return;
        }
        let worker = session.worker;
        match result {
            Ok(()) | Err(LinkError::Reported { kind: FailureKind::NoSuchSession, message: _ }) => {
                self.forget_session(id);
                self.advance_pending(now, worker);
                self.pump(now, worker);
            }
            Err(error @ LinkError::Vanished { .. }) => {
                self.lose_worker(now, worker, LeaveCause::Vanished, &error);
            }
            Err(error) => {
                // Whether its memory came back is unknown, and a worker of unknown memory cannot be placed upon.
                let detail = error.to_string().chars().take(300).collect::<String>().into();
                self.emit(Event::Orphan { operation: "unload", worker: Some(worker), detail });
                let lost = LinkError::Vanished { detail: format!("it could not unload a session: {error}") };
                self.lose_worker(now, worker, LeaveCause::Unresponsive, &lost);
            }
        }
    }
}
