//! What a run took.

use serde::{Deserialize, Serialize};

/// What one run took, under the names that have always been used for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunMetrics {
    /// From the call to the answer, in milliseconds.
    pub inference_time_ms: f64,
    /// Stages of the plan.
    pub component_count: usize,
    /// Stages that gave what was wanted of them; all of them, where there is an answer.
    pub successful_components: usize,
    /// Each stage, in the plan's order.
    pub components: Vec<ComponentMetrics>,
}

/// What one stage took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentMetrics {
    /// The stage.
    pub stage: usize,
    /// The worker that gave the answer, by number.
    pub worker: u64,
    /// How often it was tried; 1 where nothing failed. Caches that were given back are not counted.
    pub attempts: u32,
    /// How often it left a worker for another one.
    pub moves: u32,
    /// How often its part was loaded for this run.
    pub loads: u32,
    /// What that took, in milliseconds.
    pub load_ms: f64,
    /// How often its caches were rebuilt for this run.
    pub rebuilds: u32,
    /// From when the run began until its inputs were there, in milliseconds.
    pub started_ms: f64,
    /// From then until it was done, failed attempts included, in milliseconds.
    pub took_ms: f64,
    /// What computing took on the worker, in milliseconds.
    pub compute_ms: f64,
    /// Bytes that it was sent.
    pub input_bytes: u64,
    /// Bytes that it sent.
    pub output_bytes: u64,
}
