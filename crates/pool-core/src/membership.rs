//! A worker's place in the pool, from its owner's side.

use std::sync::{Arc, OnceLock, Weak};

use telemetry::LeaveCause;
use tokio_util::sync::CancellationToken;
use vocab::WorkerId;

use crate::Held;
use crate::pool::SILENT;

/// How a membership reaches its pool, whatever the pool's links are.
pub(crate) trait Leave: Send + Sync {
    fn leave(self: Arc<Self>, worker: WorkerId, cause: LeaveCause);
}

/// Tells everybody concerned that a worker is out of the pool, and why.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub(crate) token: CancellationToken,
    end: OnceLock<(LeaveCause, Vec<Held>)>,
}

impl Gone {
    pub(crate) fn set(&self, cause: LeaveCause, held: Vec<Held>) {
        // The first cause is the true one; the token is cancelled after it, so that whoever wakes finds it.
        self.end.get_or_init(|| (cause, held));
        self.token.cancel();
    }
}

/// A worker's place in the pool. Dropping it takes the worker out, as [`LeaveCause::Dropped`].
#[must_use = "dropping a membership takes the worker out of the pool"]
pub struct Membership {
    pub(crate) worker: WorkerId,
    pub(crate) gone: Arc<Gone>,
    pub(crate) pool: Weak<dyn Leave>,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership")
            .field("worker", &self.worker)
            .field("gone", &self.gone)
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// The worker's id within the pool.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Takes the worker out. What ran there is tried on other workers; calls to the link are dropped.
    pub fn leave(self, cause: LeaveCause) {
        self.put_out(cause);
    }

    /// The same, and once it is [`closed`](Self::closed) it can be asked what the worker [`held`](Self::held).
    pub fn put_out(&self, cause: LeaveCause) {
        self.tell(cause);
    }

    /// Waits until the worker is out of the pool, whoever took it out, and answers why. A worker that the pool took
    /// out as unresponsive or vanished has to be put right, and may then join again.
    pub async fn closed(&self) -> LeaveCause {
        self.out().await
    }

    /// The same, without holding on to the membership.
    pub fn out(&self) -> impl Future<Output = LeaveCause> + Send + use<> {
        let gone = Arc::clone(&self.gone);
        async move {
            gone.token.cancelled().await;
            gone.end.get().map_or(SILENT, |(cause, _)| *cause)
        }
    }

    /// The models that the worker had loaded when it left the pool, oldest first; empty as long as it is there. Whoever
    /// revives the worker loads them again.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.gone.end.get().map_or_else(Vec::new, |(_, held)| held.clone())
    }

    /// Whether the worker is out of the pool.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gone.token.is_cancelled()
    }

    fn tell(&self, cause: LeaveCause) {
        match self.pool.upgrade() {
            // The pool says so, with what was held: by now, or, where it is just finding the worker gone by itself, in a
            // moment.
            Some(pool) => pool.leave(self.worker, cause),
            None => self.gone.set(cause, Vec::new()),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.is_closed() {
            self.tell(SILENT);
        }
    }
}
