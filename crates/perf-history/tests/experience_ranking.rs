//! Which arm comes first, before and after there is evidence.

use std::sync::Arc;

use perf_history::{
    Arm, Experience, ExperienceSettings, ModelId, Observation, Operation, Outcome, ShapeBucket, Source,
    UnixMillis,
};
use proptest::prelude::*;
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, ModelType, WorkerId};

const MODEL: ModelHash = ModelHash([7; 32]);

fn arm(browser: BrowserName, backend: Backend) -> Arc<Arm> {
    Arc::new(Arm {
        browser,
        browser_version: "1".into(),
        backend,
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        threads: 2,
    })
}

fn run(at: i64, shape: &str, arm: &Arc<Arm>, outcome: Outcome, ms: f64) -> Observation {
    let model = ModelId {
        hash: MODEL,
        name: "m".into(),
        version: "".into(),
        model_type: Some(ModelType::TextEmbedding),
        precision: "FP32".into(),
    };
    Observation {
        at: UnixMillis(at),
        model: Arc::new(model),
        shape: shape.into(),
        arm: Arc::clone(arm),
        worker: WorkerId(1),
        operation: Operation::Run,
        outcome,
        warm: true,
        load_ms: None,
        queue_ms: None,
        in_page_ms: Some(ms),
        service_ms: None,
        total_ms: None,
        bytes_in: None,
        bytes_out: None,
        memory_bytes: None,
    }
}

fn arms() -> [Arc<Arm>; 3] {
    [
        arm(BrowserName::Chromium, Backend::WebGpu),
        arm(BrowserName::Firefox, Backend::Wasm),
        arm(BrowserName::ChromiumHeadlessShell, Backend::WebNn),
    ]
}

/// The best arm for a shape, and what that rests on.
fn first(experience: &Experience, shape: &str, now: i64) -> (Arc<Arm>, Source) {
    let shape = ShapeBucket::from(shape);
    let rows = experience.rank(MODEL, &shape, Some(ModelType::TextEmbedding), &arms(), UnixMillis(now));
    (Arc::clone(&rows[0].arm), rows[0].source)
}

#[test]
fn without_evidence_the_assumptions_decide_and_say_so() {
    let experience = Experience::default();
    let [software_gpu, _, webnn] = arms();
    let shape = ShapeBucket::default();
    let rows = experience.rank(MODEL, &shape, Some(ModelType::TextEmbedding), &arms(), UnixMillis(0));
    assert_eq!(rows[0].arm, webnn);
    assert_eq!(rows[2].arm, software_gpu, "a software adapter comes last");
    assert!(rows.iter().all(|row| row.source == Source::Default && row.expected_ms.is_none()));
}

#[test]
fn each_shape_has_its_own_best_arm() {
    let [_, wasm, webnn] = arms();
    let mut experience = Experience::default();
    for at in 0..10 {
        // As it was measured with MiniLM: WebNN wins at 128 tokens and loses at 16.
        for (shape, arm, ms) in
            [("s=128", &webnn, 37.0), ("s=128", &wasm, 51.0), ("s=16", &webnn, 19.0), ("s=16", &wasm, 7.0)]
        {
            experience.observe(&run(at, shape, arm, Outcome::Ok, ms));
        }
    }
    assert_eq!(first(&experience, "s=128", 10), (webnn, Source::History));
    assert_eq!(first(&experience, "s=16", 10), (wasm, Source::History));
}

#[test]
fn a_leader_that_slows_down_loses_its_place_and_gets_it_back() {
    let [_, wasm, webnn] = arms();
    let mut experience = Experience::default();
    let mut at = 0;
    let mut observe = |experience: &mut Experience, arm: &Arc<Arm>, ms: f64| {
        at += 100;
        experience.observe(&run(at, "", arm, Outcome::Ok, ms))
    };
    for _ in 0..40 {
        observe(&mut experience, &webnn, 37.0);
        observe(&mut experience, &wasm, 51.0);
    }
    let slower = (1..=30).find(|_| observe(&mut experience, &webnn, 150.0).is_some());
    assert!(slower.is_some_and(|runs| runs <= 3), "{slower:?}");
    assert_eq!(first(&experience, "", 20_000).0, wasm);
    let faster = (1..=60).find(|_| {
        observe(&mut experience, &webnn, 37.0);
        first(&experience, "", 20_000).0 == webnn
    });
    assert!(faster.is_some_and(|runs| runs <= 10), "{faster:?}");
}

#[test]
fn an_arm_that_only_fails_comes_after_those_of_which_nothing_is_known() {
    let [software_gpu, wasm, webnn] = arms();
    let mut experience = Experience::default();
    for at in 0..5 {
        experience.observe(&run(at, "", &webnn, Outcome::WorkerVanished, 0.0));
    }
    let rows = experience.rank(MODEL, &ShapeBucket::default(), None, &arms(), UnixMillis(5));
    let order: Vec<_> = rows.iter().map(|row| Arc::clone(&row.arm)).collect();
    assert_eq!(order, [wasm, software_gpu, webnn]);
}

#[test]
fn what_was_observed_longest_ago_is_forgotten_first() {
    let mut settings = ExperienceSettings::default();
    settings.most_arms = 100;
    let mut experience = Experience::new(settings);
    let [arm, ..] = arms();
    for at in 0..1_000 {
        experience.observe(&run(at, &format!("s={at}"), &arm, Outcome::Ok, 1.0));
        assert!(experience.arms() <= 100);
    }
    assert!(experience.stats(MODEL, &"s=999".into(), &arm).is_some());
    assert!(experience.stats(MODEL, &"s=0".into(), &arm).is_none());
}

proptest! {
    /// Whatever was observed, every arm is in the table once, the scores fall, and all numbers are numbers.
    #[test]
    fn a_ranking_is_whole(runs in prop::collection::vec((0_usize..3, any::<bool>(), 0.0..1e7_f64, 0_i64..10_000_000_000), 0..200)) {
        let mut experience = Experience::default();
        for (which, ok, ms, at) in runs {
            let outcome = if ok { Outcome::Ok } else { Outcome::WrongNumbers };
            experience.observe(&run(at, "", &arms()[which], outcome, ms));
        }
        let rows = experience.rank(MODEL, &ShapeBucket::default(), None, &arms(), UnixMillis(10_000_000_000));
        prop_assert_eq!(rows.len(), 3);
        prop_assert!(rows.is_sorted_by(|a, b| a.score >= b.score));
        for row in rows {
            prop_assert!((0.0..=1.0).contains(&row.score));
            prop_assert!(row.expected_ms.is_none_or(f64::is_finite));
        }
    }
}
