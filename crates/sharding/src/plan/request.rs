//! What is asked of the planner.

use serde::{Deserialize, Serialize};

use crate::strategies::Strategy;
use crate::types::Assumptions;

/// A worker as the planner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerSpec {
    /// Its name, for people.
    pub name: String,
    /// Floating-point operations a second that it was measured to reach on such models.
    pub flops_per_s: f64,
    /// Memory in bytes that it has for one shard.
    pub memory_bytes: u64,
}

/// What sending costs between two workers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Seconds that every message takes, whatever its size. Default 2 ms.
    pub latency_s: f64,
    /// Bytes a second on top of that. Default 200 MB/s.
    pub bytes_per_s: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency_s: 0.002, bytes_per_s: 200e6 }
    }
}

/// What to plan.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// How to cut.
    pub strategy: Strategy,
    /// On how many shards, at least 1.
    pub shards: usize,
    /// Sizes of dimensions that the model leaves open, for estimates.
    pub assumptions: Assumptions,
    /// The workers, for `optimal` and for estimates; empty where nothing was measured, then all are taken to be alike.
    pub workers: Vec<WorkerSpec>,
    /// What sending costs.
    pub link: Link,
    /// Requests that are on their way at the same time. Default 1.
    pub in_flight: u32,
    /// How many times its weights' bytes a worker needs to load a part. Default [`onnx_graph::LOAD_FACTOR`].
    pub memory_factor: u64,
}

impl Request {
    /// A request with defaults for everything else.
    #[must_use]
    pub fn new(strategy: Strategy, shards: usize) -> Self {
        Self {
            strategy,
            shards,
            assumptions: Assumptions::default(),
            workers: Vec::new(),
            link: Link::default(),
            in_flight: 1,
            memory_factor: onnx_graph::LOAD_FACTOR,
        }
    }
}
