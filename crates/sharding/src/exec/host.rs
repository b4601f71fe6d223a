//! The seam between the executor and whoever has workers.

use std::path::PathBuf;
use std::sync::Arc;

use tensor::NamedTensor;
use vocab::{CachesAt, SequenceId, SessionId, Step, WorkerId};

use crate::plan::Stage;

/// Runs stages on workers.
///
/// Calls come at the same time for different sessions, and for one session unless they are steps of one sequence. Every
/// future may be dropped at any await; what it was doing must then stop, and its result must not be kept. A reply must
/// come from the session that the call names.
pub trait StageHost: Send + Sync {
    /// Why a call failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Loads a stage's part on a worker as the session that the call names.
    fn load(&self, call: LoadCall) -> impl Future<Output = Result<(), HostError<Self::Error>>> + Send;

    /// Runs a session once.
    fn run(&self, call: RunCall) -> impl Future<Output = Result<RunReply, HostError<Self::Error>>> + Send;

    /// Drops a session with all its caches, or the caches of one sequence. What is not there counts as dropped.
    fn unload(&self, what: Unload) -> impl Future<Output = Result<(), HostError<Self::Error>>> + Send;

    /// The workers, as they are at this moment, and how well they suit a stage.
    fn health(&self, stage: &Stage) -> impl Future<Output = Vec<WorkerHealth>> + Send;
}

/// A request to load a part.
#[derive(Debug, Clone)]
pub struct LoadCall {
    /// The id of the session to create. Never used before.
    pub session: SessionId,
    /// The worker to load it on.
    pub worker: WorkerId,
    /// The stage.
    pub stage: Arc<Stage>,
    /// The stage's file.
    pub file: PathBuf,
}

/// A request to run a stage.
#[derive(Debug, Clone)]
pub struct RunCall {
    /// The session.
    pub session: SessionId,
    /// The worker that it is on.
    pub worker: WorkerId,
    /// The stage.
    pub stage: usize,
    /// What the stage takes; without its caches, where `step` says that these are with the session.
    pub inputs: Vec<NamedTensor>,
    /// The names of the outputs that are wanted.
    pub outputs: Arc<[Arc<str>]>,
    /// Which step of which sequence this is; `None` for a run that leaves nothing behind. A host whose caches are of
    /// another epoch or position must not run, and answers [`HostError::CachesLost`];
    /// [`CacheKeeper`](crate::CacheKeeper) does what a host has to do.
    pub step: Option<Step>,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct RunReply {
    /// The outputs that were wanted.
    pub outputs: Vec<NamedTensor>,
    /// What computing took on the worker, in milliseconds.
    pub compute_ms: f64,
    /// What the session's caches hold now; present where the call was a step.
    pub caches: Option<CachesAt>,
}

/// What to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unload {
    /// The session.
    pub session: SessionId,
    /// The worker that it is on.
    pub worker: WorkerId,
    /// The sequence whose caches to drop; `None` for the whole session.
    pub sequence: Option<SequenceId>,
}

/// A worker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerHealth {
    /// The worker.
    pub worker: WorkerId,
    /// Whether it can be given work.
    pub alive: bool,
    /// Memory in bytes that a part may still take; `None` where that is not known.
    pub free_bytes: Option<u64>,
    /// Its place among the workers where the stage is concerned: 0 for the one that suits it best. Workers of which nothing
    /// is known have the same place. Counts among workers that host as few other shards.
    pub rank: u32,
}

/// Why a host did not do what it was asked. The kind decides what is tried next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError<E> {
    /// The worker or the session is gone: it is no use to ask it again.
    #[error("the worker is gone")]
    Gone(#[source] E),
    /// It failed, and may work when it is repeated.
    #[error("the worker failed")]
    Failed(#[source] E),
    /// It would fail everywhere, because of what it was given.
    #[error("the inputs were refused")]
    Refused(#[source] E),
    /// The caches are not those that the step expects.
    #[error("the caches are not those of the step")]
    CachesLost,
}
