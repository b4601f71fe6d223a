//! What the pool knows about a model: its identity, its files and how much memory it may take.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tensor::{DType, Signature};
use vocab::{ModelHash, ModelType, Step};

/// A model that workers can load.
#[derive(Debug, Clone)]
pub struct Model {
    /// The identity. Two models with one hash are the same model to the pool, whatever they are called.
    pub hash: ModelHash,
    /// The name that people use.
    pub name: String,
    /// The version that people use, empty where there is none.
    pub version: String,
    /// The family, where it is known.
    pub model_type: Option<ModelType>,
    /// The element type that most of its weights have, for example `FP32`; empty where it is not known.
    pub precision: String,
    /// The inputs and outputs. Every request's inputs are checked against it before the request is accepted.
    pub signature: Signature,
    /// The graph first, then its external data.
    pub files: Vec<ModelFile>,
    /// How much memory one loaded session takes on a worker, in bytes, as far as one can tell beforehand.
    pub memory_estimate_bytes: u64,
    /// The caches that a session keeps from step to step of a sequence; empty where there are none.
    pub caches: Arc<[Cache]>,
}

/// A cache of a model: an input whose value in the next step an output gives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Cache {
    /// The input.
    pub past: Arc<str>,
    /// The output.
    pub present: Arc<str>,
    /// The dimension along which it grows with each step, where it does.
    pub axis: Option<usize>,
    /// Its element type.
    #[serde(serialize_with = "as_text")]
    pub dtype: DType,
}

impl Model {
    /// Whether an input is not sent with a step, because the session has it from the step before.
    #[must_use]
    pub fn keeps(&self, input: &str, step: Step) -> bool {
        step.position > 0 && self.caches.iter().any(|cache| &*cache.past == input)
    }

    /// Whether most of its weights have fewer than 32 bits, so that engines may differ by more than rounding of floats.
    pub(crate) fn is_coarse(&self) -> bool {
        !matches!(self.precision.as_str(), "" | "FP32" | "FP64" | "float32" | "float64")
    }
}

fn as_text<S: serde::Serializer>(dtype: &DType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(dtype)
}

/// One file of a model.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// The path by which the graph refers to it, relative to the graph's own place.
    pub path: String,
    /// The SHA-256 of its contents.
    pub hash: ModelHash,
    /// Its length in bytes.
    pub bytes: u64,
    /// Where its contents are.
    pub source: ModelSource,
}

/// Where a file's contents are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelSource {
    /// In a file of this machine.
    Path(PathBuf),
    /// In memory.
    Memory(Bytes),
}
