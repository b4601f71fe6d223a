//! Making room on a worker.

use std::time::Instant;

use recovery::CallOutcome;
use telemetry::{Event, EvictCause};
use vocab::{ModelHash, SessionId, WorkerId};

use super::placement::Room;
use super::sessions::{Session, SessionPhase};
use super::timers::TimerKey;
use super::workers::Worker;
use super::{Action, Core};

/// How many times its own load a session may stay before others that wait can drive it out.
const LOADS_WORTH: f64 = 4.0;

impl Core {
    /// The memory that a worker's sessions take, including those that are on their way out.
    pub(super) fn used_bytes(&self, worker: &Worker) -> u64 {
        worker
            .all_sessions()
            .filter_map(|id| self.sessions.get(&id))
            .filter(|session| session.phase != SessionPhase::Pending)
            .map(|session| session.charge)
            .sum()
    }

    /// What it takes to have room for one more session of `bytes` on a worker, and which sessions would have to go.
    ///
    /// Sessions that nobody waits for go first, the least recently used one before the others. With `drastic` those
    /// that are in use or wanted may have to go as well, except where more urgent requests want them, or where they
    /// have not yet been worth their load: so two models that do not fit at the same time take turns.
    pub(super) fn make_room(
        &self,
        now: Instant,
        worker: &Worker,
        bytes: u64,
        priority: u8,
        drastic: bool,
    ) -> Option<(Room, Vec<SessionId>)> {
        let staying = || {
            let all = worker.all_sessions().filter_map(|id| self.sessions.get(&id));
            all.filter(|session| !session.phase.is_leaving())
        };
        let budget = worker.info.memory_budget_bytes;
        let mut used = bytes;
        let mut count = 1;
        for session in staying() {
            used = used.saturating_add(session.charge);
            count += 1;
        }
        let limit = self.config.sessions_per_worker;
        if used <= budget && count <= limit {
            return Some((Room::Free, Vec::new()));
        }
        let mut victims: Vec<(Room, u64, &Session)> = staying()
            .filter_map(|session| {
                Some((self.price(now, session, priority, drastic)?, session.last_used, session))
            })
            .collect();
        victims.sort_by_key(|&(room, last_used, session)| (room, last_used, session.id));
        let mut needed = Room::Evict;
        let mut chosen = Vec::new();
        for (room, _, session) in victims {
            used -= session.charge;
            count -= 1;
            needed = needed.max(room);
            chosen.push(session.id);
            if used <= budget && count <= limit {
                return Some((needed, chosen));
            }
        }
        None
    }

    /// What it takes to have this session go for a request of this priority; `None` where it may not.
    fn price(&self, now: Instant, session: &Session, priority: u8, drastic: bool) -> Option<Room> {
        let used = match session.phase {
            SessionPhase::Ready => session.leases > 0,
            SessionPhase::Loading => false,
            _ => return None,
        };
        let wanted = self.wanted(session);
        if wanted.is_none() && !used {
            return Some(Room::Evict);
        }
        if !drastic || session.phase != SessionPhase::Ready {
            return None;
        }
        match wanted {
            Some(by) if by > priority => None,
            Some(by) if by == priority && self.is_young(now, session) => None,
            _ => Some(Room::Drain),
        }
    }

    /// Whether the session has not yet been worth its load.
    fn is_young(&self, now: Instant, session: &Session) -> bool {
        let Some(loaded_at) = session.loaded_at else { return true };
        let worth = (session.load_ms * LOADS_WORTH).clamp(0.0, 60_000.0);
        let stay = self.config.patience.as_secs_f64().max(worth / 1e3);
        session.uses == 0 || now.saturating_duration_since(loaded_at).as_secs_f64() < stay
    }

