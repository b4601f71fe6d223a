//! The protocols in front of a pool.
//!
//! A [`Service`] knows models in folders, and answers for them: the Open Inference Protocol v2 over HTTP and gRPC, with
//! the extensions that Triton's clients use, and OpenAI's embeddings, completions and chat. It forms batches, lets in who
//! has a token, bounds what it takes, counts what it refuses, traces what it does, shows how it is on a live page, and goes
//! down in order.
//!
//! It does **not** know any browser, socket to one, or runtime: what computes lies behind [`Engine`], what reads models
//! behind [`Library`], what writes texts behind [`Generator`], and what only the program around knows behind [`Insight`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use service::{Engine, Library, ListenConfig, Parts, Service, ServiceConfig};
//!
//! # async fn example(engine: Arc<dyn Engine>, library: Arc<dyn Library>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ServiceConfig::default();
//! config.models = vec!["models".into()];
//! let service = Service::new(Parts::new(engine, library), config)?;
//! service.refresh().await?;
//! let server = service.listen(ListenConfig::default()).await?;
//! println!("http://{}/v2", server.address());
//! service.drain(std::time::Duration::from_secs(30)).await;
//! server.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

mod batch;
mod counters;
mod embed;
mod engine;
mod error;
mod grpc;
mod guests;
mod http;
mod infer;
mod limits;
mod listen;
mod live;
mod repository;
mod security;
mod service;
mod stats;
mod trace;
mod words;

pub use batch::{Batching, BatchingError};
pub use engine::{Engine, EngineError, Generator, Library, ModelFiles, Sampling, Status, TextRequest};
pub use error::ServiceError;
pub use guests::{Guests, Invited};
pub use infer::report_parameters;
pub use limits::{Limits, LimitsError};
pub use listen::{ListenConfig, ServeError, Server};
pub use live::{
    Affinities, AffinityRow, BackendDetail, FlowHop, FlowStage, Insight, News, ShardFlow, WorkerDetail,
};
pub use repository::{IndexEntry, ModelSettings, ModelState};
pub use security::{ListenError, TlsError, TlsFiles, TokenError, TokenSpec};
pub use service::{Parts, Report, Sections, Service, ServiceConfig, ServiceConfigError};
pub use stats::{BatchStatistics, InferStatistics, ModelStatistics, StatisticDuration};
