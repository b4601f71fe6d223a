//! What to do, in sentences with figures.

use vocab::ModelType;

use super::AnalysisSettings;
use super::affinity::UNKNOWN;
use super::answer::{
    Affinity, AgainstRole, Gain, Recommendation, RecommendationKind, SpecificRecommendation,
};
use super::evidence::{Context, Evidence};
use super::ranking::{Ranked, gain, rank};
use super::regression::Regression;
use super::trend::{Measure, Trend};
use super::words;
use crate::Source;
use crate::stats::Direction;

/// How sure it must be that another arm is better for a model, before a change is recommended.
const SURE: f64 = 0.8;

/// What to do for a type of model.
pub(super) fn for_type(
    model_type: Option<ModelType>,
    affinity: &Affinity,
    ranked: &[Ranked],
    settings: &AnalysisSettings,
) -> Recommendation {
    let expected_gain = if affinity.source == Source::History { gain(ranked) } else { None };
    let name = model_type.map_or(UNKNOWN, ModelType::as_str);
    let recommendation = match &expected_gain {
        Some(gain) => sentence(&format!("{name} models"), affinity, gain, ranked),
        None if affinity.source == Source::History => format!(
            "Only {} has run {name} models often enough to judge ({} runs, {} of them successful): run the same models \
             on another browser or backend to compare.",
            words::arm(&affinity.optimal_arm),
            words::count(affinity.optimal.as_ref().map_or(0, |best| best.samples)),
            words::share(affinity.optimal.as_ref().map_or(0.0, |best| best.success_rate)),
        ),
        None => {
            let most = ranked.iter().map(|ranked| ranked.candidate.samples).max().unwrap_or(0);
            let so_far = if most == 0 {
                format!("No {name} model has run yet")
            } else {
                format!(
                    "No arm has run {name} models {} times yet; {most} is the most",
                    settings.sample_floor.max(1)
                )
            };
            format!(
                "{so_far}. That {} does best is an assumption, not a measurement: run the same model on two or more \
                 browsers or backends to replace it.",
                words::arm(&affinity.optimal_arm),
            )
        }
    };
    Recommendation {
        recommendation,
        optimal_browser: affinity.optimal_browser,
        optimal_backend: affinity.optimal_backend,
        expected_gain,
        confidence: affinity.confidence,
        samples: affinity.samples,
        source: affinity.source,
    }
}

fn sentence(what: &str, affinity: &Affinity, gain: &Gain, ranked: &[Ranked]) -> String {
    let verb = if gain.against_role == AgainstRole::MostUsed { "Run" } else { "Keep running" };
    let arms = ranked.iter().filter(|ranked| ranked.candidate.source == Source::History).count();
    format!(
        "{verb} {what} on {}: {}. It is the best of {arms} arms with a probability of {}, after {} runs.",
        words::arm(&affinity.optimal_arm),
        against(gain),
        words::sure(affinity.confidence),
        words::count(affinity.samples),
    )
}

/// What a gain consists of.
fn against(gain: &Gain) -> String {
    let latency = match (gain.latency_percent, gain.latency_percent_interval) {
        (Some(percent), Some(interval)) => format!(
            "{} latency (95 % interval {} to {})",
            words::percent(percent),
            words::percent(interval.low),
            words::percent(interval.high),
        ),
        _ => "latency not compared".to_owned(),
    };
    let success = match gain.success_points {
        points if points.abs() < 0.05 => "the same success rate".to_owned(),
        points => {
            let sign = if points < 0.0 { '−' } else { '+' };
            format!("{sign}{:.1} points of success", points.abs())
        }
    };
    let role = match gain.against_role {
        AgainstRole::MostUsed => "where most runs went",
        AgainstRole::SecondBest => "the next best",
    };
    format!("{latency} and {success} against {}, {role}", words::arm(&gain.against))
}

