//! Dynamic batching: requests of one model that are computed as one.
//!
//! What goes together and when is decided in [`forming`]; this is the shell around it, with its task.

mod estimate;
mod forming;
mod join;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use pool_core::{Completed, Constraints, Model, Phase, Request, RunError, RunReport};
use tensor::NamedTensor;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use forming::{Batch, Forming, Waiting};
use join::{Joined, Layout, Likeness};

pub use settings::{Batching, BatchingError};

/// Why a request got nothing out of a batch.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BatchError {
    /// The pool's own error.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The tensors of several requests could not be told apart, which their model's description excludes.
    #[error("the tensors of a batch could not be told apart: {0}")]
    Mixed(String),
}

/// What a request got out of a batch.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its own outputs.
    pub(crate) outputs: Vec<NamedTensor>,
    /// How the batch was computed.
    pub(crate) report: RunReport,
    /// When the pool was asked.
    pub(crate) asked: Instant,
    /// The batch that it was part of; `None` where it went alone and unchanged.
    pub(crate) batch: Option<BatchReport>,
}

/// What a batch was.
#[derive(Debug, Clone)]
pub(crate) struct BatchReport {
    /// Its requests.
    pub(crate) requests: usize,
    /// Their rows.
    pub(crate) rows: u64,
    /// Rows that were computed beside them, to fill it up.
    pub(crate) filled: u64,
    /// Whether this is the request that stands for the batch where executions are counted.
    pub(crate) speaks: bool,
    /// How long this request waited for it, in milliseconds.
    pub(crate) waited_ms: f64,
    /// The sizes to which symbolic dimensions were lengthened.
    pub(crate) padded: BTreeMap<Arc<str>, u64>,
}

/// What requests must agree in to be computed as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    likeness: Likeness,
    outputs: Option<Arc<[Arc<str>]>>,
    /// Constraints other than the deadline, as text: they have no order of their own.
    constraints: String,
}

#[derive(Debug)]
struct Item {
    inputs: Arc<[NamedTensor]>,
    constraints: Constraints,
    /// Whether its batch has gone, for whoever has to say where it was.
    gone: Arc<AtomicBool>,
    answer: oneshot::Sender<Result<Part, BatchError>>,
}

/// Forms the batches of one model.
pub(crate) struct Batcher {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    engine: Arc<dyn Engine>,
    model: Arc<Model>,
    layout: Layout,
    settings: Batching,
    forming: Mutex<Forming<Key, Item>>,
    changed: Notify,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        // What still waits goes at once; its callers hold the model, so there is none when the last of them is gone.
        self.stop.cancel();
    }
}

