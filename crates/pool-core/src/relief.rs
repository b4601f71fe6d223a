//! What the owner of workers does where memory is scarce, or a worker is to be replaced.

use std::sync::Arc;

use recovery::{MemoryReading, PressureLevel};
use vocab::{SessionId, WorkerId};

use crate::core::Stance;
use crate::{Held, Membership, Pool, WorkerInfo, WorkerLink};

impl<L: WorkerLink> Pool<L> {
    /// Adds a worker that gets only what names it ([`Preload::worker`](crate::Preload::worker)), until
    /// [`serve`](Self::serve) lets it have the rest.
    pub fn join_warming(&self, info: WorkerInfo, link: Arc<L>) -> Membership {
        self.inner().join(info, link, Stance::Warming)
    }

    /// Gives a worker whatever fits it, from now on.
    pub fn serve(&self, worker: WorkerId) {
        self.inner().decide(|core, now| core.serve(now, worker));
    }

    /// Gives a worker no new work until [`serve`](Self::serve) is called. What runs there ends in its own time, and what it
    /// has loaded stays.
    pub fn rest(&self, worker: WorkerId) {
        self.inner().decide(|core, now| core.drain(now, worker));
    }

    /// Gives a worker no new work, and waits until what runs there has ended or the worker is out of the pool. Requests
    /// that wait go to others; those that only this worker could serve wait for a successor for as long as it is there,
    /// and afterwards as its [`LeaveCause`](crate::LeaveCause) says.
    ///
    /// Cancellation safety: the worker stays without new work until it leaves or [`serve`](Self::serve) is called.
    pub async fn drain_worker(&self, worker: WorkerId) {
        self.inner().decide(|core, now| core.drain(now, worker));
        self.inner().wait_until(|core| core.is_drained(worker)).await;
    }

    /// The models that a worker has loaded and can run, oldest first; empty where it is not in the pool.
    #[must_use]
    pub fn held(&self, worker: WorkerId) -> Vec<Held> {
        self.inner().read(|core| core.held_by(worker))
    }

    /// Drops the session of a worker whose last use is the longest ago, of those that nobody uses or waits for. Answers
    /// which; `None` where there is none.
    pub fn relieve(&self, worker: WorkerId) -> Option<SessionId> {
        self.inner().decide(|core, now| core.relieve(now, worker))
    }

    /// Tells how much memory the machine has left, and how scarce that is. It holds for workers that join, until
    /// [`memory`](Self::memory) is told of them.
    pub fn machine_memory(&self, level: PressureLevel, reading: MemoryReading) {
        self.inner().decide(|core, _| core.machine_memory(level, reading));
    }

    /// Tells how much memory a worker has left, and how scarce that is. It then loads a model only where
    /// [`recovery::may_load`] has no objection. Requests for other models go to other workers, or wait; one whose deadline
    /// passes meanwhile ends with [`Phase::Memory`](crate::Phase::Memory).
    pub fn memory(&self, worker: WorkerId, level: PressureLevel, reading: MemoryReading) {
        self.inner().decide(|core, now| core.memory(now, worker, level, reading));
    }

    /// The workers on which a model that is waited for could be loaded if there were more memory, and by how many bytes
    /// they would grow.
    #[must_use]
    pub fn short_of_memory(&self) -> Vec<(WorkerId, u64)> {
        self.inner().read(crate::core::Core::short_of_memory)
    }
}
