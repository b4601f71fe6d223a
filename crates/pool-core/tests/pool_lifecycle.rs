//! The pool from its first worker to its end.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{
    ConfigError, Constraints, LeaveCause, Phase, Pool, PoolConfig, Preload, Request, RunError, WorkerInfo,
};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use vocab::FailureKind;

fn pool(change: impl FnOnce(&mut PoolConfig)) -> Pool<FakeWorker> {
    let mut config = PoolConfig::default();
    change(&mut config);
    Pool::new(config, Telemetry::new()).expect("the configuration is valid")
}

fn request(name: &str, value: f32) -> Request {
    Request::new(identity_model(name), [vector(&[value])])
}

#[track_caller]
fn check_nothing_left(pool: &Pool<FakeWorker>) {
    let stats = pool.stats();
    assert_eq!((stats.tasks, stats.waiters, stats.calls), (0, 0, 0), "{stats:#?}");
    assert_eq!((stats.core.requests, stats.core.queued, stats.core.workers.len()), (0, 0, 0), "{stats:#?}");
    assert_eq!((stats.core.running, stats.core.cancelling), (0, 0), "{stats:#?}");
}

async fn ten_thousand() {
    let pool = pool(|config| config.queue_capacity = 10_000);
    let workers = [FakeWorker::new(), FakeWorker::new()];
    let members: Vec<_> = workers
        .iter()
        .map(|worker| {
            worker.expect_slots(2);
            pool.join(info(), Arc::new(worker.clone()))
        })
        .collect();
    let calls: Vec<_> = (0..10_000_u16)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(
                async move { pool.run(request(["a", "b", "c"][usize::from(n % 3)], f32::from(n))).await },
            )
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        let completed = call.await.expect("the caller does not panic").expect("it is answered");
        assert_eq!(completed.outputs, [vector(&[n as f32])], "each gets its own result");
    }
    let runs: u64 = workers.iter().map(|worker| worker.counts().runs).sum();
    assert_eq!(runs, 10_000, "each is run exactly once");
    assert!(workers.iter().all(|worker| worker.violations().is_empty()));
    pool.shutdown().await;
    check_nothing_left(&pool);
    drop(members);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_are_answered_once_each() {
    ten_thousand().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_requests_are_answered_once_each_on_many_threads() {
    ten_thousand().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_under_load_leaves_nothing() {
    let pool = pool(|_| ());
    let workers = [FakeWorker::new(), FakeWorker::new(), FakeWorker::new()];
    workers[0].always_run(Step::SlowToCancel(Duration::from_millis(100)));
    workers[1].always_run(Step::Never);
    workers[2].always_load(Step::Never);
    let members: Vec<_> = workers.iter().map(|worker| pool.join(info(), Arc::new(worker.clone()))).collect();
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run(request(["a", "b"][n % 2], 1.0)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    pool.shutdown().await;
    check_nothing_left(&pool);
    for call in calls {
        let error = call.await.expect("the caller does not panic").expect_err("nothing ever answers");
        assert_eq!(error, RunError::ShuttingDown);
    }
    for member in &members {
        assert!(member.is_closed());
    }
    assert_eq!(members[0].closed().await, LeaveCause::Shutdown);
    assert!(matches!(pool.submit(request("a", 1.0)), Err(RunError::ShuttingDown)));
    pool.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_accepted_requests_end() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.always_run(Step::Slow(Duration::from_millis(100)));
    let _member = pool.join(info(), Arc::new(worker));
    let tickets: Vec<_> = (0..20).map(|_| pool.submit(request("a", 1.0)).expect("it is accepted")).collect();
    let report = pool.drain(Duration::from_secs(60)).await;
    assert_eq!(report.aborted, 0);
    assert!(matches!(pool.run(request("a", 1.0)).await, Err(RunError::ShuttingDown)));
    for ticket in tickets {
        ticket.await.expect("it was accepted before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_what_takes_too_long() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.always_run(Step::Slow(Duration::from_secs(1)));
    let _member = pool.join(WorkerInfo { slots: 1, ..info() }, Arc::new(worker));
    let tickets: Vec<_> = (0..5).map(|_| pool.submit(request("a", 1.0)).expect("it is accepted")).collect();
    let report = pool.drain(Duration::from_millis(2_500)).await;
    assert_eq!(report.aborted, 3);
    let mut ends = Vec::new();
    for ticket in tickets {
        ends.push(ticket.await.map(|completed| completed.outputs.len()));
    }
    let ended = Err(RunError::ShuttingDown);
    assert_eq!(ends, [Ok(1), Ok(1), ended.clone(), ended.clone(), ended]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_everything() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.always_run(Step::Never);
    let member = pool.join(info(), Arc::new(worker.clone()));
    let ticket = pool.submit(request("a", 1.0)).expect("it is accepted");
    let clone = pool.clone();
    drop(pool);
    tokio::task::yield_now().await;
    assert!(!member.is_closed(), "a clone is left");
    drop(clone);
    assert_eq!(ticket.await.expect_err("the pool is gone"), RunError::ShuttingDown);
    assert_eq!(member.closed().await, LeaveCause::Shutdown);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(worker.counts().running, 0, "its call was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_worker_s_owner_hears_why_it_is_out() {
    let pool = pool(|_| ());
    let vanishing = FakeWorker::new();
    vanishing.script_run([Step::Vanish]);
    let member = pool.join(info(), Arc::new(vanishing));
    let call = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(request("a", 1.0)).await }
    });
    assert_eq!(member.closed().await, LeaveCause::Vanished);
    member.leave(LeaveCause::Crashed);
    // It comes back, as a worker of its own, and serves who waited.
    let again = pool.join(info(), Arc::new(FakeWorker::new()));
    let completed = call.await.expect("the caller does not panic").expect("it is answered");
    assert_eq!((completed.report.worker, completed.report.attempts), (again.worker(), 2));
    drop(again);
    assert_eq!(pool.stats().core.workers.len(), 0, "dropping a membership leaves");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_workers_ends_with_enough_of_them_or_with_the_pool() {
    let pool = pool(|_| ());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.wait_for_workers(2).await }
    });
    let _one = pool.join(info(), Arc::new(FakeWorker::new()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    let _two = pool.join(info(), Arc::new(FakeWorker::new()));
    assert_eq!(waiting.await.expect("it does not panic"), Ok(()));
    let more = tokio::spawn({
        let pool = pool.clone();
        async move { pool.wait_for_workers(3).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    pool.close();
    assert_eq!(more.await.expect("it does not panic"), Err(RunError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_where_the_time_went() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.always_load(Step::Slow(Duration::from_millis(300)));
    worker.always_run(Step::Slow(Duration::from_millis(40)));
    let member = pool.join(info(), Arc::new(worker));
    let cold = pool.run(request("a", 1.0)).await.expect("it is answered").report;
    assert_eq!((cold.worker, cold.attempts), (member.worker(), 1));
    assert_eq!(
        (cold.queue_ms, cold.load_ms, cold.in_page_ms, cold.total_ms),
        (300.0, Some(300.0), 40.0, 340.0)
    );
    assert_eq!(*cold.placement, [("wasm".to_owned(), 1)]);
    let warm = pool.run(request("a", 1.0)).await.expect("it is answered").report;
    assert_eq!((warm.queue_ms, warm.load_ms, warm.total_ms), (0.0, None, 40.0));
    let there = pool.preload(Preload::new(identity_model("a"))).await.expect("it is loaded");
    assert_eq!((there.load_ms, there.total_ms), (None, 0.0));
}

#[tokio::test(start_paused = true)]
async fn what_the_pool_holds_is_json() {
    let pool = pool(|_| ());
    let _member = pool.join(info(), Arc::new(FakeWorker::new()));
    let report = pool.run(request("a", 1.0)).await.expect("it is answered").report;
    let stats = serde_json::to_value(pool.stats()).expect("it serialises");
    assert_eq!(stats["core"]["workers"][0]["browser"], "chromium");
    assert_eq!(stats["core"]["workers"][0]["sessions"][0]["phase"], "ready");
    let report = serde_json::to_value(report).expect("it serialises");
    assert_eq!((&report["backend"], &report["attempts"]), (&"wasm".into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_or_lies_about_its_slots_harms_nobody() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.script_run([Step::Panic]);
    let first = pool.join(WorkerInfo { slots: 0, ..info() }, Arc::new(worker));
    let second = pool.join(info(), Arc::new(FakeWorker::new()));
    for _ in 0..3 {
        pool.run(request("a", 1.0)).await.expect("it is answered");
    }
    assert!(first.is_closed() && !second.is_closed());
    assert_eq!(first.closed().await, LeaveCause::Vanished);
}

#[tokio::test(start_paused = true)]
async fn bad_requests_never_reach_a_worker() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    let _member = pool.join(info(), Arc::new(worker.clone()));
    let model = identity_model("a");
    let missing = pool.run(Request::new(Arc::clone(&model), [])).await.expect_err("an input is missing");
    assert!(matches!(missing, RunError::InvalidInput(_)), "{missing:?}");
    assert!(missing.is_callers_fault());
    let mut unknown = Request::new(model, [vector(&[1.0])]);
    unknown.outputs = Some(["y".into()].into());
    let unknown = pool.run(unknown).await.expect_err("there is no output y");
    assert_eq!(unknown, RunError::UnknownOutput("y".to_owned()));
    assert_eq!((worker.counts().loads, worker.counts().runs), (0, 0));
    let counters = pool.telemetry().snapshot().counters;
    assert_eq!((counters["requests_rejected.invalid_input"], counters["requests_accepted"]), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_what_went_wrong_before() {
    let pool = pool(|_| ());
    let worker = FakeWorker::new();
    worker.script_run([Step::fail(FailureKind::DeviceLost), Step::Never]);
    let _member = pool.join(info(), Arc::new(worker));
    let mut request = request("a", 1.0);
    request.constraints = Constraints { timeout: Some(Duration::from_secs(2)), ..Constraints::default() };
    let error = pool.run(request).await.expect_err("nothing answers");
    let RunError::DeadlineExceeded { phase, last_cause: Some(cause), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*phase, Phase::Running);
    assert!(cause.to_string().contains("device_lost"), "{cause}");
    assert!(!error.to_string().contains("device_lost"), "an error does not repeat its source");
}

#[track_caller]
fn check_config(change: impl FnOnce(&mut PoolConfig), refused: &str) {
    let mut config = PoolConfig::default();
    change(&mut config);
    let error = config.validate().expect_err("it cannot work");
    assert!(error.to_string().contains(refused), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    assert_eq!(PoolConfig::default().validate(), Ok(()));
    check_config(|config| config.queue_capacity = 0, "queue_capacity");
    check_config(|config| config.max_attempts = 0, "max_attempts");
    check_config(|config| config.load_timeout = Duration::ZERO, "load_timeout");
    check_config(|config| config.default_deadline = Duration::MAX, "default_deadline");
    check_config(|config| config.weights = [("a".to_owned(), 0)].into(), "weight");
}

#[test]
fn a_pool_needs_a_runtime() {
    let error =
        Pool::<FakeWorker>::new(PoolConfig::default(), Telemetry::new()).expect_err("there is no runtime");
    assert_eq!(error, ConfigError::NoRuntime);
}

/// Whoever revives a worker is told what it held, also where the pool itself found it gone, and loads that on the worker
/// that comes back, and on no other.
#[tokio::test(start_paused = true)]
async fn what_a_lost_worker_held_is_loaded_again_where_it_comes_back() {
    let pool = pool(|_| {});
    let (first, other) = (FakeWorker::new(), FakeWorker::new());
    let member = pool.join(info(), Arc::new(first.clone()));
    pool.run(request("a", 1.0)).await.expect("it is answered");
    assert!(member.held().is_empty(), "it is still there");
    first.script_run([Step::Vanish]);
    let lost = pool.run(request("a", 2.0));
    let stays = pool.join(info(), Arc::new(other.clone()));
    lost.await.expect("the other one answers");
    member.closed().await;
    let held = member.held();
    assert_eq!(held.iter().map(|held| held.model.hash).collect::<Vec<_>>(), [identity_model("a").hash]);

    let again = FakeWorker::new();
    let back = pool.join(info(), Arc::new(again.clone()));
    let mut preload = Preload::new(Arc::clone(&held[0].model));
    preload.worker = Some(back.worker());
    let report = pool.preload(preload.clone()).await.expect("it loads");
    assert_eq!((report.worker, again.counts().loads), (back.worker(), 1));
    back.leave(LeaveCause::Disconnected);
    let gone = pool.preload(preload).await;
    assert!(matches!(gone, Err(RunError::NoWorker(_))), "nobody else will do, and nobody waits: {gone:?}");
    pool.shutdown().await;
    drop(stays);
    check_nothing_left(&pool);
}
