//! What is known in memory about every model on every arm, and which arm comes first.

use std::collections::HashMap;
use std::sync::Arc;

use vocab::{ModelHash, ModelType};

use crate::stats::{ArmStats, Change, Estimate, Memory, wilson};
use crate::{Arm, Observation, ScoreWeights, ShapeBucket, UnixMillis, prior_latency_ratio};

/// How experience is gathered and weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ExperienceSettings {
    /// What success and latency weigh. Default 70 % and 30 %.
    pub weights: ScoreWeights,
    /// How fast it is forgotten.
    pub memory: Memory,
    /// From how many samples on an arm is judged by its history and no longer by what is assumed. Default 3.
    pub sample_floor: u64,
    /// How many arms are remembered, over all models and shapes; those that were observed longest ago go first.
    /// Default 100 000.
    pub most_arms: usize,
}

impl Default for ExperienceSettings {
    fn default() -> Self {
        Self {
            weights: ScoreWeights::default(),
            memory: Memory::default(),
            sample_floor: 3,
            most_arms: 100_000,
        }
    }
}

/// What an arm's place in a ranking rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "the contract names these two")]
pub enum Source {
    /// On what was observed.
    History,
    /// On an assumption, because too little was observed.
    Default,
}

/// One row of the table that a decision is made from.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[allow(clippy::exhaustive_structs, reason = "a policy is tested with rows of its own making")]
pub struct Standing {
    /// The arm.
    pub arm: Arc<Arm>,
    /// Its score, 0 to 1.
    pub score: f64,
    /// What the score rests on.
    pub source: Source,
    /// What was observed; `None` where nothing was.
    pub estimate: Option<Estimate>,
    /// The latency that it is expected to have, in milliseconds; `None` where nothing is known about any of the arms.
    pub expected_ms: Option<f64>,
}

type Context = HashMap<Arc<Arm>, ArmStats>;

/// The statistics of every model, shape bucket and arm, in memory.
#[derive(Debug, Clone, Default)]
pub struct Experience {
    settings: ExperienceSettings,
    contexts: HashMap<ModelHash, HashMap<ShapeBucket, Context>>,
    arms: usize,
}

impl Experience {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(settings: ExperienceSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes note of what was observed, in the order in which it happened. Answers whether the arm's latency has changed
    /// lastingly.
    pub fn observe(&mut self, observation: &Observation) -> Option<Change> {
        if self.arms >= self.settings.most_arms {
            self.forget_a_tenth();
        }
        let shapes = self.contexts.entry(observation.model.hash).or_default();
        let context = shapes.entry(observation.shape.clone()).or_default();
        if !context.contains_key(&observation.arm) {
            context.insert(Arc::clone(&observation.arm), ArmStats::default());
            self.arms += 1;
        }
        context.get_mut(&observation.arm)?.observe(observation, &self.settings.memory)
    }

    /// How many arms are known, over all models and shapes.
    #[must_use]
    pub fn arms(&self) -> usize {
        self.arms
    }

    /// What is known about one arm.
    #[must_use]
    pub fn stats(&self, model: ModelHash, shape: &ShapeBucket, arm: &Arm) -> Option<&ArmStats> {
        self.contexts.get(&model)?.get(shape)?.get(arm)
    }

    /// The arms that computed a model, for each shape of its inputs.
    pub fn shapes(&self, model: ModelHash) -> impl Iterator<Item = (&ShapeBucket, Vec<Arc<Arm>>)> {
        let shapes = self.contexts.get(&model).into_iter().flatten();
        shapes.map(|(shape, context)| (shape, context.keys().cloned().collect()))
    }

    /// The arms that could compute a model, best first: the table that a decision is made from.
    ///
    /// An arm with fewer samples than the floor counts as one that succeeded once in one run, with the latency that is
    /// assumed for it ([`prior_latency_ratio`]), in the measure of those that were observed, or with its own where it has
    /// one. Equal scores keep the order
    /// of `arms`.
    #[must_use]
    pub fn rank(
        &self,
        model: ModelHash,
        shape: &ShapeBucket,
        model_type: Option<ModelType>,
        arms: &[Arc<Arm>],
        now: UnixMillis,
    ) -> Vec<Standing> {
        let weights = self.settings.weights;
        let context = self.contexts.get(&model).and_then(|shapes| shapes.get(shape));
        let mut rows: Vec<Standing> = arms
            .iter()
            .map(|arm| {
                let stats = context.and_then(|context| context.get(arm));
                let estimate = stats
                    .map(|stats| stats.estimate(now, weights.z(), &self.settings.memory))
                    .filter(|estimate| estimate.samples > 0);
                let enough = estimate.is_some_and(|estimate| {
                    // An arm that has only ever failed has no latency, and history all the same.
                    estimate.samples >= self.settings.sample_floor
                        && (estimate.latency_ms.is_some() || estimate.success_rate == 0.0)
                });
                let source = if enough { Source::History } else { Source::Default };
                Standing { arm: Arc::clone(arm), score: 0.0, source, estimate, expected_ms: None }
            })
            .collect();
        // One unit of the assumed latencies in milliseconds, as the observed arms show it: their geometric mean.
        let mut units = (0.0, 0.0);
        for row in &rows {
            if let Some(ms) = row.estimate.and_then(|estimate| estimate.latency_ms) {
                units.0 += (ms / prior_latency_ratio(model_type, &row.arm)).max(1e-9).ln();
                units.1 += 1.0;
            }
        }
        let unit = (units.1 > 0.0).then(|| (units.0 / units.1).exp());
        let latency = |row: &Standing| match (row.source, row.estimate) {
            (Source::History, Some(estimate)) => estimate.latency_ms,
            // One warm run says more about latency than an assumption does.
            (Source::Default, Some(Estimate { latency_ms: Some(ms), .. })) => Some(ms),
            _ => Some(prior_latency_ratio(model_type, &row.arm) * unit.unwrap_or(1.0)),
        };
        let best = rows.iter().filter_map(latency).fold(f64::INFINITY, f64::min);
        let assumed = wilson(1.0, 1.0, weights.z()).low;
        for row in &mut rows {
            let ms = latency(row);
            let success = match (row.source, row.estimate) {
                (Source::History, Some(estimate)) => estimate.success.low,
                // What little was seen can only lower what is assumed.
                (_, Some(estimate)) if estimate.success_rate < 0.5 => assumed * estimate.success_rate,
                _ => assumed,
            };
            row.score = match ms {
                Some(ms) => weights.score(success, ms, best),
                None => weights.score(success, f64::INFINITY, 0.0),
            };
            row.expected_ms = ms.filter(|_| unit.is_some() || row.source == Source::History);
        }
        rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        rows
    }

    /// Makes room by dropping what was observed longest ago.
    fn forget_a_tenth(&mut self) {
        let all = self.contexts.values().flat_map(HashMap::values).flat_map(HashMap::values);
        let mut times: Vec<_> = all.map(ArmStats::last).collect();
        let tenth = (times.len() / 10).min(times.len().saturating_sub(1));
        if times.is_empty() {
            return;
        }
        let (_, &mut limit, _) = times.select_nth_unstable(tenth);
        self.arms = 0;
        for shapes in self.contexts.values_mut() {
            for context in shapes.values_mut() {
                context.retain(|_, stats| stats.last() > limit);
                self.arms += context.len();
            }
            shapes.retain(|_, context| !context.is_empty());
        }
        self.contexts.retain(|_, shapes| !shapes.is_empty());
    }
}
