//! A model that runs in shards, as the live page draws it.

use service::{FlowHop, FlowStage, ShardFlow};
use sharding::{Plan, Stage};

use crate::shard::{ComponentReport, ModelShardingManager, RecoveryAttempts, ShardingTotals};

/// What flows through a model's shards; `None` where none are deployed.
pub(super) fn flow(name: &str, manager: &ModelShardingManager) -> Option<ShardFlow> {
    let totals = manager.metrics();
    manager.look(|plan| drawn(name, plan, &totals))
}

fn drawn(name: &str, plan: &Plan, totals: &ShardingTotals) -> ShardFlow {
    let last = totals.last.as_ref();
    let report =
        |stage: &Stage| last.and_then(|last| last.components.iter().find(|one| one.component == stage.index));
    let mut flow = ShardFlow::new(name, plan.strategy.to_string());
    flow.stages = plan.stages.iter().map(|stage| stage_of(stage, report(stage))).collect();
    for stage in &plan.stages {
        let Some(report) = report(stage) else { continue };
        // What a stage was sent is measured as a whole, so there is one arrow to each, from the last stage that it waits for.
        let from = stage.depends_on.iter().max().copied();
        flow.hops.push(FlowHop { from, to: Some(stage.index), bytes: report.input_bytes });
        if plan.outputs.iter().any(|output| output.stage == Some(stage.index))
            && !is_needed(plan, stage.index)
        {
            flow.hops.push(FlowHop { from: Some(stage.index), to: None, bytes: report.output_bytes });
        }
    }
    let RecoveryAttempts { retry, browser_change, cache_rebuild } = totals.recovery_attempts;
    (flow.answers, flow.errors) = (totals.answers, totals.errors);
    flow.recovered = retry + browser_change + cache_rebuild;
    flow.last_ms = last.map(|last| last.inference_time_ms);
    flow
}

/// Whether another stage waits for this one.
fn is_needed(plan: &Plan, stage: usize) -> bool {
    plan.stages.iter().any(|other| other.depends_on.contains(&stage))
}

fn stage_of(stage: &Stage, report: Option<&ComponentReport>) -> FlowStage {
    FlowStage {
        stage: stage.index,
        label: stage.label.clone(),
        shard: stage.shard,
        weight_bytes: stage.weight_bytes,
        worker: report.map(|report| report.worker),
        browser: report.and_then(|report| report.browser),
        backend: report.and_then(|report| report.backend),
        run_ms: report.map_or(0.0, |report| report.run_ms),
        transfer_ms: report.map_or(0.0, |report| report.transfer_ms),
    }
}
