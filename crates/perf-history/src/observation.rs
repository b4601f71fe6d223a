//! One thing that was seen to happen to a model on an arm.

use std::sync::Arc;

use vocab::{ModelHash, ModelType, WorkerId};

use crate::{Arm, Outcome, ShapeBucket};

/// A point in time: milliseconds since 1970-01-01 UTC. Whoever observes passes it in; nothing here reads a clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The milliseconds from `earlier` to this point; zero where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// Which model an observation is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever observes builds it in full")]
pub struct ModelId {
    /// Its contents. Another version has another hash, and begins with no experience of its own.
    pub hash: ModelHash,
    /// The name that people use.
    pub name: Arc<str>,
    /// The version that people use; empty where there is none.
    pub version: Arc<str>,
    /// What it is for, where that is known.
    pub model_type: Option<ModelType>,
    /// The element type that most of its weights have, for example `FP32`; empty where it is not known.
    pub precision: Arc<str>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "stores write all of them, and a reader must know each")]
pub enum Operation {
    /// One inference.
    Run,
    /// Loading the model.
    Load,
    /// Getting a worker back to work.
    Recovery,
}

impl Operation {
    /// Every operation, in the order of declaration.
    pub const ALL: &'static [Self] = &[Self::Run, Self::Load, Self::Recovery];

    /// The name in the database and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Load => "load",
            Self::Recovery => "recovery",
        }
    }
}

/// One run, load or recovery, and how it went. Times are milliseconds, sizes are bytes; `None` is what nobody measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "whoever observes builds it in full")]
pub struct Observation {
    /// When it ended.
    pub at: UnixMillis,
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// Where it was tried.
    pub arm: Arc<Arm>,
    /// The worker that tried it; an id of the process that observed, so it tells workers of one process apart.
    pub worker: WorkerId,
    /// What was tried.
    pub operation: Operation,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the session had run often enough before, and just before: first runs compile and warm up, and one between
    /// runs of another arm finds cold caches, so its time says little about the next.
    pub warm: bool,
    /// How long the load took: of a load itself, or the one that the run had to wait for.
    pub load_ms: Option<f64>,
    /// From acceptance to dispatch.
    pub queue_ms: Option<f64>,
    /// What the page spent computing.
    pub in_page_ms: Option<f64>,
    /// From dispatch to the result, where the worker had nothing else to do meanwhile.
    pub service_ms: Option<f64>,
    /// From acceptance to the end.
    pub total_ms: Option<f64>,
    /// The bytes of the inputs.
    pub bytes_in: Option<u64>,
    /// The bytes of the outputs.
    pub bytes_out: Option<u64>,
    /// The memory that the session counts for.
    pub memory_bytes: Option<u64>,
}

impl Observation {
    /// The latency by which arms are compared: of a warm run that succeeded, from dispatch to the result where that was
    /// undisturbed, otherwise what the page spent. `None` for everything else.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        if self.operation != Operation::Run || self.outcome != Outcome::Ok || !self.warm {
            return None;
        }
        self.service_ms.or(self.in_page_ms).filter(|ms| ms.is_finite() && *ms >= 0.0)
    }
}
