//! Which arm is best for a type of model.

use std::sync::Arc;

use vocab::{Backend, BrowserName, DeviceKind, ModelType};

use super::AnalysisSettings;
use super::answer::{Affinity, Candidate};
use super::evidence::Evidence;
use super::ranking::{Ranked, rank};
use crate::{Arm, Source, prior_latency_ratio};

/// The name of the type that models have of which it is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// The affinity of a type, and the ranking behind it.
pub(super) fn affinity(
    evidence: &Evidence,
    model_type: Option<ModelType>,
    settings: &AnalysisSettings,
) -> (Affinity, Vec<Ranked>) {
    let cells = evidence.of_type(model_type);
    let ranked = rank(&cells, &evidence.arms, model_type, settings);
    let samples = ranked.iter().map(|ranked| ranked.candidate.samples).fold(0, u64::saturating_add);
    let candidates = || ranked.iter().map(|ranked| &ranked.candidate);
    let best = candidates().next().filter(|best| best.source == Source::History).cloned();
    let others = |best: &Arm| -> Vec<Candidate> {
        candidates().filter(|other| *other.arm != *best).take(settings.most_listed).cloned().collect()
    };
    let affinity = match best {
        Some(best) => Affinity {
            optimal_browser: best.arm.browser,
            optimal_backend: best.arm.backend,
            optimal_arm: best.arm.clone(),
            score: Some(best.score),
            confidence: best.probability_best,
            samples,
            source: Source::History,
            alternatives: others(&best.arm),
            optimal: Some(best),
        },
        None => {
            let (arm, choices) = assumed(evidence, model_type);
            Affinity {
                optimal_browser: arm.browser,
                optimal_backend: arm.backend,
                score: None,
                // As probable as any other one, blindly chosen.
                confidence: 1.0 / choices as f64,
                samples,
                source: Source::Default,
                alternatives: others(&arm),
                optimal: candidates().find(|candidate| *candidate.arm == *arm).cloned(),
                optimal_arm: arm,
            }
        }
    };
    (affinity, ranked)
}

/// The arm that is assumed to be best, and out of how many: those in use, or else all that there could be.
fn assumed(evidence: &Evidence, model_type: Option<ModelType>) -> (Arc<Arm>, usize) {
    let possible = |browser: BrowserName, backend: Backend| Arm {
        browser,
        browser_version: "".into(),
        backend,
        device_requested: None,
        device_effective: if backend == Backend::WebGpu { DeviceKind::Gpu } else { DeviceKind::Cpu },
        adapter: None,
        threads: 0,
    };
    let mut choices = evidence.arms.clone();
    if choices.is_empty() {
        let of = |&browser| Backend::ALL.iter().map(move |&backend| Arc::new(possible(browser, backend)));
        choices.extend(BrowserName::ALL.iter().flat_map(of));
    }
    let ratio = |arm: &Arm| prior_latency_ratio(model_type, arm);
    let first = choices.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b)).then(a.cmp(b))).cloned();
    let first = first.unwrap_or_else(|| Arc::new(possible(BrowserName::Chromium, Backend::Wasm)));
    (first, choices.len().max(1))
}
