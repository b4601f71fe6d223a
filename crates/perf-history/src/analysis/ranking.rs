//! Arms in order, and how probable it is that the first one is the best.

use std::sync::Arc;

use vocab::ModelType;

use super::AnalysisSettings;
use super::answer::{AgainstRole, Candidate, Gain};
use super::compare::{Level, levels, success_rates};
use super::evidence::Cell;
use crate::stats::normal_below;
use crate::stats::{Interval, wilson};
use crate::{Arm, Source, prior_latency_ratio};

/// How many standard errors make an interval of 95 %.
const Z: f64 = 1.96;

/// The relative error of what is only assumed about an arm's latency.
const ASSUMED_ERROR: f64 = 0.5;

/// One arm with all that its place rests on.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    pub(super) candidate: Candidate,
    level: Level,
}

/// The arms that the cells are about, best first; those with too few runs are last.
pub(super) fn rank(
    cells: &[Cell],
    arms: &[Arc<Arm>],
    model_type: Option<ModelType>,
    settings: &AnalysisSettings,
) -> Vec<Ranked> {
    let levels = levels(cells, arms.len());
    let rates = success_rates(cells, arms.len());
    let level_of = with_assumptions(&levels, arms, model_type);
    let seen: Vec<usize> = (0..arms.len()).filter(|&arm| rates[arm].1 > 0.0).collect();
    let enough = |arm: usize| rates[arm].1 >= settings.sample_floor.max(1) as f64;
    let judged = || seen.iter().copied().filter(|&arm| enough(arm));
    let best = judged().map(|arm| level_of(arm).ln).fold(f64::INFINITY, f64::min);
    // With nobody to compare with, everybody is a multiple of himself.
    let best = if best.is_finite() {
        best
    } else {
        seen.iter().map(|&arm| level_of(arm).ln).fold(f64::INFINITY, f64::min)
    };
    let mut ranked: Vec<Ranked> = seen
        .iter()
        .map(|&arm| {
            let ((rate, runs), level) = (rates[arm], level_of(arm));
            let times = |z: f64| (level.ln - best + z * level.error).clamp(-50.0, 50.0).exp();
            let low = wilson(rate * runs, runs, settings.weights.z()).low;
            let candidate = Candidate {
                arm: arms[arm].clone(),
                score: settings.weights.score(low, times(0.0), 1.0).clamp(0.0, 1.0),
                source: if enough(arm) { Source::History } else { Source::Default },
                samples: runs as u64,
                success_rate: rate,
                relative_latency: times(0.0),
                relative_latency_interval: Interval { low: times(-Z), high: times(Z) },
                compared: levels[arm].is_some(),
                probability_best: 0.0,
            };
            Ranked { candidate, level }
        })
        .collect();
    ranked.sort_by(|a, b| {
        let key = |ranked: &Ranked| ranked.candidate.source == Source::Default;
        key(a)
            .cmp(&key(b))
            .then(b.candidate.score.total_cmp(&a.candidate.score))
            .then(a.candidate.arm.cmp(&b.candidate.arm))
    });
    let count = ranked.iter().filter(|ranked| ranked.candidate.source == Source::History).count();
    let probabilities = probabilities(&ranked[..count], settings);
    for (ranked, probability) in ranked.iter_mut().zip(probabilities) {
        ranked.candidate.probability_best = probability;
    }
    ranked
}

/// The levels, and for arms that were not compared what is assumed, in the measure of those that were.
fn with_assumptions(
    levels: &[Option<Level>],
    arms: &[Arc<Arm>],
    model_type: Option<ModelType>,
) -> impl Fn(usize) -> Level {
    let assumed: Vec<f64> = arms.iter().map(|arm| prior_latency_ratio(model_type, arm).ln()).collect();
    let known = levels.iter().zip(&assumed).filter_map(|(level, assumed)| Some(level.as_ref()?.ln - assumed));
    let (sum, count) = known.fold((0.0, 0.0), |(sum, count), ln| (sum + ln, count + 1.0));
    let unit = if count > 0.0 { sum / count } else { 0.0 };
    move |arm| levels[arm].unwrap_or(Level { ln: assumed[arm] + unit, error: ASSUMED_ERROR })
}

