//! Models that are too large for one browser, or that several compute faster: cut, held by several pages, run together.

mod error;
mod generate;
mod holds;
mod host;
mod manager;
mod metrics;
mod options;
mod sample;
mod speed;

pub(crate) use holds::Holds;

pub use error::{HostFailure, ShardingError};
pub use generate::{GenerateOptions, Generation};
pub use manager::ModelShardingManager;
pub use metrics::{ComponentReport, RecoveryAttempts, ShardedMetrics, ShardedOutcome, ShardingTotals};
pub use options::ShardingOptions;
pub use sample::Sampling;