    /// Has a session go: at once, or as soon as the runs that it has are over.
    pub(super) fn evict(&mut self, now: Instant, id: SessionId, cause: EvictCause) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let worker = session.worker;
        match session.phase {
            SessionPhase::Ready if session.leases > 0 => session.phase = SessionPhase::Draining(cause),
            SessionPhase::Ready => self.begin_unload(now, id),
            SessionPhase::Draining(_) if session.leases == 0 => {
                self.begin_unload(now, id);
                return;
            }
            SessionPhase::Loading => self.cancel_load(now, id),
            _ => return,
        }
        self.emit(Event::SessionEvicted { session: id, worker, cause });
    }

    /// The sessions of a model on a worker that can run.
    pub(crate) fn ready_sessions(
        &self,
        worker: WorkerId,
        model: ModelHash,
    ) -> impl Iterator<Item = SessionId> {
        let all = self.models.get(&model).into_iter().flat_map(|state| &state.sessions);
        all.filter(move |id| {
            self.sessions
                .get(id)
                .is_some_and(|session| session.worker == worker && session.phase == SessionPhase::Ready)
        })
        .copied()
    }

    /// Has the sessions of a model on a worker go that no request waits for: at once, or when the runs that they have are
    /// over. Answers whether there was one.
    pub fn unload(&mut self, now: Instant, worker: WorkerId, model: ModelHash) -> bool {
        let ready = self
            .ready_sessions(worker, model)
            .filter(|id| self.sessions.get(id).is_some_and(|session| self.wanted(session).is_none()));
        let ready: Vec<SessionId> = ready.collect();
        for &session in &ready {
            self.evict(now, session, EvictCause::Requested);
        }
        !ready.is_empty()
    }

    /// Has every session of a worker go that nobody uses. Answers whether there was one.
    pub(super) fn evict_idle(&mut self, now: Instant, worker: WorkerId, cause: EvictCause) -> bool {
        let Some(worker) = self.workers.get(&worker) else { return false };
        let idle: Vec<SessionId> = worker
            .all_sessions()
            .filter(|id| {
                self.sessions.get(id).is_some_and(|s| s.phase == SessionPhase::Ready && s.leases == 0)
            })
            .collect();
        for &session in &idle {
            self.evict(now, session, cause);
        }
        !idle.is_empty()
    }

    pub(super) fn begin_unload(&mut self, now: Instant, id: SessionId) {
        let until = now + self.config.unload_timeout;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.phase = SessionPhase::Unloading;
        let worker = session.worker;
        self.set_session_timer(id, Some(until));
        self.actions.push(Action::Unload { worker, session: id });
    }

    pub(super) fn cancel_load(&mut self, now: Instant, id: SessionId) {
        let until = now + self.config.cancel_grace;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.phase = SessionPhase::CancellingLoad;
        if let Some((permits, _)) = session.loading.take() {
            self.record(now, permits, CallOutcome::Abandoned);
        }
        self.set_session_timer(id, Some(until));
        self.actions.push(Action::CancelLoad { session: id });
    }

    pub(super) fn set_session_timer(&mut self, id: SessionId, at: Option<Instant>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if let Some(old) = std::mem::replace(&mut session.timer, at) {
            self.timers.clear(old, TimerKey::Session(id));
        }
        if let Some(at) = at {
            self.timers.set(at, TimerKey::Session(id));
        }
    }

    /// Forgets a session that its worker does not have any more.
    pub(super) fn forget_session(&mut self, id: SessionId) {
        self.set_session_timer(id, None);
        let Some(session) = self.sessions.remove(&id) else { return };
        let hash = session.model.hash;
        if let Some(model) = self.models.get_mut(&hash) {
            model.sessions.retain(|&other| other != id);
        }
        let Some(worker) = self.workers.get_mut(&session.worker) else { return };
        if let Some(of_model) = worker.sessions.get_mut(&hash) {
            of_model.retain(|&other| other != id);
            if of_model.is_empty() {
                worker.sessions.remove(&hash);
            }
        }
        let loading = matches!(
            session.phase,
            SessionPhase::Pending | SessionPhase::Loading | SessionPhase::CancellingLoad
        );
        if loading {
            self.load_over(session.worker);
        }
    }

    /// One load less on a worker.
    pub(super) fn load_over(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.loading = worker.loading.saturating_sub(1);
        if worker.is_idle() {
            self.idle.insert(id);
        }
    }
}
