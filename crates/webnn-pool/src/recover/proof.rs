//! When a browser counts as revived.

use std::sync::Arc;

use futures_util::future::try_join_all;
use pool_core::{Constraints, Held, LeaveCause, Membership, Pool, Preload, RunError, WorkerInfo};
use recovery::Rung;
use tokio::time::Instant;
use vocab::{Backend, WorkerId};
use webnn_bridge::{Admission, Page};

use super::error::ReviveError;
use super::patient::Patient;

/// Lets a page join the pool.
pub(super) fn join(pool: &Pool<Page>, page: &Page) -> Membership {
    pool.join(info(page), Arc::new(page.clone()))
}

/// The same for one that is to take over from another, and is not to serve before it has what that one has.
pub(super) fn join_warming(pool: &Pool<Page>, page: &Page) -> Membership {
    pool.join_warming(info(page), Arc::new(page.clone()))
}

fn info(page: &Page) -> WorkerInfo {
    let mut info = page.worker_info();
    // Hardware before software: a software adapter is slower than WASM on the same processor.
    info.backends.sort_by_key(|backend| backend.software);
    info
}

/// Puts a worker out of the pool again unless it has proved itself.
struct OnProbation(Option<Membership>);

impl Drop for OnProbation {
    fn drop(&mut self) {
        // Cancellation safety: whoever drops the proof must not leave a worker there that has not passed it.
        if let Some(membership) = self.0.take() {
            membership.leave(LeaveCause::Unresponsive);
        }
    }
}

impl Patient {
    /// After a ping: the worker was never taken out.
    pub(super) fn still_serves(&self) -> Result<(), ReviveError> {
        let state = self.state.lock();
        match &state.membership {
            Some(membership) if !membership.is_closed() && state.page.end_cause().is_none() => Ok(()),
            _ => Err(ReviveError::LeftPool),
        }
    }

    /// After a reconnection of the same page: the worker was never taken out, the page answers, and its engines have their
    /// own connections again. They are asked nothing, because they may be working on what they were asked before.
    pub(super) async fn goes_on(&self, until: Instant) -> Result<(), ReviveError> {
        self.still_serves()?;
        let page = self.page();
        let left = until.saturating_duration_since(Instant::now());
        page.ping(left).await.map_err(ReviveError::Ping)?;
        page.engines_connected(until).await.map_err(ReviveError::Ping)?;
        self.still_serves()
    }

    /// After everything else: the fresh page has passed its golden probe, has joined the pool, and has loaded again what
    /// had been loaded before.
    pub(super) async fn serves_again(&self, rung: Rung, until: Instant) -> Result<(), ReviveError> {
        let (page, mut lost) = {
            let state = self.state.lock();
            if !state.unproved {
                return Err(ReviveError::NoPage);
            }
            (state.page.clone(), state.lost.clone())
        };
        // The page loads one after the other, so the large ones keep nobody waiting for a small one.
        lost.sort_by_key(|held| held.model.memory_estimate_bytes);
        let admitted = |backend: Backend| {
            let admits = |verdict: &webnn_bridge::Verdict| verdict.verdict != Admission::Rejected;
            page.verdicts().iter().any(|(known, verdict)| *known == backend && admits(verdict))
        };
        if !Backend::ALL.iter().any(|&backend| admitted(backend)) {
            return Err(ReviveError::NoBackend);
        }
        let mut probation = OnProbation(Some(join(&self.shared.pool, &page)));
        let Some(worker) = probation.0.as_ref().map(Membership::worker) else {
            return Err(ReviveError::LeftPool);
        };
        let loads = lost.into_iter().map(|held| {
            // Another browser may not have the backend; the same one must.
            let any = rung == Rung::Switch && !admitted(held.backend);
            load(&self.shared.pool, worker, held, any, until)
        });
        try_join_all(loads).await?;
        let (worker_before, held, since) = {
            let state = self.state.lock();
            (state.worker, state.lost.clone(), state.since)
        };
        if let Some(since) = since {
            self.shared.pool.observe_recovery(worker_before, &held, since.elapsed(), true);
        }
        let mut state = self.state.lock();
        state.unproved = false;
        state.worker = worker;
        state.membership = probation.0.take();
        state.lost.clear();
        Ok(())
    }
}

/// Loads a model that was lost on the worker.
pub(super) async fn load(
    pool: &Pool<Page>,
    worker: WorkerId,
    held: Held,
    any: bool,
    until: Instant,
) -> Result<(), ReviveError> {
    let Held { model, backend, device, dims, .. } = held;
    let name = model.name.clone();
    let mut preload = Preload::new(model);
    preload.worker = Some(worker);
    preload.dims = dims.unwrap_or_default();
    preload.constraints = Constraints {
        backends: if any { Vec::new() } else { vec![backend] },
        device: device.filter(|_| !any),
        timeout: Some(until.saturating_duration_since(Instant::now())),
        ..Constraints::default()
    };
    match pool.preload(preload).await {
        Ok(_) => Ok(()),
        // What the model or its owner did is not to be held against the browser: its file may be gone by now.
        Err(error) if is_not_its_fault(&error) => {
            tracing::warn!(model = name, %error, "a model was not loaded again");
            Ok(())
        }
        Err(source) => Err(ReviveError::Model { model: name, source }),
    }
}

fn is_not_its_fault(error: &RunError) -> bool {
    error.is_callers_fault()
        || matches!(error, RunError::QueueFull { .. } | RunError::ShuttingDown)
        || matches!(error, RunError::Load { kind: vocab::FailureKind::ModelFetch, .. })
}
