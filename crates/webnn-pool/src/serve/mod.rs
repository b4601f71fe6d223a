//! An accelerator as what the protocols of `service` stand on.

mod engine;
mod flows;
mod generator;
mod guests;
mod insight;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use provision::find_plots;
use service::Parts;
use sharding::Strategy;

use crate::Accelerator;

pub(crate) use engine::PoolEngine;
pub use generator::TextShards;

/// How the texts of a model are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextShard {
    /// Over how many shards. Default 1.
    pub shards: usize,
    /// How the model is cut. Default: by layer.
    pub strategy: Strategy,
}

impl Default for TextShard {
    fn default() -> Self {
        Self { shards: 1, strategy: Strategy::Layer }
    }
}

impl Accelerator {
    /// What a [`Service`](service::Service) is made of: this pool, its models and its texts, and what its live page shows. `texts` says how models are
    /// sharded that write, by name; one that is not named is not cut.
    ///
    /// What is given out holds the pool, and this accelerator weakly.
    #[must_use]
    pub fn service_parts(self: &Arc<Self>, texts: BTreeMap<String, TextShard>) -> Parts {
        let shards = texts.iter().map(|(name, text)| (name.clone(), text.shards)).collect();
        let engine = Arc::new(PoolEngine::new(self, shards));
        let mut parts = Parts::new(Arc::clone(&engine) as _, engine);
        let texts = Arc::new(TextShards::new(self, texts));
        parts.generator = Some(Arc::clone(&texts) as _);
        parts.news = Arc::clone(self.news());
        parts.insight = Some(Arc::new(insight::PoolInsight::new(self, &texts)));
        parts.plots = find_plots(self.home());
        parts.report = Some(Arc::new(report::WholeReport::new(self)));
        parts.guests = self.join_url().map(|_| Arc::new(guests::Doorman::new(self)) as _);
        parts
    }
}
