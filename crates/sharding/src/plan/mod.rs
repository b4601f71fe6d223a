//! The plan: stages, what flows between them, and what that costs.

mod build;
mod check;
mod error;
mod estimate;
mod explain;
mod request;
mod svg;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tensor::TensorSpec;

pub use build::{Sharding, plan, plan_given};
pub use check::BrokenPlan;
pub(crate) use check::is_plain;
pub use error::PlanError;
pub use estimate::{Estimate, Verdict};
pub use request::{Link, Request, WorkerSpec};
pub use svg::svg;

use crate::strategies::Strategy;
use crate::types::Assumptions;

/// How a model is cut, and how its parts work together. What `plan.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this form: 1.
    pub version: u32,
    /// The model's file name.
    pub model: String,
    /// How it was cut.
    pub strategy: Strategy,
    /// Shards that the stages are meant for.
    pub shards: usize,
    /// What the whole model takes, in its order.
    pub inputs: Vec<TensorSpec>,
    /// What the whole model gives, in its order, and who gives it.
    pub outputs: Vec<Output>,
    /// The stages, each behind those that it depends on.
    pub stages: Vec<Stage>,
    /// The tensors that cross from one stage to others.
    pub flows: Vec<Flow>,
    /// The caches that stay with a stage from step to step.
    pub states: Vec<State>,
    /// Weights that more than one stage holds.
    pub shared: Vec<Shared>,
    /// Bytes of the weights that the model needs, each counted once. Those that no output depends on are left out.
    pub weight_bytes: u64,
    /// Bytes of weights that no output depends on, and that no part holds.
    pub unused_weight_bytes: u64,
    /// How often data has to change shards on the longest way from an input to an output.
    pub hops: usize,
    /// Bytes that change shards in one run, with the assumed sizes.
    pub transfer_bytes: u64,
    /// The sizes that were assumed for dimensions that the model leaves open.
    pub assumptions: Assumptions,
    /// What it would take on the workers that were given or assumed.
    pub estimate: Option<Estimate>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One sub-model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its number, from 0.
    pub index: usize,
    /// What it is, for people.
    pub label: String,
    /// The shard that hosts it, from 0.
    pub shard: usize,
    /// The worker that the planner chose, by its name, where it chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Its file.
    pub file: String,
    /// SHA-256 of that file in hexadecimal, once it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Files of weights beside it, once it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataFile>,
    /// Nodes, copies of constant ones included.
    pub nodes: usize,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// Floating-point operations of one run, estimated with the assumed sizes.
    pub work: u64,
    /// What it takes, caches included.
    pub inputs: Vec<TensorSpec>,
    /// What it gives, caches included.
    pub outputs: Vec<TensorSpec>,
    /// The stages that must be done first.
    pub depends_on: Vec<usize>,
}

/// A file of external weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its name, beside the sub-model.
    pub file: String,
    /// Its bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Who gives an output of the whole model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What it is.
    #[serde(flatten)]
    pub spec: TensorSpec,
    /// The stage that gives it; `None` where it is an input that is handed back.
    pub stage: Option<usize>,
}

/// A tensor that crosses a cut, under the name that it has in the whole model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// What it is.
    #[serde(flatten)]
    pub spec: TensorSpec,
    /// The stage that gives it.
    pub from: usize,
    /// The stages that take it.
    pub to: Vec<usize>,
    /// Its bytes with the assumed sizes; `None` where its shape is not known.
    pub bytes: Option<u64>,
}

/// A cache: an input whose value in the next step an output gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The input.
    pub past: Arc<str>,
    /// The output.
    pub present: Arc<str>,
    /// The dimension along which it grows with each step, where it does.
    pub axis: Option<usize>,
    /// The stage that holds it.
    pub stage: usize,
}

/// A weight that several stages hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Its name.
    pub name: Arc<str>,
    /// Its bytes, in each of them.
    pub bytes: u64,
    /// The stages.
    pub stages: Vec<usize>,
}

impl Plan {
    /// The stage that holds a cache, by the cache's input.
    #[must_use]
    pub fn state_of(&self, past: &str) -> Option<&State> {
        self.states.iter().find(|state| &*state.past == past)
    }

    /// The caches of a stage.
    pub fn states_of(&self, stage: usize) -> impl Iterator<Item = &State> {
        self.states.iter().filter(move |state| state.stage == stage)
    }
}