/// What to do about single models and arms.
pub(super) fn specific(
    evidence: &Evidence,
    regressions: &[Regression],
    trends: &[Trend],
    settings: &AnalysisSettings,
) -> Vec<SpecificRecommendation> {
    let mut all = Vec::new();
    let mut rest = &evidence.cells[..];
    while let Some(first) = rest.first() {
        let (cells, after) =
            rest.split_at(rest.iter().take_while(|cell| cell.context == first.context).count());
        rest = after;
        let context = &evidence.contexts[first.context];
        let ranked = rank(cells, &evidence.arms, context.model.model_type, settings);
        all.extend(switch(context, &ranked));
    }
    let lasting = regressions.iter().filter(|found| found.lasts && found.direction == Direction::Slower);
    all.extend(lasting.map(regression));
    all.extend(trends.iter().filter(|trend| trend.significant && trend.is_worse()).map(trend_of));
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    all.truncate(settings.most_listed);
    all.into_iter().map(|(_, recommendation)| recommendation).collect()
}

/// A recommendation with how much it matters: as a difference of logarithms of latency.
type Weighed = (f64, SpecificRecommendation);

fn switch(context: &Context, ranked: &[Ranked]) -> Option<Weighed> {
    let best = &ranked.first()?.candidate;
    let gain = gain(ranked)?;
    let worth_it = best.source == Source::History
        && best.probability_best >= SURE
        && gain.against_role == AgainstRole::MostUsed;
    if !worth_it {
        return None;
    }
    let recommendation = format!(
        "Run {} on {}: {}. It is the best of those that were tried with a probability of {}, after {} runs there.",
        words::workload(&context.model, &context.shape),
        words::arm(&best.arm),
        against(&gain),
        words::sure(best.probability_best),
        words::count(best.samples),
    );
    let latency = gain.latency_percent.map_or(0.0, |percent| -(percent / 100.0).max(-0.999).ln_1p());
    let weight = latency + 2.0 * gain.success_points / 100.0;
    Some((
        weight,
        SpecificRecommendation {
            kind: RecommendationKind::Switch,
            recommendation,
            model: context.model.clone(),
            shape: context.shape.clone(),
            arm: best.arm.clone(),
            confidence: best.probability_best,
            samples: best.samples,
            expected_gain: Some(gain),
        },
    ))
}

fn regression(found: &Regression) -> Weighed {
    let why = match &found.version_change {
        Some(change) => format!(
            "version {} followed {} then (first seen {}), so look there first",
            change.to,
            change.from,
            words::time(change.at)
        ),
        None => "no new version of the browser came then, so look at the machine and its load".to_owned(),
    };
    let recommendation = format!(
        "{} on {} has taken {} instead of {} ({}) since {}: {why}. {} runs before and {} after show it (adjusted p {}).",
        words::workload(&found.model, &found.shape),
        words::arm(&found.arm),
        words::ms(found.after_ms),
        words::ms(found.before_ms),
        words::percent(100.0 * (found.ratio - 1.0)),
        words::time(found.at),
        words::count(found.samples_before),
        words::count(found.samples_after),
        words::probability(found.q_value),
    );
    (
        found.ratio.ln(),
        SpecificRecommendation {
            kind: RecommendationKind::Regression,
            recommendation,
            model: found.model.clone(),
            shape: found.shape.clone(),
            arm: found.arm.clone(),
            expected_gain: None,
            confidence: (1.0 - found.q_value).clamp(0.0, 1.0),
            samples: found.samples_before.saturating_add(found.samples_after),
        },
    )
}

fn trend_of(trend: &Trend) -> Weighed {
    let what = match trend.measure {
        Measure::Latency => "becomes slower",
        Measure::SuccessRate => "succeeds less often",
    };
    let unit = match trend.measure {
        Measure::Latency => "a day",
        Measure::SuccessRate => "(points) a day",
    };
    let recommendation = format!(
        "{} on {} {what}: {} {unit} (95 % interval {} to {}), adjusted p {}, {} runs since {}. Look into it before it \
         is noticed elsewhere.",
        words::workload(&trend.model, &trend.shape),
        words::arm(&trend.arm),
        words::percent(trend.percent_per_day),
        words::percent(trend.interval.low),
        words::percent(trend.interval.high),
        words::probability(trend.q_value),
        words::count(trend.samples),
        words::date(trend.from),
    );
    // What it comes to in a month.
    let weight = 30.0 * trend.percent_per_day.abs() / 100.0;
    (
        weight,
        SpecificRecommendation {
            kind: RecommendationKind::Trend,
            recommendation,
            model: trend.model.clone(),
            shape: trend.shape.clone(),
            arm: trend.arm.clone(),
            expected_gain: None,
            confidence: (1.0 - trend.q_value).clamp(0.0, 1.0),
            samples: trend.samples,
        },
    )
}
