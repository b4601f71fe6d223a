//! The host: workers are names, and sessions are models in tract.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sharding::{HostError, LoadCall, RunCall, RunReply, Stage, StageHost, Unload, WorkerHealth};
use tokio::time::Instant;
use vocab::{SessionId, WorkerId};

use crate::failure::Failure;
use crate::model::TractModel;

/// Workers in this process. A real host would have a connection to each.
pub(crate) struct TractHost {
    workers: u64,
    sessions: Mutex<HashMap<SessionId, Arc<TractModel>>>,
}

impl TractHost {
    pub(crate) fn new(workers: u64) -> Self {
        Self { workers, sessions: Mutex::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<TractModel>>> {
        // Each change of the map is a single call, so that a panic leaves none half done.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StageHost for TractHost {
    type Error = Failure;

    async fn load(&self, call: LoadCall) -> Result<(), HostError<Failure>> {
        let LoadCall { session, worker: _, stage, file } = call;
        let outputs = stage.outputs.iter().map(|spec| spec.name.clone()).collect();
        let model = aside(move || TractModel::open(&file, outputs)).await?;
        self.sessions().insert(session, Arc::new(model));
        Ok(())
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, HostError<Failure>> {
        let RunCall { session, worker: _, stage: _, inputs, outputs: wanted, step } = call;
        if step.is_some() {
            return Err(HostError::Refused(Failure::NoSequences));
        }
        let model = self.sessions().get(&session).cloned();
        let model = model.ok_or(HostError::Gone(Failure::NoSession(session)))?;
        let began = Instant::now();
        let mut outputs = aside(move || model.run(&inputs)).await?;
        outputs.retain(|output| wanted.contains(&output.name));
        Ok(RunReply { outputs, compute_ms: began.elapsed().as_secs_f64() * 1e3, caches: None })
    }

    async fn unload(&self, what: Unload) -> Result<(), HostError<Failure>> {
        // No sequence has caches here, so that there is nothing to drop of one.
        if what.sequence.is_none() {
            self.sessions().remove(&what.session);
        }
        Ok(())
    }

    async fn health(&self, _stage: &Stage) -> Vec<WorkerHealth> {
        let healthy =
            |worker| WorkerHealth { worker: WorkerId(worker), alive: true, free_bytes: None, rank: 0 };
        (1..=self.workers).map(healthy).collect()
    }
}

/// Does what takes long on a thread of its own, so that stages that do not depend on each other compute together.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, HostError<Failure>> {
    // Cancellation safety: tract cannot be stopped in the middle, but what it then gives is thrown away with the handle.
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(HostError::Failed),
        Err(error) => Err(HostError::Failed(Failure::Thread(error))),
    }
}
