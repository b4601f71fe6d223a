//! Runs a plan: who depends on nobody first, the rest as soon as what they need is there.

mod attempt;
mod cache;
mod config;
mod error;
mod executor;
mod host;
mod metrics;
mod placing;
mod run;
mod sequence;

pub use cache::{CacheKeeper, CachesLost};
pub use config::{ExecutorConfig, ExecutorConfigError};
pub use error::{Phase, RunError, StageError};
pub use executor::{Answer, Executor, ExecutorStats};
pub use host::{HostError, LoadCall, RunCall, RunReply, StageHost, Unload, WorkerHealth};
pub use metrics::{ComponentMetrics, RunMetrics};
pub use sequence::Sequence;
