//! Doing with less: loads that memory has no room for, idle sessions that are given up, and workers that are emptied.

use std::time::Instant;

use recovery::{LoadRefusal, MemoryReading, PressureLevel, may_load};
use telemetry::EvictCause;
use vocab::{Backend, SessionId, WorkerId};

use super::Core;
use super::demand::counts;
use super::guard::ShutOut;
use super::requests::Entry;
use super::sessions::{Session, SessionPhase};
use super::workers::{Stance, Worker};
use crate::Held;

/// How many heads of lanes are looked at for one that waits for memory.
const HEADS: usize = 64;

impl Core {
    /// Takes note of how much memory the machine has left, and how scarce that is. It holds for workers that join, until
    /// [`memory`](Self::memory) is told of them.
    pub fn machine_memory(&mut self, level: PressureLevel, reading: MemoryReading) {
        self.machine = (level, reading);
    }

    /// Takes note of how much memory a worker has left, and how scarce that is. It loads a model only where
    /// [`recovery::may_load`] has no objection to what the model would make its heap grow by.
    pub fn memory(&mut self, now: Instant, id: WorkerId, level: PressureLevel, reading: MemoryReading) {
        let settled: Vec<(Backend, u64)> =
            Backend::ALL.iter().map(|&backend| (backend, self.settled_bytes(id, backend))).collect();
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let before = std::mem::replace(&mut worker.memory.level, level);
        let roomier = before > level || worker.memory.reading.headroom() < reading.headroom();
        worker.memory.reading = reading;
        for (backend, bytes) in settled {
            let peak = &mut worker.memory.peak[backend as usize];
            *peak = (*peak).max(bytes);
        }
        if roomier {
            self.pump(now, id);
        }
    }

    /// Drops the least valuable session of a worker that nobody uses or waits for: the one whose last use is the longest
    /// ago. Answers which; `None` where there is none.
    pub fn relieve(&mut self, now: Instant, worker: WorkerId) -> Option<SessionId> {
        let victim = self
            .workers
            .get(&worker)?
            .all_sessions()
            .filter_map(|id| self.sessions.get(&id))
            .filter(|session| {
                session.phase == SessionPhase::Ready && session.leases == 0 && self.wanted(session).is_none()
            })
            .min_by_key(|session| (session.last_used, session.id))?
            .id;
        self.evict(now, victim, EvictCause::Pressure);
        Some(victim)
    }

    /// Gives a worker no new work. What waits goes to others, or waits on for its successor; what runs there ends in its
    /// own time, and loads are given up. Ignored where it is not in the pool.
    pub fn drain(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if std::mem::replace(&mut worker.stance, Stance::Draining) == Stance::Draining {
            return;
        }
        let sessions: Vec<SessionId> = worker.all_sessions().collect();
        self.count_offers();
        let mut models = Vec::new();
        for id in sessions {
            let Some(session) = self.sessions.get(&id) else { continue };
            models.push(session.model.hash);
            match session.phase {
                SessionPhase::Pending => self.forget_session(id),
                SessionPhase::Loading => self.cancel_load(now, id),
                _ => {}
            }
        }
        self.unpin_stranded(now);
        self.sweep_unservable(now);
        models.sort_unstable();
        models.dedup();
        for model in models {
            self.consider(now, model);
        }
    }

    /// Gives a worker whatever fits it.
    pub fn serve(&mut self, now: Instant, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.stance = Stance::Serving;
        self.count_offers();
        self.pump(now, id);
    }

    /// The models that a worker has loaded and can run, oldest first.
    #[must_use]
    pub fn held_by(&self, worker: WorkerId) -> Vec<Held> {
        let sessions: Vec<SessionId> =
            self.workers.get(&worker).map_or_else(Vec::new, |worker| worker.all_sessions().collect());
        self.held(&sessions)
    }

    /// Whether a worker that is being drained runs and loads nothing any more, or is not in the pool.
    #[must_use]
    pub fn is_drained(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_none_or(|worker| worker.stance == Stance::Draining && worker.is_idle())
    }

