//! How a model is to be sharded.

use std::time::Duration;

use sharding::Strategy;
use vocab::{Backend, ModelType};

/// How a model is to be sharded over the pages of an accelerator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShardingOptions {
    /// How many shards. At least 1.
    pub num_shards: usize,
    /// How the model is cut.
    pub shard_type: Strategy,
    /// What the model is for. Default: what its parts' labels and its name say.
    pub model_type: Option<ModelType>,
    /// How many pages may be used at most. Default: any number.
    pub max_connections: usize,
    /// The backends that may be used, best first, each where a page offers it. Default: what experience says is best on
    /// each page. WebNN, which builds a graph for each size, is left out for models with caches.
    pub backends: Vec<Backend>,
    /// Whether each part is also loaded on a second page, so that switching takes no load. Default: no.
    pub standby: bool,
    /// Sizes of dimensions that the model leaves open, by name, for estimates. Default: none.
    pub sizes: Vec<(String, u64)>,
    /// Requests that will be on their way at the same time, for estimates. Default 1.
    pub in_flight: u32,
    /// How long a whole run, or one step of a text, may take, repetitions included. Default 5 min.
    pub timeout: Duration,
    /// How long one attempt of one component may take, loading included where its page has lost it. Default 60 s.
    pub run_timeout: Duration,
    /// How long loading one part may take; at most as long as the pool's own
    /// [`load_timeout`](pool_core::PoolConfig::load_timeout) lets it. Default 120 s.
    pub load_timeout: Duration,
}

impl ShardingOptions {
    /// So many shards, cut like that, with defaults for everything else.
    #[must_use]
    pub const fn new(num_shards: usize, shard_type: Strategy) -> Self {
        Self {
            num_shards,
            shard_type,
            model_type: None,
            max_connections: usize::MAX,
            backends: Vec::new(),
            standby: false,
            sizes: Vec::new(),
            in_flight: 1,
            timeout: Duration::from_secs(300),
            run_timeout: Duration::from_secs(60),
            load_timeout: Duration::from_secs(120),
        }
    }
}
