//! Requests that were accepted and have not ended, and what is known about their models.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perf_history::{Arm, ModelId, ShapeBucket};
use telemetry::{Outcome, Place};
use tensor::Bindings;
use vocab::{Backend, SessionId, WorkerId};

use super::LeaseId;
use super::guard::Permits;
use super::needs::{Needs, Own};
use super::queue::LaneKey;
use crate::selection::{ContextKey, Decision, Why};
use crate::{LinkError, Mismatch, Model, Phase, RunError};

/// A request between its acceptance and its end. It is queued exactly while `running` is `None`.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) lane: LaneKey,
    pub(crate) model: Arc<Model>,
    pub(crate) fallback: bool,
    pub(crate) accepted: Instant,
    pub(crate) deadline: Instant,
    pub(crate) attempts: u32,
    pub(crate) max_attempts: u32,
    pub(crate) last: Option<Failure>,
    pub(crate) running: Option<LeaseId>,
    pub(crate) dispatched: Option<Instant>,
    pub(crate) place: Option<Place>,
    pub(crate) load_ms: Option<f64>,
    pub(crate) bytes_in: u64,
    pub(crate) shape: ShapeBucket,
    /// Why its arm was chosen.
    pub(crate) why: Why,
    /// Whether it holds the right to explore for its model and shape bucket.
    pub(crate) exploring: bool,
    /// How long it waits at most for its arm, where that was only the pool's own choice.
    pub(crate) trial_until: Option<Instant>,
    /// Whether it must not be computed twice.
    pub(crate) stateful: bool,
    /// Whether the caller wants to know how its arm was chosen.
    pub(crate) explain: bool,
    pub(crate) decision: Option<Arc<Decision>>,
    /// Whether the attempt that has just failed was a stranger's.
    pub(crate) by_stranger: bool,
}

/// One attempt that went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) worker: WorkerId,
    pub(crate) backend: Backend,
    /// Whether it was the load that failed, not the run.
    pub(crate) loading: bool,
    pub(crate) error: LinkError,
}

impl Entry {
    /// An attempt at a guest that is not trusted has failed. It is not counted, and there is no second one.
    pub(crate) fn fail_by_stranger(&mut self) {
        self.by_stranger = true;
        self.attempts = self.attempts.saturating_sub(1);
        self.lane.needs.own = self.lane.needs.own.max(Own::Untrusted);
    }

    pub(crate) fn needs(&self) -> &Needs {
        &self.lane.needs
    }

    pub(crate) fn context(&self) -> ContextKey {
        ContextKey { model: self.model.hash, shape: self.shape.clone() }
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.lane.needs.arm.is_some()
    }

    /// Whether its arm was only the pool's own choice, of which it may let go.
    pub(crate) fn is_trial(&self) -> bool {
        self.is_pinned() && self.why != Why::Fixed
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.model.memory_estimate_bytes
    }

    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.accepted)
    }

    fn last_cause(&self) -> Option<LinkError> {
        self.last.as_ref().map(|failure| failure.error.clone())
    }

    pub(crate) fn deadline_exceeded(&self, phase: Phase, now: Instant) -> RunError {
        RunError::DeadlineExceeded { phase, waited: self.waited(now), last_cause: self.last_cause() }
    }

    /// What to tell the caller when it will not be tried again.
    pub(crate) fn gave_up(&self, mismatch: impl FnOnce() -> Mismatch) -> RunError {
        match &self.last {
            None => RunError::NoWorker(mismatch()),
            Some(Failure { worker, backend, loading, error: LinkError::Reported { kind, message } }) => {
                let (worker, backend, kind, message) = (*worker, *backend, kind.clone(), message.clone());
                if *loading {
                    RunError::Load { worker, backend, kind, message }
                } else {
                    RunError::Inference { worker, backend, kind, message }
                }
            }
            Some(_) => RunError::WorkersLost { attempts: self.attempts, last_cause: self.last_cause() },
        }
    }
}

/// Which outcome telemetry counts for an error.
pub(crate) fn outcome(error: &RunError) -> Outcome {
    match error {
        RunError::Cancelled => Outcome::Cancelled,
        RunError::DeadlineExceeded { .. } => Outcome::DeadlineExceeded,
        RunError::Load { .. } => Outcome::LoadFailed,
        RunError::Inference { .. } => Outcome::InferenceFailed,
        RunError::WorkersLost { .. } => Outcome::WorkersLost,
        RunError::ShuttingDown => Outcome::ShuttingDown,
        RunError::NoWorker(_)
        | RunError::ModelTooLarge { .. }
        // These three are told before a request is accepted, so they never end one.
        | RunError::QueueFull { .. }
        | RunError::InvalidInput(_)
        | RunError::UnknownOutput(_) => Outcome::NoWorker,
    }
}

/// A run on a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) worker: WorkerId,
    pub(crate) session: SessionId,
    pub(crate) state: LeaseState,
    pub(crate) began: Instant,
    /// Whether its session had been warmed up by runs, and no other arm was tried in between.
    pub(crate) warm: bool,
    /// Whether the worker had nothing else to do all the while.
    pub(crate) alone: bool,
    /// What its circuit breakers gave.
    pub(crate) permits: Permits,
    /// Whether it was given up because it took too long, in all fairness.
    pub(crate) overdue: bool,
}