/// For each arm, how probable it is that its true score is the highest: the scores are taken as normal and independent.
///
/// ∫ φ((x − s) ⁄ σ) ⁄ σ · Π Φ((x − s′) ⁄ σ′) dx over the other arms s′, by the trapezoidal rule over ±6 σ. One arm alone
/// is the best or it is not: ½.
fn probabilities(ranked: &[Ranked], settings: &AnalysisSettings) -> Vec<f64> {
    const STEPS: i32 = 120;
    if ranked.len() < 2 {
        return vec![0.5; ranked.len()];
    }
    let weights = settings.weights;
    let (of_success, of_latency) = (weights.score(1.0, f64::INFINITY, 0.0), weights.score(0.0, 1.0, 1.0));
    let scores: Vec<(f64, f64)> = ranked
        .iter()
        .map(|Ranked { candidate, level }| {
            let relative = (1.0 / candidate.relative_latency).min(1.0);
            let mean = weights.score(candidate.success_rate, candidate.relative_latency, 1.0);
            // Agresti and Coull, "Approximate is better than exact", 1998: two successes and two failures more.
            let n = candidate.samples as f64 + 4.0;
            let rate = (candidate.success_rate * candidate.samples as f64 + 2.0) / n;
            let success = of_success * (rate * (1.0 - rate) / n).sqrt();
            let latency = of_latency * relative * level.error.min(1.0);
            (mean, success.hypot(latency).max(1e-9))
        })
        .collect();
    let of = |at: usize| {
        let (mean, sigma) = scores[at];
        let others =
            || scores.iter().enumerate().filter(move |&(other, _)| other != at).map(|(_, score)| score);
        // Whoever is far below takes no probability away, and nobody can be best where one is far above.
        let near = |&&(other, spread): &&(f64, f64)| mean - other < 8.0 * sigma.hypot(spread);
        if others().any(|&(other, spread)| other - mean > 8.0 * sigma.hypot(spread)) {
            return 0.0;
        }
        let rivals: Vec<_> = others().filter(near).collect();
        if rivals.is_empty() {
            return 1.0;
        }
        let step = 12.0 / f64::from(STEPS);
        let at = |i: i32| {
            let z = f64::from(i) * step - 6.0;
            let x = mean + z * sigma;
            let above: f64 =
                rivals.iter().map(|&&(other, spread)| normal_below((x - other) / spread)).product();
            (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt() * above
        };
        ((0..=STEPS).map(at).sum::<f64>() * step).clamp(0.0, 1.0)
    };
    (0..ranked.len()).map(of).collect()
}

/// What the best arm brings: against the one that most runs went to, or against the next best where that is itself.
pub(super) fn gain(ranked: &[Ranked]) -> Option<Gain> {
    let best = ranked.first()?;
    let most = ranked.iter().rev().max_by_key(|ranked| ranked.candidate.samples)?;
    let (other, against_role) = if most.candidate.arm == best.candidate.arm {
        (ranked.get(1).filter(|next| next.candidate.source == Source::History)?, AgainstRole::SecondBest)
    } else {
        (most, AgainstRole::MostUsed)
    };
    let compared = best.candidate.compared && other.candidate.compared;
    let (ln, error) = (best.level.ln - other.level.ln, best.level.error.hypot(other.level.error));
    let percent = |z: f64| 100.0 * (ln + z * error).clamp(-50.0, 50.0).exp_m1();
    Some(Gain {
        against: other.candidate.arm.clone(),
        against_role,
        latency_percent: compared.then(|| percent(0.0)),
        latency_percent_interval: compared.then(|| Interval { low: percent(-Z), high: percent(Z) }),
        success_points: 100.0 * (best.candidate.success_rate - other.candidate.success_rate),
    })
}