    /// How many workers have been drained.
    #[must_use]
    pub fn drained(&self) -> usize {
        self.workers.values().filter(|worker| worker.stance == Stance::Draining && worker.is_idle()).count()
    }

    /// The workers on which a model that is waited for could be loaded if there were more memory, and by how many bytes
    /// its load would make them grow. Looks at a bounded part of the queue.
    #[must_use]
    pub fn short_of_memory(&self) -> Vec<(WorkerId, u64)> {
        let mut short: Vec<(WorkerId, u64)> = Vec::new();
        let flows = self.queue.levels().flat_map(|(_, level)| level.in_turn());
        let groups = flows.flat_map(|(_, flow)| flow.groups());
        let heads = groups.flat_map(|(_, group)| group.heads().take(1));
        for entry in heads.take(HEADS).filter_map(|(head, _)| self.requests.get(&head)) {
            for (worker, needs) in self.refusals(entry) {
                match short.iter_mut().find(|(known, _)| *known == worker) {
                    Some((_, most)) => *most = needs.max(*most),
                    None => short.push((worker, needs)),
                }
            }
        }
        short
    }

    /// Whether memory is what a request waits for.
    pub(super) fn is_held_back(&self, entry: &Entry) -> bool {
        !self.refusals(entry).is_empty()
    }

    /// The workers that would load the request's model if there were more memory, where nobody has it or loads it.
    fn refusals(&self, entry: &Entry) -> Vec<(WorkerId, u64)> {
        let (needs, bytes) = (entry.needs(), entry.bytes());
        let usable = self.usable(needs, bytes);
        if self.live_for(entry.model.hash, needs, usable, &entry.lane.dims, &ShutOut::default()) > 0 {
            return Vec::new();
        }
        let fitting = self.workers.values().filter(|worker| counts(needs, worker, bytes));
        let refused = fitting.filter_map(|worker| {
            let backends = worker.info.backends.iter().map(|info| info.backend);
            let mut least: Option<u64> = None;
            for backend in backends.filter(|&backend| usable.has(backend)) {
                // Where one of them has room, it is not memory that is waited for.
                self.load_refused(worker, backend, entry, &[])?;
                let growth = self.growth(worker, backend, bytes, &[]);
                least = Some(least.map_or(growth, |least| least.min(growth)));
            }
            Some((worker.id, least?))
        });
        refused.collect()
    }

    /// Why a worker should not load a request's model now. Whoever names the worker has looked himself.
    pub(super) fn load_refused(
        &self,
        worker: &Worker,
        backend: Backend,
        entry: &Entry,
        victims: &[SessionId],
    ) -> Option<LoadRefusal> {
        if entry.needs().only_worker.is_some() {
            return None;
        }
        let growth = self.growth(worker, backend, entry.bytes(), victims);
        may_load(worker.memory.level, &worker.memory.reading, growth).err()
    }

    /// By how much a worker's memory is expected to grow beyond what was read of it: all that its sessions will take with
    /// one more of `bytes`, without those that go, beyond what sessions on the same backend took before.
    fn growth(&self, worker: &Worker, backend: Backend, bytes: u64, victims: &[SessionId]) -> u64 {
        let staying = worker.all_sessions().filter(|id| !victims.contains(id));
        let sessions = staying.filter_map(|id| self.sessions.get(&id));
        let taken: u64 =
            sessions.filter(|session| session.backend == backend).map(|session| session.charge).sum();
        taken.saturating_add(bytes).saturating_sub(worker.memory.peak[backend as usize])
    }

    /// What the sessions of a backend take that a reading of memory has seen.
    fn settled_bytes(&self, worker: WorkerId, backend: Backend) -> u64 {
        let Some(worker) = self.workers.get(&worker) else { return 0 };
        let seen = |session: &&Session| {
            session.backend == backend
                && matches!(
                    session.phase,
                    SessionPhase::Ready | SessionPhase::Draining(_) | SessionPhase::Unloading
                )
        };
        worker
            .all_sessions()
            .filter_map(|id| self.sessions.get(&id))
            .filter(seen)
            .map(|session| session.charge)
            .sum()
    }
}
