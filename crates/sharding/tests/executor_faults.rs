//! Stages fail in every way: the answer is right or there is none, and nothing runs that need not.

mod common;

use std::time::Duration;

use common::models::{RUN, diamond};
use common::square;
use proptest::prelude::*;
use sharding::{
    Answer, BrokenPlan, Executor, ExecutorConfig, ExecutorConfigError, HostError, Phase, RunError, StageError,
};
use sharding_testing::{Fault, ScriptedHost, eval};
use tensor::NamedTensor;
use tokio::time::timeout;
use vocab::WorkerId;

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("it starts")
}

fn inputs(seed: u64) -> Vec<NamedTensor> {
    vec![square("a", 3, seed)]
}

fn runs_of(ran: &[sharding_testing::Ran], stage: usize) -> usize {
    ran.iter().filter(|run| run.stage == stage).count()
}

fn faults() -> impl Strategy<Value = Vec<Vec<Fault>>> {
    let fault =
        prop_oneof![Just(Fault::Fails), Just(Fault::FailsLate), Just(Fault::Incomplete), Just(Fault::Hangs)];
    prop::collection::vec(prop::collection::vec(fault, 0..4), 4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn only_what_failed_runs_again(faults in faults(), workers in 2_u64..5, seed in 0_u64..50) {
        paused().block_on(async {
            let cut = diamond();
            let executor = cut.executor(workers, ExecutorConfig::default());
            for (stage, faults) in faults.iter().enumerate() {
                executor.host().fail(stage, faults);
            }
            let answer = executor.run(inputs(seed)).await.expect("there are fewer faults than attempts");
            assert_eq!(answer.outputs, eval(&cut.model, &inputs(seed)).expect("it computes"));
            let ran = executor.host().ran();
            for (stage, faults) in faults.iter().enumerate() {
                assert_eq!(runs_of(&ran, stage), faults.len() + 1, "stage {stage}");
                assert_eq!(answer.metrics.components[stage].attempts as usize, faults.len() + 1);
            }
            assert_eq!(answer.metrics.successful_components, answer.metrics.component_count);
            executor.shutdown().await;
            assert_eq!(executor.host().held(), (0, 0));
        });
    }

    #[test]
    fn the_answer_survives_deaths_and_is_right(
        deaths in prop::collection::vec((0_usize..4, 1_u64..4), 0..4),
        script in prop::collection::vec(0_usize..4, 0..3),
        seed in 0_u64..50,
    ) {
        paused().block_on(async {
            let cut = diamond();
            let executor = cut.executor(5, ExecutorConfig::default());
            script.iter().for_each(|&stage| executor.host().fail(stage, &[Fault::Dies]));
            let kills = async {
                for (tenths, worker) in deaths {
                    tokio::time::sleep(RUN * tenths as u32).await;
                    if worker < 3 {
                        executor.host().kill(WorkerId(worker));
                    }
                }
            };
            match tokio::join!(executor.run(inputs(seed)), kills).0 {
                Ok(Answer { outputs, .. }) => {
                    assert_eq!(outputs, eval(&cut.model, &inputs(seed)).expect("it computes"));
                }
                Err(RunError::Stage { source: StageError::NoWorker { .. } | StageError::Host(HostError::Gone(_)), .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            assert_eq!(executor.host().running().0, 0);
        });
    }

    #[test]
    fn what_is_cancelled_leaves_nothing(after in 0_u64..80, hanging in 0_usize..4, seed in 0_u64..50) {
        paused().block_on(async {
            let cut = diamond();
            let executor = cut.executor(2, ExecutorConfig::default());
            executor.host().fail(hanging, &[Fault::Hangs]);
            let cancelled = timeout(Duration::from_millis(after), executor.run(inputs(seed))).await;
            prop_assert!(cancelled.is_err(), "a stage hangs");
            prop_assert_eq!(executor.host().running().0, 0);
            let answer = executor.run(inputs(seed)).await.expect("the executor goes on");
            prop_assert_eq!(answer.outputs, eval(&cut.model, &inputs(seed)).expect("it computes"));
            executor.shutdown().await;
            prop_assert_eq!(executor.host().held(), (0, 0));
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn independent_stages_run_at_the_same_time() {
    let cut = diamond();
    let executor = cut.executor(4, ExecutorConfig::default());
    executor.deploy().await.expect("all parts load");
    let answer = executor.run(inputs(1)).await.expect("nothing fails");
    assert_eq!(executor.host().running(), (0, 2));
    // Three stages in a row, not four.
    assert_eq!(answer.metrics.inference_time_ms.round(), 3.0 * RUN.as_secs_f64() * 1e3);
    assert_eq!(executor.stats().loads, 4);
}

#[tokio::test(start_paused = true)]
async fn parts_that_load_at_the_same_time_spread_over_workers() {
    let cut = diamond();
    let executor = cut.executor(4, ExecutorConfig::default());
    executor.deploy().await.expect("all parts load");
    executor.run(inputs(1)).await.expect("nothing fails");
    let mut workers: Vec<u64> = executor.host().ran().iter().map(|run| run.worker.0).collect();
    workers.sort_unstable();
    assert_eq!(workers, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn requests_fill_the_stages_like_a_pipeline() {
    let cut = diamond();
    let executor = cut.executor(4, ExecutorConfig::default());
    let all = (0..6).map(|seed| executor.run(inputs(seed)));
    for (seed, answer) in (0..).zip(futures_util::future::join_all(all).await) {
        let expected = eval(&cut.model, &inputs(seed)).expect("it computes");
        assert_eq!(answer.expect("nothing fails").outputs, expected);
    }
    assert_eq!(executor.stats().loads, 4, "each part is loaded once, whoever asks first");
}

#[tokio::test(start_paused = true)]
async fn refused_inputs_are_not_tried_again() {
    let cut = diamond();
    let executor = cut.executor(3, ExecutorConfig::default());
    executor.host().fail(1, &[Fault::Refuses]);
    let error = executor.run(inputs(1)).await.expect_err("it was refused");
    assert!(
        matches!(error, RunError::Stage { stage: 1, attempts: 1, phase: Phase::Running, .. }),
        "{error:?}"
    );
    assert_eq!(runs_of(&executor.host().ran(), 3), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_failing_is_left_for_another() {
    let cut = diamond();
    let executor = cut.executor(2, ExecutorConfig::default());
    executor.host().fail(0, &[Fault::Fails, Fault::Fails]);
    let answer = executor.run(inputs(1)).await.expect("the other one works");
    let workers: Vec<u64> =
        executor.host().ran().iter().filter(|run| run.stage == 0).map(|run| run.worker.0).collect();
    assert_eq!(workers[0], workers[1], "it is tried again where it is first");
    assert_ne!(workers[1], workers[2]);
    assert_eq!(answer.metrics.components[0].loads, 2);
}

/// Runs that begin so many milliseconds after each other while a stage fails like that: the stage moves once.
#[track_caller]
fn check_one_move(apart: u64, faults: &[Fault]) {
    paused().block_on(async {
        let cut = diamond();
        let config = {
            let mut config = ExecutorConfig::default();
            config.tries_per_worker = 1;
            config.run_timeout = 5 * RUN;
            config
        };
        let executor = cut.executor(5, config);
        executor.deploy().await.expect("all parts load");
        executor.host().fail(0, faults);
        let run = |seed: usize| {
            let executor = &executor;
            async move {
                tokio::time::sleep(Duration::from_millis(apart * seed as u64)).await;
                executor.run(inputs(seed as u64)).await
            }
        };
        for (seed, answer) in (0..).zip(futures_util::future::join_all((0..faults.len()).map(run)).await) {
            let expected = eval(&cut.model, &inputs(seed)).expect("it computes");
            assert_eq!(answer.expect("the other worker is healthy").outputs, expected);
        }
        let ran = executor.host().ran();
        let workers: Vec<u64> = ran.iter().filter(|run| run.stage == 0).map(|run| run.worker.0).collect();
        let (failed, worked) = workers.split_at(faults.len());
        assert!(failed.iter().all(|worker| *worker == failed[0]), "{workers:?}");
        assert!(worked.iter().all(|worker| *worker == worked[0] && *worker != failed[0]), "{workers:?}");
        assert_eq!((executor.stats().moves, executor.stats().loads), (1, 5));
    });
}

#[test]
fn a_late_failure_does_not_throw_out_the_replacement() {
    check_one_move(5, &[Fault::Fails, Fault::Hangs]);
    check_one_move(2, &[Fault::FailsLate, Fault::Hangs, Fault::Hangs]);
}

#[test]
fn runs_that_fail_together_move_a_stage_once() {
    check_one_move(0, &[Fault::Fails; 4]);
}

#[tokio::test(start_paused = true)]
async fn the_last_worker_is_never_given_up() {
    let cut = diamond();
    let executor = cut.executor(1, ExecutorConfig::default());
    executor.host().fail(0, &[Fault::Fails; 5]);
    executor.run(inputs(1)).await.expect("the sixth attempt works");
}

#[tokio::test(start_paused = true)]
async fn a_run_may_be_tried_less_often_than_others() {
    let cut = diamond();
    let executor = cut.executor(2, ExecutorConfig::default());
    executor.host().fail(0, &[Fault::Fails]);
    let error = executor.run_with(inputs(1), 1).await.expect_err("it is tried once");
    assert!(matches!(error, RunError::Stage { stage: 0, attempts: 1, .. }), "{error:?}");
    executor.host().fail(0, &[Fault::Fails, Fault::Fails]);
    let answer = executor.run_with(inputs(1), 3).await.expect("the third works, elsewhere");
    let metrics = &answer.metrics.components[0];
    assert_eq!((metrics.attempts, metrics.moves, metrics.loads), (3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn among_workers_alike_a_stage_goes_to_the_one_that_suits_it() {
    let cut = diamond();
    let executor = cut.executor(4, ExecutorConfig::default());
    for worker in 1..=4 {
        // Stage 0 suits worker 4 best, and stage 3 worker 1.
        executor.host().rank(0, WorkerId(worker), u32::try_from(4 - worker).expect("small"));
        executor.host().rank(3, WorkerId(worker), u32::try_from(worker).expect("small"));
    }
    executor.deploy().await.expect("all parts load");
    let answer = executor.run(inputs(1)).await.expect("an answer");
    let worker = |stage: usize| answer.metrics.components[stage].worker;
    assert_eq!(worker(0), 4);
    let hosts: std::collections::BTreeSet<u64> = (0..4).map(worker).collect();
    assert_eq!(hosts.len(), 4, "and nobody hosts two as long as others host none");
}

#[tokio::test(start_paused = true)]
async fn without_workers_there_is_a_typed_error() {
    let cut = diamond();
    let executor = cut.executor(1, ExecutorConfig::default());
    executor.host().kill(WorkerId(1));
    let error = executor.run(inputs(1)).await.expect_err("nobody is there");
    let RunError::Stage { stage: 0, phase: Phase::Placing, source: StageError::NoWorker { .. }, .. } = error
    else {
        panic!("{error:?}");
    };
}

#[tokio::test(start_paused = true)]
async fn a_standby_takes_over_without_loading() {
    let cut = diamond();
    let config = {
        let mut config = ExecutorConfig::default();
        config.standby = true;
        config
    };
    let executor = cut.executor(3, config);
    executor.deploy().await.expect("all parts load");
    assert_eq!(executor.stats().loads, 8);
    executor.host().fail(2, &[Fault::Fails, Fault::Fails]);
    executor.run(inputs(1)).await.expect("the standby works");
    assert_eq!((executor.stats().loads, executor.stats().moves), (8, 1));
}

#[tokio::test(start_paused = true)]
async fn inputs_that_do_not_fit_reach_nobody() {
    let executor = diamond().executor(1, ExecutorConfig::default());
    let error = executor.run(vec![square("b", 3, 1)]).await.expect_err("there is no such input");
    assert!(matches!(error, RunError::Inputs(_)));
    assert!(executor.host().ran().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_load_that_fails_is_repeated() {
    let cut = diamond();
    let executor = cut.executor(2, ExecutorConfig::default());
    executor.host().fail_loads(3);
    executor.run(inputs(1)).await.expect("the later loads work");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_dropped_when_the_caller_left_is_dropped_later() {
    let cut = diamond();
    let executor = cut.executor(2, ExecutorConfig::default());
    executor.deploy().await.expect("all parts load");
    executor.host().hang_unloads(2);
    assert!(timeout(RUN, executor.shutdown()).await.is_err(), "two unloads hang");
    assert_eq!(executor.host().held(), (2, 0));
    executor.shutdown().await;
    assert_eq!(executor.host().held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_drops_nothing_holds_nobody_up_for_long() {
    let cut = diamond();
    let executor = cut.executor(2, ExecutorConfig::default());
    executor.deploy().await.expect("all parts load");
    executor.host().hang_unloads(4);
    timeout(Duration::from_secs(6), executor.shutdown()).await.expect("it is not waited for a whole run");
    executor.run(inputs(1)).await.expect("the parts are loaded again");
}

#[test]
fn a_plan_that_does_not_hold_together_is_not_run() {
    let cut = diamond();
    let mut plan = cut.plan.clone();
    plan.stages[2].depends_on = vec![3];
    let host = ScriptedHost::new(plan.clone(), 1, RUN);
    let error =
        Executor::new(plan, cut.folder.path(), host, ExecutorConfig::default()).expect_err("it waits");
    let expected = ExecutorConfigError::Plan(BrokenPlan::NotBefore { stage: 2, on: 3 });
    assert_eq!(error, expected);
}

#[tokio::test(start_paused = true)]
async fn one_worker_has_no_standby() {
    let cut = diamond();
    let config = {
        let mut config = ExecutorConfig::default();
        config.standby = true;
        config
    };
    let executor = cut.executor(1, config);
    executor.deploy().await.expect("all parts load");
    assert_eq!(executor.stats().loads, 4, "nothing is loaded twice on one worker");
}
