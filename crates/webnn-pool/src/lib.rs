//! A pool of real browsers used as machine-learning workers.
//!
//! An [`Accelerator`] launches browsers, or takes those that a WebDriver endpoint offers, and keeps a worker page in
//! each. [`Accelerator::accelerate_model`] reads an ONNX model and gives an [`AcceleratedModel`], whose
//! [`run`](AcceleratedModel::run) computes on whichever page fits, and says on which one it did.
//!
//! This crate puts the layers below it together: it does **not** itself speak with browsers (`webnn-bridge`), queue and
//! place requests (`pool-core`), read graphs (`onnx-graph`) or install anything (`provision`).
//!
//! ```no_run
//! use tensor::{NamedTensor, Tensor};
//! use vocab::{Backend, BrowserName};
//! use webnn_pool::{Accelerator, ModelSpec};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let accelerator = Accelerator::builder().browser(BrowserName::Firefox).build().await?;
//! let model = accelerator.accelerate_model(ModelSpec::path("model.onnx")).await?.on_backends([Backend::Wasm]);
//!
//! let input = NamedTensor { name: "x".into(), tensor: Tensor::from_slice([1, 3], &[1.0_f32, 2.0, 3.0])? };
//! let outcome = model.run([input]).await?;
//! println!("{} on {}: {:?}", outcome.report.backend, outcome.report.browser, outcome.outputs);
//!
//! accelerator.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod accelerated;
mod accelerator;
mod builder;
pub mod compare;
mod error;
mod export;
mod history;
mod join;
mod model;
mod recover;
mod respond;
mod serve;
mod shard;

pub use accelerated::{AcceleratedModel, RunOptions};
pub use accelerator::{Accelerator, LaunchFailure};
pub use builder::{AcceleratorBuilder, preferred_browser};
pub use error::{BuildError, HistoryError, ModelError};
pub use export::{ConnectedBackend, Connection, TelemetryExport, TelemetryOptions};
pub use history::analyze_location;
pub use join::{GuestReport, GuestState, JoinOptions};
pub use model::{ModelSpec, ResolvedModel, family_by_name, locate_model};
pub use recover::{
    BrowserMemory, LearnedRung, MemoryOptions, ReconcileOptions, RecoveryOptions, RecoveryReport,
    RecycleOptions,
};
pub use respond::{response, sharded_response};
pub use serve::{TextShard, TextShards};
pub use shard::{
    ComponentReport, GenerateOptions, Generation, HostFailure, ModelShardingManager, RecoveryAttempts,
    Sampling, ShardedMetrics, ShardedOutcome, ShardingError, ShardingOptions, ShardingTotals,
};

pub use perf_history::analysis::{Analysis, AnalysisSettings};
pub use perf_history::{Location, Source};
pub use pool_core::core::{BreakerSettings, BreakerStatus};
pub use pool_core::selection::{Decision, SelectionConfig, Why};
pub use pool_core::{Canary, CheckConfig, Completed, Confirmation, PoolConfig, RunError, RunReport};
pub use recovery::{
    Explanation, Fault, PressureConfig, Recovered, RecoveryConfig, RecoverySettings, RecycleConfig,
    ResourcePoolErrorRecovery, Rung, Thresholds,
};
pub use webnn_bridge::{
    Admission, BridgeConfig, BrowserSource, Code, HiddenTabs, Invitation, InviteError, JoinConfig,
    LaunchSpec, Page, PageEnd, Verdict,
};

/// The README's example is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide's examples are, too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Embedding;

/// And those of comparisons.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/compare.md")]
struct Comparing;