impl Batcher {
    /// Forms batches of a model, with a task of `tasks`.
    ///
    /// # Errors
    /// Why its requests cannot be computed together.
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        model: Arc<Model>,
        settings: Batching,
        tasks: &TaskTracker,
    ) -> Result<Self, String> {
        let layout = Layout::of(&model.signature, &settings.pad)?;
        let forming = Mutex::new(Forming::new(settings.clone()));
        let changed = Notify::new();
        let shared =
            Arc::new(Shared { engine, model, layout, settings, forming, changed, tasks: tasks.clone() });
        let stop = CancellationToken::new();
        tasks.spawn(Shared::drive(Arc::clone(&shared), stop.clone()));
        Ok(Self { shared, stop })
    }

    /// Computes a request, with others where that is worth it. Its inputs fit the model.
    ///
    /// Cancellation safety: dropping the future takes the request out; a batch of which nobody is left is cancelled.
    pub(crate) async fn run(
        &self,
        inputs: Arc<[NamedTensor]>,
        outputs: Option<Arc<[Arc<str>]>>,
        constraints: Constraints,
        deadline: Instant,
    ) -> Result<Part, BatchError> {
        let shared = &self.shared;
        let likeness = shared.layout.likeness(&inputs);
        let Some((likeness, rows)) =
            likeness.filter(|(_, rows)| *rows < u64::from(shared.settings.max_batch))
        else {
            return shared.alone(inputs, outputs, constraints, deadline).await;
        };
        let rest = Constraints { timeout: None, ..constraints.clone() };
        let key = Key { likeness, outputs, constraints: format!("{rest:?}") };
        let (answer, result) = oneshot::channel();
        let since = Instant::now();
        let gone = Arc::new(AtomicBool::new(false));
        {
            let mut forming = shared.forming.lock();
            if forming.waiting() >= shared.settings.queue {
                let capacity = shared.settings.queue;
                return Err(RunError::QueueFull { capacity, retry_after: shared.settings.max_delay }.into());
            }
            forming.add(
                key,
                Waiting {
                    rows,
                    since,
                    deadline,
                    item: Item { inputs, constraints, gone: Arc::clone(&gone), answer },
                },
            );
        }
        shared.changed.notify_one();
        let late = || RunError::DeadlineExceeded {
            phase: if gone.load(Relaxed) { Phase::Running } else { Phase::Queued },
            waited: since.elapsed(),
            last_cause: None,
        };
        match tokio::time::timeout_at(deadline, result).await {
            Ok(Ok(part)) => part,
            Ok(Err(_)) => Err(RunError::ShuttingDown.into()),
            Err(_) => Err(late().into()),
        }
    }
}

impl Shared {
    /// Batches that may be on their way.
    fn room(&self) -> usize {
        self.engine.workers().max(1) * self.settings.in_flight as usize
    }

