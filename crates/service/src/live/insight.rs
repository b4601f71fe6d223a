//! The seam to what only the program around the pool knows.

use async_trait::async_trait;
use pool_core::core::Stance;
use serde::Serialize;
use vocab::{Backend, BrowserName, DeviceKind, WorkerId};

/// What the live page shows beyond what an [`Engine`](crate::Engine) knows. It is asked only while somebody looks.
#[async_trait]
pub trait Insight: Send + Sync + 'static {
    /// What is known of the workers. Asked once a second; must not wait.
    fn workers(&self) -> Vec<WorkerDetail>;

    /// The models that run in shards. Asked once a second; must not wait.
    fn flows(&self) -> Vec<ShardFlow>;

    /// Which browser and backend is best for which type of model. Asked every half minute, for 20 s at most.
    ///
    /// # Errors
    /// Why that cannot be told now, in one sentence.
    async fn affinities(&self) -> Result<Affinities, String>;
}

// It is kept as a trait object, so it must stay dyn-compatible.
const _: Option<&dyn Insight> = None;

/// What is known of one worker beside what the pool counts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WorkerDetail {
    /// The worker.
    pub worker: WorkerId,
    /// What its backends compute on.
    pub backends: Vec<BackendDetail>,
    /// The resident memory of its browser's processes, in bytes, where they run on this machine.
    pub resident_bytes: Option<u64>,
}

impl WorkerDetail {
    /// A worker with its backends.
    #[must_use]
    pub const fn new(worker: WorkerId, backends: Vec<BackendDetail>) -> Self {
        Self { worker, backends, resident_bytes: None }
    }
}

/// One backend of a worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements the seam names all of it")]
pub struct BackendDetail {
    /// Which one.
    pub backend: Backend,
    /// What it computes on.
    pub device: DeviceKind,
    /// The adapter's own name, where there is one.
    pub adapter: Option<String>,
    /// Whether the adapter is a software one.
    pub software: bool,
    /// The threads that it computes with; 0 where that means nothing.
    pub threads: u32,
}

/// Which browser and backend is best for which type of model.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements the seam names all of it")]
pub struct Affinities {
    /// Runs that all of it rests on.
    pub runs: u64,
    /// One row for each type, in the order in which they are shown.
    pub rows: Vec<AffinityRow>,
}

/// The best browser and backend for one type of model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements the seam names all of it")]
pub struct AffinityRow {
    /// The type of model.
    pub model_type: String,
    /// The best browser for it.
    pub browser: BrowserName,
    /// The best backend in that.
    pub backend: Backend,
    /// How probable it is that it is the best of those that were tried, 0 to 1.
    pub confidence: f64,
    /// Its score, 0 to 1; `None` where it rests on an assumption.
    pub score: Option<f64>,
    /// The runs that this rests on.
    pub samples: u64,
    /// Whether it was observed; otherwise it is assumed.
    pub observed: bool,
}

/// A model that runs in shards: its stages, and what travels to each.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShardFlow {
    /// The model.
    pub model: String,
    /// How it was cut.
    pub strategy: String,
    /// Its stages, in the order in which they compute.
    pub stages: Vec<FlowStage>,
    /// What went from stage to stage in the latest run.
    pub hops: Vec<FlowHop>,
    /// Runs and steps that gave an answer, since the model was deployed.
    pub answers: u64,
    /// Runs and steps that gave an error.
    pub errors: u64,
    /// What was done about failures: stages that ran again, changed browsers, or had their caches computed again.
    pub recovered: u64,
    /// What the latest run took, in milliseconds; `None` before the first.
    pub last_ms: Option<f64>,
    /// Runs and steps a second, over the last seconds. Whoever composes a frame fills it in.
    pub per_second: f64,
}

impl ShardFlow {
    /// A model of which nothing ran yet.
    #[must_use]
    pub fn new(model: impl Into<String>, strategy: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            strategy: strategy.into(),
            stages: Vec::new(),
            hops: Vec::new(),
            answers: 0,
            errors: 0,
            recovered: 0,
            last_ms: None,
            per_second: 0.0,
        }
    }
}

/// One stage of a model that runs in shards.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements the seam names all of it")]
pub struct FlowStage {
    /// Its number.
    pub stage: usize,
    /// What it is.
    pub label: String,
    /// The shard that it belongs to.
    pub shard: usize,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// The worker that computed it last; `None` before the first run.
    pub worker: Option<WorkerId>,
    /// That worker's browser.
    pub browser: Option<BrowserName>,
    /// The backend that computed it.
    pub backend: Option<Backend>,
    /// What the page computed for it in the latest run, in milliseconds.
    pub run_ms: f64,
    /// The rest of its time: the queue, and the way there and back, in milliseconds.
    pub transfer_ms: f64,
}

/// What went from one stage to another in the latest run. It passes through the pool's own process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever implements the seam names all of it")]
pub struct FlowHop {
    /// The stage that it comes from; `None` for the caller.
    pub from: Option<usize>,
    /// The stage that it goes to; `None` for the caller.
    pub to: Option<usize>,
    /// Its bytes: all that the stage at its end was sent, or, towards the caller, all that the stage at its beginning gave.
    pub bytes: u64,
}

/// A stance in the words of the page.
pub(super) const fn stance(stance: Stance) -> &'static str {
    match stance {
        Stance::Serving => "serving",
        Stance::Warming => "warming",
        // Emptied, or of a kind that is newer than this page: nothing new comes to it.
        _ => "draining",
    }
}
