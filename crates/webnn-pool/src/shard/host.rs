//! Stages on pages: the sharding layer's seam over the pool.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use onnx_graph::LOAD_FACTOR;
use pool_core::{Cache, Constraints, Model, Phase, Pool, Preload, Request, RunError, RunReport};
use sharding::{HostError, LoadCall, Plan, RunCall, RunReply, Stage, StageHost, Unload, WorkerHealth};
use tensor::Dim;
use tokio::sync::OnceCell;
use vocab::{Backend, FailureKind, ModelType, SequenceId, SessionId, Step, WorkerId};
use webnn_bridge::Page;

use super::error::HostFailure;
use super::options::ShardingOptions;
use super::speed::name_of;
use crate::model::{ModelSpec, ResolvedModel, family_by_name};

/// Scores that are closer than this are the same.
const SAME: f64 = 1e-9;

/// What names of inputs and of components tell about what goes in.
const HINTS: &[(&str, ModelType)] = &[
    ("pixel", ModelType::Vision),
    ("image", ModelType::Vision),
    ("vision", ModelType::Vision),
    ("visual", ModelType::Vision),
    ("input_features", ModelType::Audio),
    ("audio", ModelType::Audio),
    ("waveform", ModelType::Audio),
    ("input_ids", ModelType::Text),
    ("text", ModelType::Text),
];

/// Each host's sequences have numbers of their own on the pages, which may hold one part for several hosts.
static HOSTS: AtomicU64 = AtomicU64::new(1);

/// Sequences of one host. The product with the number of hosts stays below 2⁵³, so that pages can count them.
const SEQUENCES: u64 = 1 << 32;

/// A part where it is loaded.
#[derive(Debug, Clone)]
struct Seat {
    worker: WorkerId,
    model: Arc<Model>,
    /// The backend that it was loaded on; `None` where its first run loads it.
    backend: Option<Backend>,
}

/// The parts of one plan on the pages of one pool.
///
/// Every call goes through the pool: its queue, its leases, its deadlines, its circuit breakers, its memory accounts. A part
/// that the pool had to make room for is loaded again by its next run, with its caches lost, which the executor rebuilds.
#[derive(Debug)]
pub(crate) struct PageHost {
    pool: Pool<Page>,
    name: String,
    plan: Arc<Plan>,
    backends: Vec<Backend>,
    model_type: Option<ModelType>,
    most_workers: usize,
    memory_budget_bytes: u64,
    load_timeout: Duration,
    run_timeout: Duration,
    number: u64,
    /// Each stage's part as the pool knows it, read when it is first loaded.
    parts: Vec<OnceCell<Arc<Model>>>,
    seats: DashMap<SessionId, Seat>,
    /// The latest report of each stage on each worker.
    reports: DashMap<(usize, WorkerId), Arc<RunReport>>,
}

impl PageHost {
    pub(crate) fn new(
        pool: Pool<Page>,
        name: String,
        plan: &Plan,
        options: &ShardingOptions,
        memory_budget_bytes: u64,
    ) -> Self {
        let mut backends = options.backends.clone();
        if !plan.states.is_empty() {
            // Caches grow with each step, and WebNN builds a graph for each size.
            backends.retain(|&backend| backend != Backend::WebNn);
            if backends.is_empty() {
                backends = vec![Backend::WebGpu, Backend::Wasm];
            }
        }
        Self {
            pool,
            name,
            backends,
            model_type: options.model_type,
            most_workers: options.max_connections,
            memory_budget_bytes,
            load_timeout: options.load_timeout,
            run_timeout: options.run_timeout,
            number: HOSTS.fetch_add(1, Ordering::Relaxed) % (1 << 20),
            parts: plan.stages.iter().map(|_| OnceCell::new()).collect(),
            plan: Arc::new(plan.clone()),
            seats: DashMap::new(),
            reports: DashMap::new(),
        }
    }

    /// The report of the last run of a stage on a worker.
    pub(crate) fn report(&self, stage: usize, worker: WorkerId) -> Option<Arc<RunReport>> {
        self.reports.get(&(stage, worker)).map(|report| Arc::clone(&report))
    }

    /// Gives up every part, without waiting until it is gone.
    pub(crate) fn abandon(&self) {
        for seat in &self.seats {
            self.pool.unload(seat.worker, seat.model.hash);
        }
        self.seats.clear();
    }

    /// What a stage is for: what the whole model is, but for the towers of a model of several kinds of input.
    fn family(&self, stage: &Stage) -> Option<ModelType> {
        let whole = self.model_type.or_else(|| family_by_name(&self.name));
        match whole {
            None | Some(ModelType::Multimodal) => self.tower(stage).or(whole),
            one => one,
        }
    }

