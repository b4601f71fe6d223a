//! What the live page shows beyond the pool's own counts.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use perf_history::Source;
use perf_history::analysis::Affinity;
use service::{Affinities, AffinityRow, BackendDetail, Insight, ShardFlow, WorkerDetail};

use super::TextShards;
use super::engine::chain;
use super::flows::flow;
use crate::Accelerator;

/// An accelerator and the texts that are written over its shards.
pub(super) struct PoolInsight {
    accelerator: Weak<Accelerator>,
    texts: Weak<TextShards>,
}

impl PoolInsight {
    pub(super) fn new(accelerator: &Arc<Accelerator>, texts: &Arc<TextShards>) -> Self {
        Self { accelerator: Arc::downgrade(accelerator), texts: Arc::downgrade(texts) }
    }
}

#[async_trait]
impl Insight for PoolInsight {
    fn workers(&self) -> Vec<WorkerDetail> {
        let Some(accelerator) = self.accelerator.upgrade() else { return Vec::new() };
        let one = |(worker, page, resident): (_, webnn_bridge::Page, _)| {
            let backends = page.worker_info().backends.into_iter().map(|backend| BackendDetail {
                backend: backend.backend,
                device: backend.device_effective,
                adapter: backend.adapter,
                software: backend.software,
                threads: backend.threads,
            });
            let mut detail = WorkerDetail::new(worker, backends.collect());
            detail.resident_bytes = resident;
            detail
        };
        accelerator.serving().into_iter().map(one).collect()
    }

    fn flows(&self) -> Vec<ShardFlow> {
        let deployed = self.texts.upgrade().map(|texts| texts.deployed()).unwrap_or_default();
        deployed.iter().filter_map(|(name, manager)| flow(name, manager)).collect()
    }

    async fn affinities(&self) -> Result<Affinities, String> {
        let accelerator = self.accelerator.upgrade().ok_or_else(|| "the pool is shutting down".to_owned())?;
        let analysis = accelerator.analyze_performance_trends().await.map_err(|error| chain(&error))?;
        let row = |(model_type, affinity): (&&'static str, &Affinity)| AffinityRow {
            model_type: (*model_type).to_owned(),
            browser: affinity.optimal_browser,
            backend: affinity.optimal_backend,
            confidence: affinity.confidence,
            score: affinity.score,
            samples: affinity.samples,
            observed: affinity.source == Source::History,
        };
        let rows = analysis.model_type_affinities.iter().map(row).collect();
        Ok(Affinities { runs: analysis.history.runs, rows })
    }
}
