//! How a request can fail.

use std::time::Duration;

use tensor::InputError;
use vocab::{Backend, BrowserName, FailureKind, WorkerId};

use crate::LinkError;

/// Where a request was when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// In the queue, waiting for a worker.
    Queued,
    /// In the queue, waiting for a model that was being loaded for it.
    Loading,
    /// In the queue, waiting until a worker has the memory to load its model.
    Memory,
    /// On a worker.
    Running,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queued => "waiting for a worker",
            Self::Loading => "waiting for the model to load",
            Self::Memory => "waiting for memory to load the model",
            Self::Running => "running",
        })
    }
}

/// Why the workers of the pool do not match a request: how many of them fall at each requirement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Mismatch {
    /// The workers in the pool.
    pub workers: usize,
    /// Those whose browser was not asked for.
    pub wrong_browser: usize,
    /// Those with a right browser that offer none of the backends asked for.
    pub wrong_backend: usize,
    /// Those that would match, but failed this very request before.
    pub excluded: usize,
    /// The browsers asked for; empty where any would do.
    pub browsers: Vec<BrowserName>,
    /// The backends asked for; empty where any would do.
    pub backends: Vec<Backend>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn names<T: std::fmt::Display>(all: &[T]) -> String {
            if all.is_empty() {
                return "any".to_owned();
            }
            all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
        }
        write!(f, "browser {}, backend {}: ", names(&self.browsers), names(&self.backends))?;
        if self.workers == 0 {
            return f.write_str("the pool has no workers");
        }
        write!(
            f,
            "of {} workers {} have another browser, {} lack the backend, {} failed before",
            self.workers, self.wrong_browser, self.wrong_backend, self.excluded
        )
    }
}

/// Why a request did not give a result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The queue is full; nothing was kept.
    #[error("the queue is full with {capacity} requests")]
    QueueFull {
        /// How many requests may wait.
        capacity: usize,
        /// When it may be worth to try again, from how fast the queue has been moving.
        retry_after: Duration,
    },
    /// The inputs do not fit the model's signature; no worker was bothered.
    #[error("the inputs do not fit the model")]
    InvalidInput(#[source] InputError),
    /// An output was asked for that the model does not have.
    #[error("the model has no output {0:?}")]
    UnknownOutput(String),
    /// No worker matches, and none is expected.
    #[error("no worker can serve the request ({0})")]
    NoWorker(Mismatch),
    /// Workers match, but none has the memory.
    #[error("the model needs {needs} bytes, and the largest matching worker has {largest}")]
    ModelTooLarge {
        /// The model's memory estimate, in bytes.
        needs: u64,
        /// The largest budget among the workers that would match, in bytes.
        largest: u64,
    },
    /// The deadline passed.
    #[error("the deadline passed while {phase}, after {waited:?}")]
    DeadlineExceeded {
        /// Where the request was.
        phase: Phase,
        /// The time since it was accepted.
        waited: Duration,
        /// What had gone wrong before, where it had been tried.
        #[source]
        last_cause: Option<LinkError>,
    },
    /// The caller took it back.
    #[error("the request was cancelled")]
    Cancelled,
    /// Its workers were lost, or did not answer, as often as it may be tried.
    #[error("no worker stayed to answer in {attempts} attempts")]
    WorkersLost {
        /// How often it was tried.
        attempts: u32,
        /// What happened last.
        #[source]
        last_cause: Option<LinkError>,
    },
    /// The model could not be loaded.
    #[error("worker {worker} could not load the model on {backend} ({kind}): {message}")]
    Load {
        /// On which worker, of those that were tried last.
        worker: WorkerId,
        /// On which backend.
        backend: Backend,
        /// What kind of failure it was.
        kind: FailureKind,
        /// The page's own words.
        message: String,
    },
    /// The run failed.
    #[error("worker {worker} could not run the model on {backend} ({kind}): {message}")]
    Inference {
        /// On which worker, of those that were tried last.
        worker: WorkerId,
        /// On which backend.
        backend: Backend,
        /// What kind of failure it was.
        kind: FailureKind,
        /// The page's own words.
        message: String,
    },
    /// The pool is closing, or closed.
    #[error("the pool is shutting down")]
    ShuttingDown,
}

impl RunError {
    /// Whether the request or its model is to blame, so that sending it again unchanged would fail again.
    #[must_use]
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::InvalidInput(_) | Self::UnknownOutput(_) | Self::ModelTooLarge { .. } | Self::Cancelled => {
                true
            }
            Self::Load { kind, .. } | Self::Inference { kind, .. } => kind.is_callers_fault(),
            _ => false,
        }
    }

    /// How long to wait before trying again, where waiting may help and the pool can tell.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}
