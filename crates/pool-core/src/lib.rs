//! Workers, leases, a bounded queue, deadlines and the placement of models: what makes many browsers one computer.
//!
//! A [`Pool`] is generic over [`WorkerLink`], the seam through which a call reaches a worker. Workers join and leave;
//! requests wait in one bounded queue with strict priorities, fair shares between models, and deadlines that fire
//! wherever a request is; models are loaded where they are needed and dropped where their memory is. Every accepted
//! request ends exactly once: with its result, or with one typed [`RunError`].
//!
//! There are three rings: the public, asynchronous [`Pool`]; a thin tokio driver; and a synchronous decision
//! [`core`] that takes the time as an argument and answers with actions.
//!
//! Which browser and backend computes a request is decided by what was observed ([`selection`]): every end of a run or
//! a load becomes an [`Observation`], which the pool learns from and hands to an [`ObservationSink`].
//!
//! The crate does **not** know any browser, socket, file format, database or inference runtime, restarts nothing, and
//! computes nothing: a result is what a worker answered, or there is none.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pool_core::{Pool, PoolConfig, Request};
//! use pool_core_testing::{FakeWorker, identity_model, info, vector};
//! use telemetry::Telemetry;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(PoolConfig::default(), Telemetry::new())?;
//! // A real pool's workers are browser pages; this one is scripted, and gives its inputs back.
//! let membership = pool.join(info(), Arc::new(FakeWorker::new()));
//!
//! let request = Request::new(identity_model("example"), [vector(&[1.0, 2.0, 3.0])]);
//! let completed = pool.run(request).await?;
//! assert_eq!(completed.outputs[0].tensor.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
//! assert_eq!(completed.report.worker, membership.worker());
//!
//! pool.shutdown().await;
//! assert_eq!(pool.stats().tasks, 0);
//! # Ok(())
//! # }
//! ```

mod calls;
mod check;
mod config;
pub mod core;
mod driver;
mod error;
mod guest;
mod held;
mod learning;
mod link;
mod membership;
mod model;
mod pool;
mod relief;
mod request;
pub mod selection;
mod timeline;
mod worker;

pub use check::{Canary, CheckConfig};
pub use config::{ConfigError, PoolConfig};
pub use error::{Mismatch, Phase, RunError};
pub use guest::{Confirmation, Guest};
pub use held::Held;
pub use learning::{Learning, ObservationSink};
pub use link::{LinkError, LoadCall, LoadReport, Marks, RunCall, RunReply, WorkerLink};
pub use membership::Membership;
pub use model::{Cache, Model, ModelFile, ModelSource};
pub use perf_history::Observation;
pub use pool::{DrainReport, Pool, PoolStats, Ticket};
pub use request::{Completed, Constraints, Preload, Request, RunReport};
pub use telemetry::LeaveCause;
pub use timeline::Timeline;
pub use worker::{BackendInfo, WorkerInfo};
