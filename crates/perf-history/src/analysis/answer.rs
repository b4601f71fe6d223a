//! What an analysis answers: the keys of its JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use vocab::{Backend, BrowserName};

use super::{BrowserPerformance, Regression, Timeline, Trends};
use crate::stats::Interval;
use crate::{Arm, ModelId, ShapeBucket, Source, UnixMillis};

/// What follows from a history. Every number in it is finite; what is not known is left out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Analysis {
    /// When it was made.
    pub generated_at: UnixMillis,
    /// What it was made from.
    pub history: Extent,
    /// What each browser was like, by its name.
    pub browser_performance: BTreeMap<&'static str, BrowserPerformance>,
    /// Which arm is best for a type of model, by the type's name; every type is there, and `unknown` where models of no
    /// known type were seen.
    pub model_type_affinities: BTreeMap<&'static str, Affinity>,
    /// What became gradually faster or slower, more or less reliable.
    pub trends: Trends,
    /// When what became slower or faster at once, the largest first.
    pub regressions: Vec<Regression>,
    /// What to do for a type of model, by the same names as the affinities.
    pub recommendations: BTreeMap<&'static str, Recommendation>,
    /// What to do about single models and arms, what gains most first.
    pub specific_recommendations: Vec<SpecificRecommendation>,
    /// The latencies of each model, shape and arm over time, to draw; they are not in the JSON.
    #[serde(skip)]
    pub timelines: Vec<Timeline>,
}

/// How much history an analysis was made from.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Extent {
    /// When the first hour or day began; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<UnixMillis>,
    /// When the last hour or day ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<UnixMillis>,
    /// The rows of hours and days.
    pub rollups: u64,
    /// The runs in them that say something about a browser.
    pub runs: u64,
    /// The combinations of a model, a shape and an arm.
    pub series: u64,
    /// The models.
    pub models: u64,
    /// The arms.
    pub arms: u64,
}

/// Which arm is best for a type of model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Affinity {
    /// The best arm's browser.
    pub optimal_browser: BrowserName,
    /// The best arm's backend.
    pub optimal_backend: Backend,
    /// The best arm in full.
    pub optimal_arm: Arc<Arm>,
    /// Its score, 0 to 1; absent where it rests on an assumption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// How probable it is, 0 to 1, that it is the best of those that were tried.
    pub confidence: f64,
    /// The runs on all arms that this rests on.
    pub samples: u64,
    /// What it rests on.
    pub source: Source,
    /// The other arms, best first.
    pub alternatives: Vec<Candidate>,
    /// The best arm's own figures; absent where it never ran such a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimal: Option<Candidate>,
}

/// One arm among those that are compared.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The arm.
    pub arm: Arc<Arm>,
    /// Its score, 0 to 1.
    pub score: f64,
    /// What the score rests on.
    pub source: Source,
    /// The runs that count for it.
    pub samples: u64,
    /// The share of them that succeeded, as if it had run the same models as the others.
    pub success_rate: f64,
    /// Its latency as a multiple of the best arm's on the same models and shapes.
    pub relative_latency: f64,
    /// The interval of that, 95 %.
    pub relative_latency_interval: Interval,
    /// Whether that was measured. Where an arm ran nothing that any other one ran, it is what is assumed.
    pub compared: bool,
    /// How probable it is, 0 to 1, that it is the best of them.
    pub probability_best: f64,
}

/// What to do for a type of model.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Recommendation {
    /// A sentence for people.
    pub recommendation: String,
    /// The browser to use.
    pub optimal_browser: BrowserName,
    /// The backend to use.
    pub optimal_backend: Backend,
    /// What that brings; absent where there is nothing to compare it with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_gain: Option<Gain>,
    /// How probable it is, 0 to 1, that this arm is the best of those that were tried.
    pub confidence: f64,
    /// The runs on all arms that this rests on.
    pub samples: u64,
    /// What it rests on.
    pub source: Source,
}

/// What one arm brings against another.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Gain {
    /// The other arm.
    pub against: Arc<Arm>,
    /// Why that one.
    pub against_role: AgainstRole,
    /// The change of latency in per cent: −43 is 43 % less. Absent where the two were not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_percent: Option<f64>,
    /// The interval of that, 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_percent_interval: Option<Interval>,
    /// The change of the success rate in percentage points.
    pub success_points: f64,
}

/// Why an arm is what a gain is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AgainstRole {
    /// Most runs went there.
    MostUsed,
    /// Most runs go to the best arm already; it is the next best.
    SecondBest,
}

/// What to do about one model or arm.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct SpecificRecommendation {
    /// What kind of thing to do.
    pub kind: RecommendationKind,
    /// A sentence for people.
    pub recommendation: String,
    /// The model that it is about.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// The arm that it is about: the one to use, or the one that changed.
    pub arm: Arc<Arm>,
    /// What it brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_gain: Option<Gain>,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// The runs that it rests on.
    pub samples: u64,
}

/// What kind of thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecommendationKind {
    /// Use another arm than the one that most runs went to.
    Switch,
    /// Look into a regression that has not gone away.
    Regression,
    /// Look into what becomes worse day by day.
    Trend,
}
