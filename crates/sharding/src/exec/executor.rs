//! The executor: a plan, a host and where its parts are.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, join_all};
use parking_lot::Mutex;
use recovery::Backoff;
use tensor::{NamedTensor, Signature};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use vocab::SequenceId;

use super::config::{ExecutorConfig, ExecutorConfigError};
use super::error::RunError;
use super::host::{StageHost, Unload};
use super::metrics::RunMetrics;
use super::placing::Placing;
use super::sequence::Sequence;
use crate::plan::{Plan, Stage};

/// What a run gave: every output of the whole model, in the model's order.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The outputs. In a sequence without the caches, which stay with the stages.
    pub outputs: Vec<NamedTensor>,
    /// What it took.
    pub metrics: RunMetrics,
}

/// What an executor has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutorStats {
    /// Runs and steps that gave an answer.
    pub answers: u64,
    /// Runs and steps that gave an error.
    pub errors: u64,
    /// Attempts of a stage that failed and were followed by another one.
    pub repeats: u64,
    /// Parts that were loaded.
    pub loads: u64,
    /// Stages that moved to another worker.
    pub moves: u64,
    /// Caches that were rebuilt by replaying inputs.
    pub rebuilds: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) answers: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) repeats: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) moves: AtomicU64,
    pub(crate) rebuilds: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How long a call waits for what earlier ones left behind to be dropped; less where one run may take less.
const UNLOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that is being dropped: back among the orphans unless that came to an end.
struct Unloading<'e> {
    placing: &'e Mutex<Placing>,
    orphan: Option<Unload>,
}

impl Unloading<'_> {
    fn finish(mut self) {
        self.orphan = None;
    }
}

impl Drop for Unloading<'_> {
    // Cancellation safety: what was not dropped yet when the caller went away is dropped with the next call.
    fn drop(&mut self) {
        if let Some(orphan) = self.orphan.take() {
            self.placing.lock().orphan_unload(orphan);
        }
    }
}

/// Runs a plan on a host's workers.
///
/// Independent stages run at the same time. What a stage gave is kept until the answer is out, so that a stage that fails
/// runs again alone: on the same worker, then on another one, to which its part is loaded. No task is started: dropping a
/// call's future ends everything that it was doing. What it had loaded, or left on workers, is dropped with the next call
/// or by [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Executor<H> {
    pub(crate) host: H,
    pub(crate) plan: Arc<Plan>,
    pub(crate) stages: Vec<Arc<Stage>>,
    pub(crate) signature: Signature,
    pub(crate) folder: PathBuf,
    pub(crate) config: ExecutorConfig,
    pub(crate) placing: Mutex<Placing>,
    pub(crate) backoff: Mutex<Backoff>,
    /// One permit a stage: whoever has it is the one to find it a new seat.
    pub(crate) gates: Vec<Semaphore>,
    pub(crate) counters: Counters,
    next_sequence: AtomicU64,
}

