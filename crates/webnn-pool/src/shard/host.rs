//! Stages on pages: the sharding layer's seam over the pool.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use onnx_graph::LOAD_FACTOR;
use parking_lot::Mutex;
use pool_core::core::Prospect;
use pool_core::{Cache, Constraints, Model, Phase, Pool, Preload, Request, RunError, RunReport};
use sharding::{HostError, LoadCall, Plan, RunCall, RunReply, Stage, StageHost, Unload, WorkerHealth};
use tensor::Dim;
use tokio::sync::OnceCell;
use vocab::{Backend, FailureKind, ModelType, SequenceId, SessionId, Step, WorkerId};
use webnn_bridge::Page;

use super::error::HostFailure;
use super::holds::Holds;
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

/// With more reports than this, those of pages that hold nothing any more are forgotten.
const MOST_REPORTS: usize = 1_024;

/// By how many places a page comes later whose other models would have to make room.
const CROWDED: u32 = 1 << 16;

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
    /// One part is read at a time, so that not all of them are in memory.
    reading: tokio::sync::Mutex<()>,
    /// The pages that may be used, where their number is bounded: the first that were found best, as long as they are there.
    pages: Mutex<BTreeSet<WorkerId>>,
    seats: DashMap<SessionId, Seat>,
    holds: Holds,
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
        holds: Holds,
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
            reading: tokio::sync::Mutex::new(()),
            pages: Mutex::new(BTreeSet::new()),
            plan: Arc::new(plan.clone()),
            seats: DashMap::new(),
            holds,
            reports: DashMap::new(),
        }
    }

    /// The report of the last run of a stage on a worker.
    pub(crate) fn report(&self, stage: usize, worker: WorkerId) -> Option<Arc<RunReport>> {
        self.reports.get(&(stage, worker)).map(|report| Arc::clone(&report))
    }

    /// The pages that may be used, of those that are there.
    fn usable(&self, prospects: &[Prospect]) -> BTreeSet<WorkerId> {
        let mut pages = self.pages.lock();
        pages.retain(|page| prospects.iter().any(|prospect| prospect.worker == *page));
        let planned = |prospect: &&Prospect| {
            let name = name_of(prospect.worker, prospect.info.browser);
            self.plan.stages.iter().any(|stage| stage.worker.as_deref() == Some(&*name))
        };
        let others = prospects.iter().filter(|prospect| !planned(prospect));
        for prospect in prospects.iter().filter(planned).chain(others) {
            if pages.len() >= self.most_workers {
                break;
            }
            pages.insert(prospect.worker);
        }
        pages.clone()
    }

    /// Gives up every part, without waiting until it is gone.
    pub(crate) fn abandon(&self) {
        let all: Vec<SessionId> = self.seats.iter().map(|seat| *seat.key()).collect();
        all.into_iter().for_each(|session| self.give_up(session));
    }

    /// Gives up one seat, and the part with it where nobody else has it on that page.
    fn give_up(&self, session: SessionId) {
        let Some((_, seat)) = self.seats.remove(&session) else { return };
        let part = seat.model.hash;
        if self.holds.let_go(seat.worker, part) {
            self.pool.unload(seat.worker, part);
        }
        if self.reports.len() > MOST_REPORTS {
            self.reports.retain(|&(_, worker), _| self.seats.iter().any(|other| other.worker == worker));
        }
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
            // Cancellation safety: a turn that is given up is free again.
            let _turn = self.reading.lock().await;
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
                dtype: model.signature.input(&state.past).map_or(tensor::DType::F32, |spec| spec.dtype),
            });
            model.caches = caches.collect();
            Ok(Arc::new(model))
        };
        let cell = self
            .parts
            .get(stage.index)
            .ok_or_else(|| HostError::Refused(HostFailure::NotLoaded { stage: stage.index }))?;
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
        // From now on: whoever gives up waiting has the executor unload it.
        self.holds.hold(worker, model.hash);
        self.seats.insert(session, Seat { worker, model: Arc::clone(&model), backend: None });
        if !(is_open(&model) && self.has_static_shapes(&model, worker)) {
            let mut preload = Preload::new(model);
            preload.constraints = constraints(self.backends.clone(), self.load_timeout);
            preload.constraints.fallback = true;
            preload.worker = Some(worker);
            let backend = self.pool.preload(preload).await.map_err(sort)?.backend;
            if let Some(mut seat) = self.seats.get_mut(&session) {
                seat.backend = Some(backend);
            }
        }
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
        // A page that has lost the session loads it again. All else is for the executor, which knows what depends on what.
        request.constraints.attempts = Some(2);
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
        self.give_up(session);
        Ok(())
    }

    async fn health(&self, stage: &Stage) -> Vec<WorkerHealth> {
        let sketch = self.sketch(stage);
        let ours: Vec<Arc<Model>> = self.parts.iter().filter_map(|part| part.get().cloned()).collect();
        let ours: Vec<&Model> = ours.iter().map(|model| &**model).collect();
        let prospects = self.pool.prospects(&sketch, &self.backends, &ours);
        let usable = self.usable(&prospects);
        let needed = stage.weight_bytes.saturating_mul(LOAD_FACTOR);
        let mut rank = 0;
        let mut score = None;
        let mut health: Vec<WorkerHealth> = Vec::with_capacity(prospects.len());
        for prospect in prospects {
            let chosen = stage.worker.as_deref() == Some(&*name_of(prospect.worker, prospect.info.browser));
            if score.is_some_and(|score: f64| prospect.best.score < score - SAME) {
                rank += 1;
            }
            score = Some(prospect.best.score);
            let hosted = self.seats.iter().filter(|seat| seat.worker == prospect.worker).count();
            if !usable.contains(&prospect.worker) || hosted >= prospect.most_sessions {
                continue;
            }
            let free_bytes = Some(prospect.free_bytes / LOAD_FACTOR);
            // Where the planner has chosen, that one comes first; where others' models would have to make room, last.
            let crowded = prospect.unused_bytes < needed;
            let rank = if chosen { 0 } else { rank + 1 + if crowded { CROWDED } else { 0 } };
            health.push(WorkerHealth { worker: prospect.worker, alive: true, free_bytes, rank });
        }
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