/// Whether anybody still waits for a run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeaseState {
    /// The request does.
    Running(vocab::RequestId),
    /// Nobody; the slot is taken until the worker confirms, at the latest at `until`.
    Cancelling { until: Instant },
}

/// With more sizes than this, a model's sizes vary.
const FEW_SIZES: usize = 2;
/// Sizes that came this many times are taken to come again.
const OFTEN: u32 = 3;
/// How many sizes of one model are remembered.
const MOST_SIZES: usize = 256;

/// How many barred arms of one model are remembered.
const MOST_BARRED: usize = 64;

/// What is known about a model, across workers.
#[derive(Debug)]
pub(crate) struct ModelState {
    /// How it is named in observations.
    pub(crate) id: Arc<ModelId>,
    /// Its sessions on all workers, in whatever phase.
    pub(crate) sessions: Vec<SessionId>,
    /// Its requests in the queue.
    pub(crate) queued: usize,
    /// What a run takes in the page, as a moving average.
    pub(crate) run_ms: Option<f64>,
    /// What a load takes, as a moving average.
    pub(crate) load_ms: Option<f64>,
    /// Its share where models compete.
    pub(crate) weight: u32,
    /// When its patience timer is set for.
    pub(crate) patience: Option<Instant>,
    /// How often it was asked for with which sizes.
    pub(crate) seen: HashMap<Arc<Bindings>, u32>,
    /// Until when each backend counts as unable to take the model, for requests that may fall back.
    pub(crate) refused: [Option<Instant>; Backend::ALL.len()],
    /// Whether it gives different answers to the same inputs.
    pub(crate) unpredictable: bool,
    /// The arms on which nothing is to be tried.
    barred: Vec<Barred>,
}

/// An arm on which requests of a model and size of inputs are not tried.
#[derive(Debug)]
struct Barred {
    shape: ShapeBucket,
    arm: Arc<Arm>,
    /// Until when; `None` for good.
    until: Option<Instant>,
}

/// How a model is named in observations.
pub(crate) fn model_id(model: &Model) -> Arc<ModelId> {
    Arc::new(ModelId {
        hash: model.hash,
        name: model.name.as_str().into(),
        version: model.version.as_str().into(),
        model_type: model.model_type,
        precision: model.precision.as_str().into(),
    })
}

impl ModelState {
    pub(crate) fn new(model: &Model, weight: u32) -> Self {
        Self {
            id: model_id(model),
            sessions: Vec::new(),
            queued: 0,
            run_ms: None,
            load_ms: None,
            weight,
            patience: None,
            seen: HashMap::new(),
            refused: [None; Backend::ALL.len()],
            unpredictable: false,
            barred: Vec::new(),
        }
    }

    /// Has no request of this size tried on an arm, until some time or for good.
    pub(crate) fn bar(&mut self, shape: &ShapeBucket, arm: &Arc<Arm>, until: Option<Instant>) {
        self.unbar(shape, arm);
        if self.barred.len() >= MOST_BARRED {
            self.barred.remove(0);
        }
        self.barred.push(Barred { shape: shape.clone(), arm: Arc::clone(arm), until });
    }

    /// Takes that back.
    pub(crate) fn unbar(&mut self, shape: &ShapeBucket, arm: &Arc<Arm>) {
        self.barred.retain(|barred| barred.shape != *shape || barred.arm != *arm);
    }

    /// Whether nothing of this size is to be tried on an arm now.
    pub(crate) fn is_barred(&self, now: Instant, shape: &ShapeBucket, arm: &Arc<Arm>) -> bool {
        self.barred.iter().any(|barred| {
            barred.shape == *shape && barred.arm == *arm && barred.until.is_none_or(|until| now < until)
        })
    }

    /// Counts a request with these sizes.
    pub(crate) fn see(&mut self, dims: &Arc<Bindings>) {
        if self.seen.len() >= MOST_SIZES && !self.seen.contains_key(dims) {
            self.seen.clear();
        }
        let count = self.seen.entry(Arc::clone(dims)).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether sizes vary, and these are none of those that come again and again.
    pub(crate) fn is_passing(&self, dims: &Arc<Bindings>) -> bool {
        self.seen.len() > FEW_SIZES && self.seen.get(dims).is_none_or(|&count| count < OFTEN)
    }

    /// What one run costs in the currency of fair shares: sixteenths of a microsecond of a worker's time, divided by
    /// the weight.
    pub(crate) fn cost(&self) -> u64 {
        // Casting saturates. An unknown model counts as one millisecond until its first run has ended.
        let micros = (self.run_ms.unwrap_or(1.0) * 1e3) as u64;
        (micros.max(10) * 16 / u64::from(self.weight.max(1))).max(1)
    }
}

/// Moves an average an eighth of the way to a new sample.
pub(crate) fn average(old: Option<f64>, sample: f64) -> Option<f64> {
    if !sample.is_finite() || sample < 0.0 {
        return old;
    }
    Some(old.map_or(sample, |old| old + (sample - old) / 8.0))
}
