//! Cuts ONNX models into sub-models that hold only their own weights, and runs them together.
//!
//! - [`ModelFile`] reads a model without its weights, so that one of many gigabytes takes the memory of its structure.
//! - [`plan`] cuts it by a [`Strategy`] and says what comes of it: [`Plan`] has the stages, what flows between them, where
//!   caches stay, what it costs, and whether not cutting would be faster. It prints as a table, as JSON and as an [`svg`].
//! - [`write`](fn@write) puts one `.onnx` for each stage into a folder, weights copied from where they lie, and `plan.json`.
//!   Tensors that cross a cut keep their names, so that the parts chain by name in any runtime.
//! - [`Executor`] runs the parts over the seam [`StageHost`], of four methods: independent stages at the same time, failed
//!   ones again and elsewhere, caches rebuilt when they are lost.
//!
//! The crate does **not** compute anything, and knows no browser, socket, database or page: whoever implements
//! [`StageHost`] has workers. It never changes a node, splits none, and gives no part of an answer as an answer.
//! `docs/sharding.md` tells how models are cut, what is guaranteed and where the limits are.
//!
//! ```
//! use sharding::{ModelFile, Request, Strategy, WriteOptions, plan, write};
//! use sharding_testing::Builder;
//! # use prost::Message as _;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.onnx");
//! let model = Builder::new()
//!     .input("x", &[2, 2])
//!     .weight("a", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
//!     .weight("b", &[2, 2], &[0.5, 0.5, 0.5, 0.5])
//!     .node("MatMul", &["x", "a"], &["middle"])
//!     .node("MatMul", &["middle", "b"], &["y"])
//!     .output("y")
//!     .build();
//! std::fs::write(&path, model.encode_to_vec())?;
//!
//! let file = ModelFile::open(&path)?;
//! let cut = plan(&file, &Request::new(Strategy::Layer, 2))?;
//! let written = write(&cut, &folder.path().join("parts"), &WriteOptions::default())?;
//! assert_eq!(&*written.flows[0].spec.name, "middle");
//! assert_eq!(written.stages[1].weight_bytes, 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cut;
mod exec;
mod graph;
mod plan;
mod read;
mod strategies;
mod types;
mod write;

pub use exec::{
    Answer, CacheKeeper, CachesLost, ComponentMetrics, Executor, ExecutorConfig, ExecutorConfigError,
    ExecutorStats, HostError, LoadCall, Phase, RunCall, RunError, RunMetrics, RunReply, Sequence, StageError,
    StageHost, Unload, WorkerHealth,
};
pub use plan::{
    BrokenPlan, DataFile, Estimate, Flow, Link, Output, Plan, PlanError, Request, Sharding, Shared, Stage,
    State, Verdict, WorkerSpec, plan, plan_given, svg,
};
pub use read::{ModelFile, ReadError};
pub use strategies::{Misfit, Strategy, UnknownStrategy};
pub use types::Assumptions;
pub use vocab::{CachesAt, SequenceId, Step};
pub use write::{WriteError, WriteOptions, write};
