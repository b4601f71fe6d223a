//! Cuts ONNX models into sub-models that hold only their own weights, and runs them together.

mod cut;
mod graph;
mod plan;
mod read;
mod strategies;
mod types;
mod write;

pub use plan::{
    DataFile, Estimate, Flow, Link, Output, Plan, PlanError, Request, Shared, Sharding, Stage, State, Verdict,
    WorkerSpec, plan, svg,
};
pub use read::{ModelFile, ReadError};
pub use strategies::{Misfit, Strategy, UnknownStrategy};
pub use types::Assumptions;
pub use write::{WriteError, WriteOptions, write};
