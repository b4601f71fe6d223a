//! Workers, leases, a bounded queue, deadlines and the placement of models.

mod config;
mod error;
mod link;
mod model;
mod request;
mod worker;

pub use config::{ConfigError, PoolConfig};
pub use error::{Mismatch, Phase, RunError};
pub use link::{LinkError, LoadCall, LoadReport, RunCall, RunReply, WorkerLink};
pub use model::{Model, ModelFile, ModelSource};
pub use request::{Completed, Constraints, Preload, Request, RunReport};
pub use telemetry::LeaveCause;
pub use worker::{BackendInfo, WorkerInfo};
