//! The seams to what computes.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use pool_core::core::BreakerStatus;
use pool_core::{Completed, Model, PoolStats, Request, RunError};
use telemetry::Snapshot;
use vocab::ModelHash;

/// What computes: the pool, as far as the protocols know it.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Computes one request. Dropping the future cancels it.
    async fn run(&self, request: Request) -> Result<Completed, RunError>;

    /// The workers that are there now.
    fn workers(&self) -> usize;

    /// What is there and what happened. May take some milliseconds.
    fn status(&self) -> Status;
}

/// What knows models on disk.
#[async_trait]
pub trait Library: Send + Sync + 'static {
    /// Reads a model that lies on disk, checks and hashes it. Computes nothing.
    async fn read(&self, files: ModelFiles) -> Result<Arc<Model>, EngineError>;

    /// Gives up the memory that workers hold of a model, as soon as the runs that they have are over.
    fn retire(&self, model: ModelHash);
}

/// What writes texts with models that keep caches from token to token.
#[async_trait]
pub trait Generator: Send + Sync + 'static {
    /// Begins a text behind a prompt; its tokens come as they are drawn. Dropping the stream ends the text.
    async fn generate(
        &self,
        text: TextRequest,
    ) -> Result<BoxStream<'static, Result<i64, EngineError>>, EngineError>;

    /// Gives up what is held of a model, as soon as the texts that use it are over.
    fn forget(&self, model: &str);
}

// All are kept as trait objects, so they must stay dyn-compatible.
const _: Option<(&dyn Engine, &dyn Library, &dyn Generator)> = None;

/// Where a model lies, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFiles {
    /// The ONNX file, or the folder that holds it.
    pub path: PathBuf,
    /// The name that requests use.
    pub name: String,
    /// The version that requests use.
    pub version: String,
}

impl ModelFiles {
    /// A model of this name and version.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { path: path.into(), name: name.into(), version: version.into() }
    }
}

/// A text to be written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TextRequest {
    /// The model.
    pub model: Arc<Model>,
    /// Where it lies.
    pub path: PathBuf,
    /// The tokens to go on from. At least one.
    pub prompt: Vec<i64>,
    /// How many tokens are drawn at most.
    pub max_new_tokens: usize,
    /// The tokens that end a text.
    pub eos: Vec<i64>,
    /// How tokens are drawn; `None` for the likeliest one.
    pub sampling: Option<Sampling>,
}

impl TextRequest {
    /// A text behind a prompt: greedy, without an end but its length.
    #[must_use]
    pub const fn new(model: Arc<Model>, path: PathBuf, prompt: Vec<i64>, max_new_tokens: usize) -> Self {
        Self { model, path, prompt, max_new_tokens, eos: Vec::new(), sampling: None }
    }
}

/// How a token is drawn by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "a caller names all three")]
pub struct Sampling {
    /// What scores are divided by before they become probabilities; above 0.
    pub temperature: f64,
    /// Only the likeliest tokens are drawn from that have this probability together; above 0 and at most 1.
    pub top_p: f64,
    /// The seed.
    pub seed: u64,
}

/// What is there and what happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Workers, sessions, requests.
    pub pool: PoolStats,
    /// Counters, latencies and recent events.
    pub telemetry: Snapshot,
    /// The circuit breakers of which something is known.
    pub breakers: Vec<BreakerStatus>,
}

impl Status {
    /// All three.
    #[must_use]
    pub const fn new(pool: PoolStats, telemetry: Snapshot, breakers: Vec<BreakerStatus>) -> Self {
        Self { pool, telemetry, breakers }
    }
}

/// What failed below the protocols, in its own words.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request is to blame.
    #[error("{0}")]
    Caller(String),
    /// The model on disk is to blame.
    #[error("{0}")]
    Model(String),
    /// The pool failed to answer.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something else failed.
    #[error("{0}")]
    Failed(String),
}