impl<H: StageHost> Executor<H> {
    /// An executor for the parts of a plan in a folder. Loads nothing yet.
    ///
    /// # Errors
    /// A setting that makes no sense, or a plan that [`Plan::check`] refuses.
    pub fn new(
        plan: Plan,
        folder: impl Into<PathBuf>,
        host: H,
        config: ExecutorConfig,
    ) -> Result<Self, ExecutorConfigError> {
        config.validate()?;
        plan.check().map_err(ExecutorConfigError::Plan)?;
        let signature = Signature {
            inputs: plan.inputs.clone(),
            outputs: plan.outputs.iter().map(|output| output.spec.clone()).collect(),
        };
        Ok(Self {
            stages: plan.stages.iter().cloned().map(Arc::new).collect(),
            gates: plan.stages.iter().map(|_| Semaphore::new(1)).collect(),
            backoff: Mutex::new(Backoff::new(config.backoff, config.seed)),
            plan: Arc::new(plan),
            signature,
            host,
            folder: folder.into(),
            config,
            placing: Mutex::new(Placing::default()),
            counters: Counters::default(),
            next_sequence: AtomicU64::new(0),
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// Loads every part, and its standby where that is asked for, as many at the same time as there are. Not needed
    /// before a run, which loads what is not there.
    ///
    /// # Errors
    /// A part that no worker could load. What was loaded stays.
    pub async fn deploy(&self) -> Result<(), RunError<H::Error>> {
        self.drop_orphans().await;
        // Where stages go depends on where others are, so that seats are taken in turn and filled together.
        let placed = (0..self.stages.len()).map(|stage| self.ensure_seat(stage));
        join_all(placed).await.into_iter().collect()
    }

    /// Runs the whole model once. Caches, if it has some, are inputs and outputs like others.
    ///
    /// # Errors
    /// Inputs that do not fit, or a stage that could not be brought to an end. Never a part of an answer.
    pub async fn run(&self, inputs: Vec<NamedTensor>) -> Result<Answer, RunError<H::Error>> {
        self.run_with(inputs, self.config.tries).await
    }

    /// The same, where a stage is tried that often in all; at least once.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(&self, inputs: Vec<NamedTensor>, tries: u32) -> Result<Answer, RunError<H::Error>> {
        let done = self.beside_drops(self.once(inputs, tries)).await;
        count(if done.is_ok() { &self.counters.answers } else { &self.counters.errors });
        done
    }

    async fn once(&self, inputs: Vec<NamedTensor>, tries: u32) -> Result<Answer, RunError<H::Error>> {
        self.signature.bind(&inputs).map_err(RunError::Inputs)?;
        self.drive(inputs, None, true, tries).await
    }

    /// Begins a sequence of steps whose caches stay with the stages.
    ///
    /// # Errors
    /// The model has no caches.
    pub fn sequence(self: &Arc<Self>) -> Result<Sequence<H>, RunError<H::Error>> {
        if self.plan.states.is_empty() {
            return Err(RunError::NoCaches);
        }
        Ok(Sequence::new(
            Arc::clone(self),
            SequenceId(self.next_sequence.fetch_add(1, Ordering::Relaxed) + 1),
        ))
    }

    /// Drops everything that is loaded. The executor can be used again afterwards.
    pub async fn shutdown(&self) {
        self.placing.lock().clear();
        self.drop_orphans().await;
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ExecutorStats {
        let Counters { answers, errors, repeats, loads, moves, rebuilds } = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ExecutorStats {
            answers: read(answers),
            errors: read(errors),
            repeats: read(repeats),
            loads: read(loads),
            moves: read(moves),
            rebuilds: read(rebuilds),
        }
    }

    /// Does something while what earlier calls left behind is dropped, and does not wait for that.
    pub(crate) async fn beside_drops<T>(&self, work: impl Future<Output = T>) -> T {
        let (drops, work) = (std::pin::pin!(self.drop_orphans()), std::pin::pin!(work));
        match futures_util::future::select(work, drops).await {
            Either::Left((done, _)) => done,
            Either::Right(((), work)) => work.await,
        }
    }

    /// Has the host drop what belongs to nobody any more. What it cannot drop is gone with its worker; what it does not
    /// drop soon holds nobody up.
    pub(crate) async fn drop_orphans(&self) {
        let orphans = self.placing.lock().take_orphans();
        let after = self.config.run_timeout.min(UNLOAD_TIMEOUT);
        let drops = orphans.into_iter().map(|orphan| {
            let unloading = Unloading { placing: &self.placing, orphan: Some(orphan) };
            async move {
                match tokio::time::timeout(after, self.host.unload(orphan)).await {
                    Ok(Ok(())) => unloading.finish(),
                    Ok(Err(error)) => {
                        unloading.finish();
                        tracing::debug!(worker = %orphan.worker, session = %orphan.session, %error, "could not be unloaded");
                    }
                    // The next call tries again.
                    Err(_) => tracing::debug!(worker = %orphan.worker, session = %orphan.session, "takes long to unload"),
                }
            }
        });
        join_all(drops).await;
    }

    pub(crate) fn now() -> Instant {
        Instant::now()
    }
}
