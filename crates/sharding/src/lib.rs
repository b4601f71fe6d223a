//! Cuts ONNX models into sub-models that hold only their own weights, and runs them together.

mod cut;
mod exec;
mod graph;
mod plan;
mod read;
mod strategies;
mod types;
mod write;

pub use exec::{
    Answer, CacheKeeper, CachesAt, CachesLost, ComponentMetrics, Executor, ExecutorConfig,
    ExecutorConfigError, ExecutorStats, HostError, LoadCall, Phase, RunCall, RunError, RunMetrics, RunReply,
    Sequence, SequenceId, StageError, StageHost, Step, Unload, WorkerHealth,
};
pub use plan::{
    DataFile, Estimate, Flow, Link, Output, Plan, PlanError, Request, Sharding, Shared, Stage, State,
    Verdict, WorkerSpec, plan, plan_given, svg,
};
pub use read::{ModelFile, ReadError};
pub use strategies::{Misfit, Strategy, UnknownStrategy};
pub use types::Assumptions;
pub use write::{WriteError, WriteOptions, write};
