//! How fast pages are, for the planner.

use std::collections::HashMap;

use parking_lot::Mutex;
use pool_core::Pool;
use pool_core::core::{Prospect, Stance, WorkerStats};
use sharding::{ModelFile, Plan, Request, RunMetrics, Strategy, WorkerSpec};
use vocab::{BrowserName, WorkerId};
use webnn_bridge::Page;

use super::options::ShardingOptions;
use crate::model::{Located, ModelSpec, ResolvedModel};

/// Floating-point operations a second that pages are taken to reach where nothing is known of any. Only estimates in seconds
/// depend on it.
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

    /// The pages that may be used, each with its speed: as its components showed it, or else as runs of the whole model did,
    /// or else that of the others.
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
        let of = |prospect: &Prospect| {
            let whole = || Some(work? / (prospect.best.expected_ms? / 1e3));
            self.measured(prospect.worker).or_else(whole)
        };
        let known: Vec<(Prospect, Option<f64>)> = prospects
            .into_iter()
            .take(options.max_connections)
            .map(|prospect| {
                let speed = of(&prospect);
                (prospect, speed)
            })
            .collect();
        let usual = usual(known.iter().filter_map(|(_, speed)| *speed));
        let spec = |(prospect, speed): (Prospect, Option<f64>)| WorkerSpec {
            name: name_of(prospect.worker, prospect.info.browser),
            flops_per_s: speed.unwrap_or(usual),
            memory_bytes: prospect.free_bytes,
        };
        known.into_iter().map(spec).collect()
    }

    /// What a page's components showed.
    fn measured(&self, worker: WorkerId) -> Option<f64> {
        let (work, seconds) = *self.0.lock().get(&worker)?;
        Some(work / seconds).filter(|speed| speed.is_normal())
    }

    /// The pages, where no page can hold the whole model, or where their speed decides nothing.
    fn unknown(&self, pool: &Pool<Page>, options: &ShardingOptions) -> Vec<WorkerSpec> {
        let workers = pool.stats().core.workers;
        let serving = workers.into_iter().filter(|worker| worker.stance == Stance::Serving);
        let serving: Vec<_> = serving.take(options.max_connections).collect();
        let usual = usual(serving.iter().filter_map(|worker| self.measured(worker.worker)));
        let spec = |worker: WorkerStats| WorkerSpec {
            name: name_of(worker.worker, worker.browser),
            flops_per_s: self.measured(worker.worker).unwrap_or(usual),
            memory_bytes: worker.memory_budget_bytes,
        };
        serving.into_iter().map(spec).collect()
    }
}

/// What a page is taken to reach of which nothing is known: what others do, in the median.
fn usual(known: impl Iterator<Item = f64>) -> f64 {
    let mut known: Vec<f64> = known.collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len() / 2).copied().unwrap_or(ASSUMED_FLOPS)
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
