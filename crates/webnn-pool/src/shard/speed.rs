//! How fast pages are, for the planner.

use std::collections::HashMap;

use parking_lot::Mutex;
use pool_core::Pool;
use sharding::{ModelFile, Plan, Request, RunMetrics, Strategy, WorkerSpec};
use vocab::{BrowserName, WorkerId};
use webnn_bridge::Page;

use super::options::ShardingOptions;
use crate::model::{Located, ModelSpec, ResolvedModel};

/// Floating-point operations a second that a page is taken to reach of which nothing is known. Only estimates in seconds
/// depend on it; how pages compare does not.
const ASSUMED_FLOPS: f64 = 2e9;

/// What components took on each page, in this process.
#[derive(Debug, Default)]
pub(super) struct Speeds(Mutex<HashMap<WorkerId, (f64, f64)>>);

impl Speeds {
    /// Takes note of a run: work in floating-point operations, time in seconds.
    pub(super) fn observe(&self, plan: &Plan, metrics: &RunMetrics) {
        let mut all = self.0.lock();
        for component in &metrics.components {
            let Some(stage) = plan.stages.get(component.stage) else { continue };
            let (work, seconds) = all.entry(WorkerId(component.worker)).or_default();
            *work += stage.work as f64;
            *seconds += component.compute_ms / 1e3;
        }
    }

    /// The pages that may be used, best first, each with its speed: as its components showed it, or else as runs of the
    /// whole model did, or else in the ratio that is expected. Where all of that is missing they are alike.
    pub(super) async fn workers(
        &self,
        pool: &Pool<Page>,
        place: &Located,
        options: &ShardingOptions,
        budget: u64,
    ) -> Vec<WorkerSpec> {
        if options.shard_type != Strategy::Optimal {
            return self.unknown(pool, options);
        }
        // A model that fits no page was run on none.
        let whole = ResolvedModel::read(ModelSpec::path(&place.onnx), budget).await.ok();
        let work = match &whole {
            Some(_) => work(place.onnx.clone()).await,
            None => None,
        };
        let Some(model) = whole.map(|whole| whole.model) else {
            return self.unknown(pool, options);
        };
        let prospects = pool.prospects(&model, &options.backends, &[]);
        self.0.lock().retain(|worker, _| prospects.iter().any(|prospect| prospect.worker == *worker));
        let measured = self.0.lock().clone();
        let spec = |prospect: pool_core::core::Prospect| {
            let own = measured.get(&prospect.worker).filter(|(_, seconds)| *seconds > 0.0);
            let whole = || Some(work? / (prospect.best.expected_ms? / 1e3));
            let flops_per_s = own.map(|(work, seconds)| work / seconds).or_else(whole);
            WorkerSpec {
                name: name_of(prospect.worker, prospect.info.browser),
                flops_per_s: flops_per_s.filter(|speed| speed.is_normal()).unwrap_or(ASSUMED_FLOPS),
                memory_bytes: prospect.free_bytes,
            }
        };
        prospects.into_iter().take(options.max_connections).map(spec).collect()
    }

    /// The pages, where no page can hold the whole model.
    fn unknown(&self, pool: &Pool<Page>, options: &ShardingOptions) -> Vec<WorkerSpec> {
        let measured = self.0.lock().clone();
        let stats = pool.stats();
        let specs = stats.core.workers.into_iter().map(|worker| {
            let own = measured.get(&worker.worker).filter(|(_, seconds)| *seconds > 0.0);
            WorkerSpec {
                name: name_of(worker.worker, worker.browser),
                flops_per_s: own.map_or(ASSUMED_FLOPS, |(work, seconds)| work / seconds),
                memory_bytes: worker.memory_budget_bytes,
            }
        });
        specs.take(options.max_connections).collect()
    }
}

/// How a page is called in plans.
pub(super) fn name_of(worker: WorkerId, browser: BrowserName) -> String {
    format!("{worker} {browser}")
}

/// The work of one run of a whole model, with the sizes that are assumed.
async fn work(onnx: std::path::PathBuf) -> Option<f64> {
    let whole = tokio::task::spawn_blocking(move || {
        let file = ModelFile::open(&onnx).ok()?;
        let whole = sharding::plan(&file, &Request::new(Strategy::Layer, 1)).ok()?;
        Some(whole.plan().stages.iter().map(|stage| stage.work as f64).sum())
    });
    whole.await.ok().flatten()
}