    /// The kind of input that a stage alone takes, by the names of the model's inputs and of the stage.
    fn tower(&self, stage: &Stage) -> Option<ModelType> {
        let own = stage.inputs.iter().map(|spec| &*spec.name);
        let own = own.filter(|name| self.plan.inputs.iter().any(|input| &*input.name == *name));
        let mut kinds = own.chain([&*stage.label]).filter_map(|name| {
            let name = name.to_lowercase();
            let hint = HINTS.iter().find(|(part, _)| name.contains(part));
            hint.map(|(_, family)| *family)
        });
        let first = kinds.next()?;
        kinds.all(|kind| kind == first).then_some(first)
    }

    /// What the pool has to know to weigh workers for a stage before its part was read.
    fn sketch(&self, stage: &Stage) -> Model {
        Model {
            hash: stage
                .sha256
                .as_deref()
                .and_then(|hash| hash.parse().ok())
                .unwrap_or(vocab::ModelHash([0; 32])),
            name: String::new(),
            version: String::new(),
            model_type: self.family(stage),
            precision: String::new(),
            signature: tensor::Signature::default(),
            files: Vec::new(),
            memory_estimate_bytes: stage.weight_bytes.saturating_mul(LOAD_FACTOR),
            caches: Arc::default(),
        }
    }

    async fn part(&self, stage: &Stage, file: &Path) -> Result<Arc<Model>, HostError<HostFailure>> {
        let read = || async {
            let mut spec = ModelSpec::path(file).name(format!("{}/{}", self.name, stage.label));
            if let Some(model_type) = self.family(stage) {
                spec = spec.model_type(model_type);
            }
            let read = ResolvedModel::read(spec, self.memory_budget_bytes).await?;
            let mut model = Model::clone(&read.model);
            let caches = self.plan.states_of(stage.index).map(|state| Cache {
                past: Arc::clone(&state.past),
                present: Arc::clone(&state.present),
                axis: state.axis,
            });
            model.caches = caches.collect();
            Ok(Arc::new(model))
        };
        let cell = self.parts.get(stage.index).ok_or_else(|| {
            HostError::Refused(HostFailure::Run(RunError::UnknownOutput(stage.label.clone())))
        })?;
        // A part that cannot be read on this machine cannot be loaded on any page.
        let part = cell.get_or_try_init(read).await;
        part.cloned().map_err(|error| HostError::Refused(HostFailure::Model(error)))
    }

    /// Whether every backend that may be used on a page builds its graph for one size alone, so that the part cannot be
    /// loaded before the inputs are there.
    fn has_static_shapes(&self, model: &Model, worker: WorkerId) -> bool {
        let prospects = self.pool.prospects(model, &self.backends, &[]);
        prospects.into_iter().find(|prospect| prospect.worker == worker).is_some_and(|prospect| {
            let usable = |backend: Backend| self.backends.is_empty() || self.backends.contains(&backend);
            prospect.info.backends.iter().filter(|info| usable(info.backend)).all(|info| info.static_shapes)
        })
    }

    /// A sequence's number on the pages.
    const fn on_page(&self, sequence: SequenceId) -> SequenceId {
        SequenceId(self.number * SEQUENCES + sequence.0 % SEQUENCES)
    }
}

fn constraints(backends: Vec<Backend>, timeout: Duration) -> Constraints {
    Constraints { backends, timeout: Some(timeout), ..Constraints::default() }
}

/// Whether the sizes of its inputs are not all fixed.
fn is_open(model: &Model) -> bool {
    model.signature.inputs.iter().any(|input| {
        input.dims.as_ref().is_none_or(|dims| dims.iter().any(|dim| !matches!(dim, Dim::Fixed(_))))
    })
}

impl StageHost for PageHost {
    type Error = HostFailure;