    async fn drive(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let now = Instant::now();
            let room = self.room();
            let (over, due, wake) = {
                let mut forming = self.forming.lock();
                let over = forming.expired(now, |item| item.answer.is_closed());
                let due = forming.due(now, room);
                (over, due, forming.wake(room))
            };
            for waiting in over {
                let waited = now.saturating_duration_since(waiting.since);
                let late = RunError::DeadlineExceeded { phase: Phase::Queued, waited, last_cause: None };
                // Whoever asked may have gone.
                let _ = waiting.item.answer.send(Err(late.into()));
            }
            for batch in due {
                batch.members.iter().for_each(|member| member.item.gone.store(true, Relaxed));
                self.tasks.spawn(Arc::clone(&self).compute(batch));
            }
            let woken = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = woken => {}
                () = stop.cancelled() => break,
            }
        }
        // Dropping what still waits tells its callers that the server is going down.
        drop(self.forming.lock().clear());
    }

    /// One request by itself.
    async fn alone(
        &self,
        inputs: Arc<[NamedTensor]>,
        outputs: Option<Arc<[Arc<str>]>>,
        mut constraints: Constraints,
        deadline: Instant,
    ) -> Result<Part, BatchError> {
        let asked = Instant::now();
        constraints.timeout = Some(deadline.saturating_duration_since(asked));
        let mut request = Request::new(Arc::clone(&self.model), inputs);
        request.outputs = outputs;
        request.constraints = constraints;
        let Completed { outputs, report, .. } = self.engine.run(request).await?;
        Ok(Part { outputs, report, asked, batch: None })
    }

    /// Computes a batch and gives each member its part.
    async fn compute(self: Arc<Self>, batch: Batch<Key, Item>) {
        // Cancellation safety: whatever becomes of this task, the batch is no longer on its way.
        let mut ended = Ended { shared: &self, rows: batch.rows, took_ms: None };
        let Batch { key, mut members, rows } = batch;
        let began = Instant::now();
        let whole = self.settings.filled(rows);
        let joined = match self.join(&members, whole) {
            Ok(joined) => joined,
            Err(why) => return answer(members, &BatchError::Mixed(why)),
        };
        let latest = members.iter().map(|member| member.deadline).max().unwrap_or(began);
        let constraints = members.first().map(|member| member.item.constraints.clone()).unwrap_or_default();
        let run = self.alone(joined.inputs, key.outputs.clone(), constraints, latest);
        let part = tokio::select! {
            part = run => part,
            // The run goes with its last member.
            () = all_gone(&mut members) => return,
        };
        match part {
            Ok(part) => {
                ended.took_ms = Some(began.elapsed().as_secs_f64() * 1e3);
                self.give(part, &joined.padded, members, (rows, whole), began);
            }
            // One request's values may have failed them all: each by itself tells whose.
            Err(BatchError::Run(RunError::Inference { .. } | RunError::InvalidInput(_)))
                if members.len() > 1 =>
            {
                let one_by_one = members.into_iter().map(|member| self.one(key.outputs.clone(), member));
                futures_util::future::join_all(one_by_one).await;
            }
            Err(error) => answer(members, &error),
        }
    }

    /// What is computed for a batch: one member's own tensors, or those of several as one.
    fn join(&self, members: &[Waiting<Item>], rows: u64) -> Result<Whole, String> {
        if let [only] = members
            && only.rows == rows
        {
            return Ok(Whole { inputs: Arc::clone(&only.item.inputs), padded: BTreeMap::new() });
        }
        let inputs: Vec<&[NamedTensor]> = members.iter().map(|member| &*member.item.inputs).collect();
        let Joined { inputs, padded } = self.layout.join(&inputs, rows)?;
        Ok(Whole { inputs: inputs.into(), padded })
    }

    async fn one(&self, outputs: Option<Arc<[Arc<str>]>>, member: Waiting<Item>) {
        let Waiting { deadline, item: Item { inputs, constraints, mut answer, gone: _ }, .. } = member;
        let run = self.alone(inputs, outputs, constraints, deadline);
        tokio::select! {
            part = run => drop(answer.send(part)),
            () = answer.closed() => {}
        }
    }

    fn give(
        &self,
        part: Part,
        padded: &BTreeMap<Arc<str>, u64>,
        members: Vec<Waiting<Item>>,
        (rows, whole): (u64, u64),
        began: Instant,
    ) {
        let requests = members.len();
        let Part { outputs, report, asked, batch: _ } = part;
        let split = if requests == 1 && rows == whole {
            Ok(vec![outputs])
        } else {
            let sizes: Vec<(&[NamedTensor], u64)> =
                members.iter().map(|member| (&*member.item.inputs, member.rows)).collect();
            self.layout.split(&outputs, &sizes, padded, whole)
        };
        let parts = match split {
            Ok(parts) => parts,
            Err(why) => return answer(members, &BatchError::Mixed(why)),
        };
        for (at, (member, outputs)) in members.into_iter().zip(parts).enumerate() {
            let waited_ms = began.saturating_duration_since(member.since).as_secs_f64() * 1e3;
            let batch = Some(BatchReport {
                requests,
                rows,
                filled: whole - rows,
                speaks: at == 0,
                waited_ms,
                padded: padded.clone(),
            });
            // Whoever asked may have gone.
            let _ = member.item.answer.send(Ok(Part { outputs, report: report.clone(), asked, batch }));
        }
    }
}

/// What one batch computes.
struct Whole {
    inputs: Arc<[NamedTensor]>,
    padded: BTreeMap<Arc<str>, u64>,
}

/// The same error for every member.
fn answer(members: Vec<Waiting<Item>>, error: &BatchError) {
    for member in members {
        // Whoever asked may have gone.
        let _ = member.item.answer.send(Err(error.clone()));
    }
}

/// Takes a batch off the count when it has ended, however it has.
struct Ended<'a> {
    shared: &'a Shared,
    rows: u64,
    took_ms: Option<f64>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.shared.forming.lock().ended(self.rows, self.took_ms);
        self.shared.changed.notify_one();
    }
}

/// Resolves when nobody waits for any member.
async fn all_gone(members: &mut [Waiting<Item>]) {
    for member in members {
        member.item.answer.closed().await;
    }
}

#[cfg(test)]
mod tests;
