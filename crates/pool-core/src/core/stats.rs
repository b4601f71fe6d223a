//! What the core holds at one moment.

use std::sync::Arc;

use vocab::{Backend, BrowserName, ModelHash, PressureLevel, SessionId, WorkerId};

use super::Core;
use super::requests::LeaseState;
use super::sessions::SessionPhase;
use super::workers::Stance;
use crate::Held;

/// Everything that the core holds, counted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct CoreStats {
    /// The workers, in the order in which they joined.
    pub workers: Vec<WorkerStats>,
    /// Requests that were accepted and have not ended.
    pub requests: usize,
    /// Those of them that wait in the queue.
    pub queued: usize,
    /// Runs whose request still waits for them.
    pub running: usize,
    /// Runs that nobody waits for any more, and that their worker has not confirmed to have stopped.
    pub cancelling: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Whether new requests are refused.
    pub closed: bool,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker.
    pub worker: WorkerId,
    /// Its browser.
    pub browser: BrowserName,
    /// The browser's version.
    pub browser_version: Arc<str>,
    /// How many runs it has.
    pub leases: usize,
    /// How many runs it takes at once.
    pub slots: u32,
    /// What new work it gets.
    pub stance: Stance,
    /// How scarce its memory is, as it was told.
    pub pressure: PressureLevel,
    /// How many runs have ended there.
    pub served: u64,
    /// The memory that its sessions take or will take, in bytes.
    pub memory_bytes: u64,
    /// The memory that they may take, in bytes.
    pub memory_budget_bytes: u64,
    /// What it is a guest as; `None` for a worker of the pool's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestStats>,
    /// Its sessions, oldest first.
    pub sessions: Vec<SessionStats>,
}

/// What is known of a guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct GuestStats {
    /// Its name.
    pub label: Arc<str>,
    /// Whether it is relied on without being checked.
    pub trusted: bool,
    /// How many of its answers the owner's workers have confirmed.
    pub confirmed: u32,
    /// Whether all of its answers are held until they are confirmed.
    pub on_probation: bool,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SessionStats {
    /// The session.
    pub session: SessionId,
    /// Its model.
    pub model: ModelHash,
    /// The model's name.
    pub name: String,
    /// Its backend.
    pub backend: Backend,
    /// What it is doing.
    pub phase: SessionPhase,
    /// How many runs it has.
    pub leases: u32,
    /// How many requests it has been given.
    pub uses: u64,
    /// The memory that counts for it, in bytes.
    pub memory_bytes: u64,
}

impl Core {
    /// What the core holds now. Costs time in proportion to the workers and sessions.
    #[must_use]
    pub fn stats(&self) -> CoreStats {
        let cancelling =
            self.leases.values().filter(|lease| matches!(lease.state, LeaseState::Cancelling { .. })).count();
        CoreStats {
            workers: self.workers.keys().filter_map(|&id| self.worker_stats(id)).collect(),
            requests: self.requests.len(),
            queued: self.queue.len(),
            running: self.leases.len() - cancelling,
            cancelling,
            timers: self.timers.len(),
            closed: self.closed,
        }
    }

    /// What can run, of these sessions, oldest first.
    pub(super) fn held(&self, sessions: &[SessionId]) -> Vec<Held> {
        let all = sessions.iter().filter_map(|session| self.sessions.get(session));
        let mut ready: Vec<_> = all.filter(|session| session.phase == SessionPhase::Ready).collect();
        ready.sort_unstable_by_key(|session| session.id);
        let held = ready.into_iter().map(|session| Held {
            model: Arc::clone(&session.model),
            backend: session.backend,
            device: session.device.clone(),
            arm: Arc::clone(&session.arm),
            dims: session.dims.clone(),
        });
        held.collect()
    }

    fn worker_stats(&self, id: WorkerId) -> Option<WorkerStats> {
        let worker = self.workers.get(&id)?;
        let mut sessions: Vec<SessionStats> = worker
            .all_sessions()
            .filter_map(|id| self.sessions.get(&id))
            .map(|session| SessionStats {
                session: session.id,
                model: session.model.hash,
                name: session.model.name.clone(),
                backend: session.backend,
                phase: session.phase,
                leases: session.leases,
                uses: session.uses,
                memory_bytes: session.charge,
            })
            .collect();
        sessions.sort_by_key(|session| session.session);
        Some(WorkerStats {
            worker: id,
            browser: worker.info.browser,
            browser_version: worker.version.clone(),
            leases: worker.leases.len(),
            slots: worker.info.slots,
            stance: worker.stance,
            pressure: worker.memory.level,
            served: worker.served,
            memory_bytes: sessions.iter().map(|session| session.memory_bytes).sum(),
            memory_budget_bytes: worker.info.memory_budget_bytes,
            guest: worker.info.guest.as_ref().map(|guest| GuestStats {
                label: Arc::clone(&guest.label),
                trusted: guest.trusted,
                confirmed: worker.confirmed,
                on_probation: !guest.trusted && worker.confirmed < guest.confirmation.first,
            }),
            sessions,
        })
    }

    /// The model of a session.
    pub(crate) fn model_of(&self, session: SessionId) -> Option<Arc<crate::Model>> {
        self.sessions.get(&session).map(|session| Arc::clone(&session.model))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &crate::PoolConfig {
        &self.config
    }

    /// How many workers are in the pool.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many requests were accepted and have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.requests.len()
    }

    /// How many slots are taken.
    #[must_use]
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    /// The workers, in the order in which they joined.
    pub fn worker_ids(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.keys().copied()
    }

    /// Whether no request is left, no slot is taken, and no load is under way.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.requests.is_empty()
            && self.leases.is_empty()
            && self.workers.values().all(|worker| worker.loading == 0)
    }

    /// Whether new requests are refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}
