//! What sharded runs took, under the names that have always been used for it.

use serde::Serialize;
use sharding::{ComponentMetrics, Plan, RunMetrics};
use tensor::NamedTensor;
use vocab::{Backend, BrowserName, DeviceKind, WorkerId};

use super::host::PageHost;

/// An answer, and what it took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShardedOutcome {
    /// Every output of the whole model, in its order.
    pub outputs: Vec<NamedTensor>,
    /// What it took.
    pub metrics: ShardedMetrics,
}

/// What one run took. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShardedMetrics {
    /// From the call to the answer.
    pub inference_time_ms: f64,
    /// Components of the plan.
    pub component_count: usize,
    /// Components that gave what was wanted of them; all of them, since there is an answer.
    pub successful_components: usize,
    /// Components of which at least one attempt failed. They were recovered, since there is an answer.
    pub failed_components: usize,
    /// What was done about failures.
    pub recovery_attempts: RecoveryAttempts,
    /// Each component, in the plan's order.
    pub components: Vec<ComponentReport>,
}

/// What was done about failures, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecoveryAttempts {
    /// The same component once more where it was.
    pub retry: u64,
    /// Another browser for it.
    pub browser_change: u64,
    /// Its caches computed again from what it had taken before.
    pub cache_rebuild: u64,
}

/// What one component took. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComponentReport {
    /// Its number.
    pub component: usize,
    /// What it is.
    pub label: String,
    /// Its shard.
    pub shard: usize,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// The page that gave the answer.
    pub worker: WorkerId,
    /// That page's browser.
    pub browser: Option<BrowserName>,
    /// The browser's version.
    pub browser_version: Option<String>,
    /// The backend that computed it.
    pub backend: Option<Backend>,
    /// The device that it was computed on.
    pub device_effective: Option<DeviceKind>,
    /// How often it was tried; 1 where nothing failed.
    pub attempts: u32,
    /// How often it left a page for another one.
    pub browser_changes: u32,
    /// How often its caches were computed again.
    pub cache_rebuilds: u32,
    /// From when the run began until its inputs were there.
    pub started_ms: f64,
    /// From then until it was done, failed attempts included.
    pub total_ms: f64,
    /// Loading its part, where this run had to.
    pub load_ms: f64,
    /// Computing, as the page measured it.
    pub run_ms: f64,
    /// All the rest of the attempt that gave the answer: the queue and the way there and back. Where attempts failed it
    /// holds these as well.
    pub transfer_ms: f64,
    /// Bytes that it was sent.
    pub input_bytes: u64,
    /// Bytes that it sent.
    pub output_bytes: u64,
}

impl ComponentReport {
    /// Where it was computed, for people, such as `w3 firefox/wasm`; `None` where that is not known any more.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        Some(format!("{} {}/{}", self.worker, self.browser?, self.backend?))
    }
}

impl ShardedMetrics {
    pub(super) fn of(metrics: &RunMetrics, plan: &Plan, host: &PageHost) -> Self {
        let mut recovery_attempts = RecoveryAttempts::default();
        for component in &metrics.components {
            let ComponentMetrics { attempts, moves, rebuilds, .. } = *component;
            recovery_attempts.retry += u64::from(attempts.saturating_sub(1).saturating_sub(moves));
            recovery_attempts.browser_change += u64::from(moves);
            recovery_attempts.cache_rebuild += u64::from(rebuilds);
        }
        Self {
            inference_time_ms: metrics.inference_time_ms,
            component_count: metrics.component_count,
            successful_components: metrics.successful_components,
            failed_components: metrics.components.iter().filter(|component| component.attempts > 1).count(),
            recovery_attempts,
            components: metrics.components.iter().map(|component| report(component, plan, host)).collect(),
        }
    }
}

fn report(component: &ComponentMetrics, plan: &Plan, host: &PageHost) -> ComponentReport {
    let worker = WorkerId(component.worker);
    let stage = plan.stages.get(component.stage);
    let run = host.report(component.stage, worker);
    ComponentReport {
        component: component.stage,
        label: stage.map(|stage| stage.label.clone()).unwrap_or_default(),
        shard: stage.map_or(0, |stage| stage.shard),
        weight_bytes: stage.map_or(0, |stage| stage.weight_bytes),
        worker,
        browser: run.as_ref().map(|run| run.browser),
        browser_version: run.as_ref().map(|run| run.browser_version.to_string()),
        backend: run.as_ref().map(|run| run.backend),
        device_effective: run.as_ref().map(|run| run.device_effective.clone()),
        attempts: component.attempts,
        browser_changes: component.moves,
        cache_rebuilds: component.rebuilds,
        started_ms: component.started_ms,
        total_ms: component.took_ms,
        load_ms: component.load_ms,
        run_ms: component.compute_ms,
        transfer_ms: (component.took_ms - component.load_ms - component.compute_ms).max(0.0),
        input_bytes: component.input_bytes,
        output_bytes: component.output_bytes,
    }
}

/// What a manager has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShardingTotals {
    /// Components of the plan; 0 before there is one.
    pub component_count: usize,
    /// Runs and steps that gave an answer.
    pub answers: u64,
    /// Runs and steps that gave an error.
    pub errors: u64,
    /// Parts that were loaded.
    pub loads: u64,
    /// What was done about failures, in runs that gave an answer.
    pub recovery_attempts: RecoveryAttempts,
    /// The latest run that gave an answer.
    pub last: Option<ShardedMetrics>,
}
