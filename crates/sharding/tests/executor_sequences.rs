//! Caches stay with their stages, are never taken for others, and are rebuilt when they are lost.

mod common;

use std::time::Duration;

use common::models::{Cut, decoder, no_caches, step_inputs};
use proptest::prelude::*;
use sharding::{ExecutorConfig, RunError};
use sharding_testing::{Fault, eval};
use tensor::NamedTensor;
use tokio::time::timeout;

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("it starts")
}

/// What the whole model gives, step by step, with its caches handed on by hand.
fn truth(cut: &Cut, steps: u64) -> Vec<Vec<NamedTensor>> {
    let mut caches = no_caches();
    (0..steps)
        .map(|step| {
            let outputs =
                eval(&cut.model, &[step_inputs(step), caches.clone()].concat()).expect("it computes");
            let (kept, given): (Vec<_>, Vec<_>) =
                outputs.into_iter().partition(|output| output.name.starts_with("present."));
            caches = kept
                .into_iter()
                .map(|cache| NamedTensor::new(cache.name.replace("present.", "past."), cache.tensor))
                .collect();
            given
        })
        .collect()
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Fails),
        Just(Fault::FailsLate),
        Just(Fault::Incomplete),
        Just(Fault::Hangs),
        Just(Fault::Forgets),
        Just(Fault::Dies),
    ]
}

