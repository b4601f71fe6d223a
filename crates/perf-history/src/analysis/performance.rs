//! What each browser was like, without any judgement.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::AnalysisSettings;
use super::affinity::UNKNOWN;
use super::collect::Series;
use super::evidence::Evidence;
use super::ranking::rank;
use crate::stats::{Interval, LatencySketch, wilson};
use crate::{Arm, ModelId, ShapeBucket};
use vocab::ModelType;

/// What one browser was like, in all its versions.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct BrowserPerformance {
    /// All of its runs.
    pub samples: u64,
    /// Its arms: versions, backends and devices.
    pub arms: Vec<ArmPerformance>,
}

/// What one arm was like.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ArmPerformance {
    /// The arm.
    pub arm: Arc<Arm>,
    /// By the type of the model. Latencies of one type are those of whatever models ran: two arms are to be compared by
    /// `relative_latency`, not by these.
    pub model_types: BTreeMap<&'static str, Performance>,
    /// By model and shape.
    pub models: Vec<ModelPerformance>,
}

/// What one arm was like with one model and shape.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ModelPerformance {
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// What it was like.
    #[serde(flatten)]
    pub performance: Performance,
}

/// How often something worked and how long it took.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Performance {
    /// Runs that say something about the browser.
    pub samples: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those of them that gave wrong numbers.
    pub wrong: u64,
    /// Those of them that lost their worker.
    pub vanished: u64,
    /// Those of them that took too long.
    pub timed_out: u64,
    /// Those of them that ran out of memory.
    pub out_of_memory: u64,
    /// The share that succeeded; absent without runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// Wilson's interval of it, 95 %.
    pub success_rate_interval: Interval,
    /// The latencies of warm runs that succeeded; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySummary>,
    /// Its recent latency as a multiple of the best arm's on the same models and shapes; absent where nothing else ran
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_latency: Option<f64>,
    /// Loads that succeeded.
    pub loads_ok: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// Recoveries that succeeded.
    pub recoveries_ok: u64,
    /// Recoveries that failed.
    pub recoveries_failed: u64,
}

/// Quantiles of latencies in milliseconds, to about 2.5 %.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct LatencySummary {
    /// How many there are.
    pub samples: u64,
    /// Half of them are below it.
    pub p50_ms: f64,
    /// 95 of 100 are below it.
    pub p95_ms: f64,
    /// 99 of 100 are below it.
    pub p99_ms: f64,
}

impl Performance {
    fn of<'a>(all: impl Iterator<Item = &'a Series> + Clone) -> Self {
        let sum = |what: fn(&crate::Totals) -> u64| {
            all.clone().map(|series| what(&series.totals)).fold(0, u64::saturating_add)
        };
        let (ok, failed) = (sum(|totals| totals.ok), sum(|totals| totals.failed));
        let samples = ok.saturating_add(failed);
        let mut sketch = LatencySketch::default();
        all.clone().flat_map(|series| &series.days).for_each(|(_, day)| sketch.merge(day));
        let quantile = |q: f64| sketch.quantile(q).filter(|ms| ms.is_finite());
        let latency = || {
            Some(LatencySummary {
                samples: sum(|totals| totals.latencies),
                p50_ms: quantile(0.5)?,
                p95_ms: quantile(0.95)?,
                p99_ms: quantile(0.99)?,
            })
        };
        Self {
            samples,
            failed,
            wrong: sum(|totals| totals.wrong),
            vanished: sum(|totals| totals.vanished),
            timed_out: sum(|totals| totals.timed_out),
            out_of_memory: sum(|totals| totals.out_of_memory),
            success_rate: (samples > 0).then(|| ok as f64 / samples as f64),
            success_rate_interval: wilson(ok as f64, samples as f64, 1.96),
            latency: latency(),
            relative_latency: None,
            loads_ok: sum(|totals| totals.loads_ok),
            loads_failed: sum(|totals| totals.loads_failed),
            recoveries_ok: sum(|totals| totals.recoveries_ok),
            recoveries_failed: sum(|totals| totals.recoveries_failed),
        }
    }
}

/// What every browser was like, by its name.
pub(super) fn browsers(
    series: &[Series],
    evidence: &Evidence,
    settings: &AnalysisSettings,
) -> BTreeMap<&'static str, BrowserPerformance> {
    let mut by_arm: BTreeMap<&Arc<Arm>, Vec<&Series>> = BTreeMap::new();
    for series in series {
        by_arm.entry(&series.arm).or_default().push(series);
    }
    let mut relative: BTreeMap<(Option<ModelType>, Arc<Arm>), f64> = BTreeMap::new();
    for model_type in types() {
        let ranked = rank(&evidence.of_type(model_type), &evidence.arms, model_type, settings);
        for candidate in
            ranked.into_iter().map(|ranked| ranked.candidate).filter(|candidate| candidate.compared)
        {
            relative.insert((model_type, candidate.arm), candidate.relative_latency);
        }
    }
    let mut browsers: BTreeMap<&'static str, BrowserPerformance> = BTreeMap::new();
    for (arm, all) in by_arm {
        let mut model_types = BTreeMap::new();
        for model_type in types() {
            let of_type = all.iter().copied().filter(|series| series.model.model_type == model_type);
            if of_type.clone().next().is_none() {
                continue;
            }
            let mut performance = Performance::of(of_type);
            performance.relative_latency = relative.get(&(model_type, arm.clone())).copied();
            model_types.insert(model_type.map_or(UNKNOWN, ModelType::as_str), performance);
        }
        let models = all.iter().map(|series| ModelPerformance {
            model: series.model.clone(),
            shape: series.shape.clone(),
            performance: Performance::of(std::iter::once(*series)),
        });
        let models: Vec<ModelPerformance> = models.collect();
        let browser = browsers.entry(arm.browser.as_str()).or_default();
        let samples = models.iter().map(|model| model.performance.samples).fold(0, u64::saturating_add);
        browser.samples = browser.samples.saturating_add(samples);
        browser.arms.push(ArmPerformance { arm: arm.clone(), model_types, models });
    }
    browsers
}

/// Every type of model, and none.
pub(super) fn types() -> impl Iterator<Item = Option<ModelType>> {
    ModelType::ALL.iter().copied().map(Some).chain([None])
}