    async fn load(&self, call: LoadCall) -> Result<(), HostError<HostFailure>> {
        let LoadCall { session, worker, stage, file } = call;
        let model = self.part(&stage, &file).await?;
        let mut seat = Seat { worker, model: Arc::clone(&model), backend: None };
        if !(is_open(&model) && self.has_static_shapes(&model, worker)) {
            let mut preload = Preload::new(model);
            preload.constraints = constraints(self.backends.clone(), self.load_timeout);
            preload.constraints.fallback = true;
            preload.worker = Some(worker);
            seat.backend = Some(self.pool.preload(preload).await.map_err(sort)?.backend);
        }
        self.seats.insert(session, seat);
        Ok(())
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, HostError<HostFailure>> {
        let RunCall { session, worker, stage, inputs, outputs, step } = call;
        let Some(Seat { model, backend, .. }) = self.seats.get(&session).map(|seat| seat.clone()) else {
            return Err(HostError::Gone(HostFailure::NotLoaded { stage }));
        };
        let mut request = Request::new(model, inputs);
        request.outputs = Some(outputs);
        let backends = backend.map_or_else(|| self.backends.clone(), |backend| vec![backend]);
        request.constraints = constraints(backends, self.run_timeout);
        // What to do about a failure is for the executor to say, which knows what it depends on.
        request.constraints.attempts = Some(1);
        request.worker = Some(worker);
        request.step = step.map(|step| Step { sequence: self.on_page(step.sequence), ..step });
        let completed = self.pool.run(request).await.map_err(sort)?;
        let compute_ms = completed.report.in_page_ms;
        self.reports.insert((stage, worker), Arc::new(completed.report));
        Ok(RunReply { outputs: completed.outputs, compute_ms, caches: completed.caches })
    }

    async fn unload(&self, what: Unload) -> Result<(), HostError<HostFailure>> {
        let Unload { session, worker, sequence } = what;
        if let Some(sequence) = sequence {
            let Some(hash) = self.seats.get(&session).map(|seat| seat.model.hash) else { return Ok(()) };
            let released = self.pool.release(worker, hash, self.on_page(sequence)).await;
            return released.map_err(|error| HostError::Failed(HostFailure::Link(error)));
        }
        let Some((_, seat)) = self.seats.remove(&session) else { return Ok(()) };
        self.reports.retain(|&(_, of), _| of != worker || self.seats.iter().any(|seat| seat.worker == of));
        let shared =
            self.seats.iter().any(|other| other.worker == seat.worker && other.model.hash == seat.model.hash);
        if !shared {
            self.pool.unload(seat.worker, seat.model.hash);
        }
        Ok(())
    }

    async fn health(&self, stage: &Stage) -> Vec<WorkerHealth> {
        let sketch = self.sketch(stage);
        let ours: Vec<Arc<Model>> = self.parts.iter().filter_map(|part| part.get().cloned()).collect();
        let ours: Vec<&Model> = ours.iter().map(|model| &**model).collect();
        let prospects = self.pool.prospects(&sketch, &self.backends, &ours);
        let hosts = |worker: WorkerId| self.seats.iter().any(|seat| seat.worker == worker);
        let mut rank = 0;
        let mut score = None;
        let mut health: Vec<WorkerHealth> = Vec::with_capacity(prospects.len());
        for prospect in prospects {
            let chosen = stage.worker.as_deref() == Some(&*name_of(prospect.worker, prospect.info.browser));
            if score.is_some_and(|score: f64| prospect.best.score < score - SAME) {
                rank += 1;
            }
            score = Some(prospect.best.score);
            let free_bytes = Some(prospect.free_bytes / LOAD_FACTOR);
            // Where the planner has chosen, that one comes before all others.
            let rank = if chosen { 0 } else { rank + 1 };
            health.push(WorkerHealth { worker: prospect.worker, alive: true, free_bytes, rank });
        }
        // Of more pages than may be used, those that hold parts already, and then the best.
        health.sort_by_key(|worker| !hosts(worker.worker));
        health.truncate(self.most_workers);
        health
    }
}

/// What the executor has to know of a failure.
fn sort(error: RunError) -> HostError<HostFailure> {
    let kind = match &error {
        RunError::Inference { kind, .. } | RunError::Load { kind, .. } => Some(kind.clone()),
        _ => None,
    };
    match (&error, kind) {
        (_, Some(FailureKind::CachesLost)) => HostError::CachesLost,
        // Loading a part elsewhere does not mend it, nor does it mend the inputs.
        (_, Some(FailureKind::InvalidInput | FailureKind::InvalidModel))
        | (RunError::InvalidInput(_) | RunError::UnknownOutput(_) | RunError::ShuttingDown, _) => {
            HostError::Refused(HostFailure::Run(error))
        }
        // A page that cannot begin will not do so a moment later.
        (RunError::NoWorker(_) | RunError::WorkersLost { .. } | RunError::ModelTooLarge { .. }, _)
        | (RunError::DeadlineExceeded { phase: Phase::Memory, .. }, _) => {
            HostError::Gone(HostFailure::Run(error))
        }
        _ => HostError::Failed(HostFailure::Run(error)),
    }
}