#[test]
fn the_caches_were_found() {
    let plan = decoder().plan;
    let axes: Vec<(usize, Option<usize>)> =
        plan.states.iter().map(|state| (state.stage, state.axis)).collect();
    assert_eq!(plan.states.len(), 6, "{plan}");
    assert_eq!(axes.iter().filter(|(_, axis)| *axis == Some(0)).count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn every_step_is_right_whatever_is_lost(
        plan in prop::collection::vec(prop::collection::vec((0_usize..4, fault()), 0..3), 1..7),
    ) {
        paused().block_on(async {
            let cut = decoder();
            let executor = std::sync::Arc::new(cut.executor(6, ExecutorConfig::default()));
            let mut sequence = executor.sequence().expect("it has caches");
            let truth = truth(&cut, plan.len() as u64);
            for (step, (faults, expected)) in (0..).zip(plan.iter().zip(truth)) {
                for (stage, fault) in faults {
                    executor.host().fail(*stage, &[*fault]);
                }
                match sequence.step(step_inputs(step)).await {
                    Ok(answer) => assert_eq!(answer.outputs, expected, "step {step}"),
                    // Every worker can be dead after so many faults; then there is no answer, and no wrong one.
                    Err(RunError::Stage { .. }) => return,
                    Err(error) => panic!("{error:?}"),
                }
            }
            drop(sequence);
            executor.shutdown().await;
            assert_eq!(executor.host().held(), (0, 0));
        });
    }

    #[test]
    fn a_step_that_was_cancelled_can_be_taken_again(cancels in prop::collection::vec(0_u64..60, 1..6)) {
        paused().block_on(async {
            let cut = decoder();
            let executor = std::sync::Arc::new(cut.executor(3, ExecutorConfig::default()));
            let mut sequence = executor.sequence().expect("it has caches");
            let truth = truth(&cut, cancels.len() as u64);
            for (step, (after, expected)) in (0..).zip(cancels.into_iter().zip(truth)) {
                let first = timeout(Duration::from_millis(after), sequence.step(step_inputs(step))).await;
                let answer = match first {
                    Ok(answer) => answer,
                    Err(_) => sequence.step(step_inputs(step)).await,
                };
                assert_eq!(answer.expect("nothing fails").outputs, expected, "step {step}");
                assert_eq!(executor.host().running().0, 0);
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn sequences_do_not_see_each_other() {
    let cut = decoder();
    let executor = std::sync::Arc::new(cut.executor(2, ExecutorConfig::default()));
    let mut one = executor.sequence().expect("it has caches");
    let mut other = executor.sequence().expect("it has caches");
    let truth = truth(&cut, 3);
    for step in 0..3 {
        let (a, b) = tokio::join!(one.step(step_inputs(step)), other.step(step_inputs(step)));
        assert_eq!(a.expect("nothing fails").outputs, truth[step as usize]);
        assert_eq!(b.expect("nothing fails").outputs, truth[step as usize]);
    }
    assert_eq!(executor.stats().rebuilds, 0);
    drop(one);
    other.step(step_inputs(3)).await.expect("nothing fails");
    assert_eq!(
        executor.host().held(),
        (4, 3),
        "the caches of the one are gone, those of three stages remain"
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_stage_that_forgot_is_rebuilt() {
    let cut = decoder();
    let executor = std::sync::Arc::new(cut.executor(3, ExecutorConfig::default()));
    let mut sequence = executor.sequence().expect("it has caches");
    for step in 0..4 {
        sequence.step(step_inputs(step)).await.expect("nothing fails");
    }
    let lost = cut.plan.states[2].stage;
    executor.host().fail(lost, &[Fault::Forgets]);
    let before = executor.host().ran().len();
    let answer = sequence.step(step_inputs(4)).await.expect("it is rebuilt");
    assert_eq!(answer.outputs, truth(&cut, 5)[4]);
    let ran = executor.host().ran().split_off(before);
    let positions: Vec<u64> = ran.iter().filter(|run| run.stage == lost).map(|run| run.position).collect();
    assert_eq!(positions, [4, 0, 1, 2, 3, 4], "the attempt that found it out, the replay, the step");
    assert_eq!(ran.len(), positions.len() + 3, "the other three stages ran once");
    assert_eq!((executor.stats().rebuilds, executor.stats().loads), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn caches_are_not_trusted_after_a_failure() {
    let cut = decoder();
    let executor = std::sync::Arc::new(cut.executor(3, ExecutorConfig::default()));
    let mut sequence = executor.sequence().expect("it has caches");
    for step in 0..3 {
        sequence.step(step_inputs(step)).await.expect("nothing fails");
    }
    let failing = cut.plan.states[2].stage;
    executor.host().fail(failing, &[Fault::Fails]);
    let before = executor.host().ran().len();
    let answer = sequence.step(step_inputs(3)).await.expect("it is rebuilt");
    assert_eq!(answer.outputs, truth(&cut, 4)[3]);
    let ran = executor.host().ran().split_off(before);
    let positions: Vec<u64> = ran.iter().filter(|run| run.stage == failing).map(|run| run.position).collect();
    assert_eq!(positions, [3, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn no_incarnation_of_a_cache_is_named_twice() {
    let cut = decoder();
    let executor = std::sync::Arc::new(cut.executor(3, ExecutorConfig::default()));
    let mut sequence = executor.sequence().expect("it has caches");
    let stage = cut.plan.states[0].stage;
    for step in 0..4 {
        // Cancelled when the first stage is done and the second one is not.
        executor.host().fail(stage, &[Fault::Forgets]);
        let after = common::models::RUN.mul_f64(1.5 + step as f64);
        assert!(timeout(after, sequence.step(step_inputs(step))).await.is_err());
        sequence.step(step_inputs(step)).await.expect("nothing fails");
    }
    let ran = executor.host().ran();
    let mut begun: Vec<u64> =
        ran.iter().filter(|run| run.stage == stage && run.position == 0).map(|run| run.epoch).collect();
    let all = begun.len();
    begun.dedup();
    assert!(begun.is_sorted() && begun.len() == all && all > 4, "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn what_would_have_to_be_kept_is_bounded() {
    let cut = decoder();
    let config = {
        let mut config = ExecutorConfig::default();
        config.kept_bytes = 300;
        config
    };
    let executor = std::sync::Arc::new(cut.executor(1, config));
    let mut sequence = executor.sequence().expect("it has caches");
    let mut step = 0;
    let error = loop {
        match sequence.step(step_inputs(step)).await {
            Ok(_) => step += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RunError::SequenceTooLong { limit: 300, .. }), "{error:?}");
    assert_eq!(sequence.steps(), step);
    assert!(step > 1, "some steps fit");
}

#[tokio::test(start_paused = true)]
async fn a_model_without_caches_has_no_sequences() {
    let executor = std::sync::Arc::new(common::models::diamond().executor(1, ExecutorConfig::default()));
    assert!(matches!(executor.sequence(), Err(RunError::NoCaches)));
}
