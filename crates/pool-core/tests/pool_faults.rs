//! Every kind of answer on every call, with callers that wait and callers that go: each request ends once, the
//! promises of the seam are kept, and after the shutdown nothing is left.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Constraints, Pool, PoolConfig, PoolStats, Request, RunError};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use vocab::FailureKind;

/// The steps of the product. Times are far below the deadlines, so that `Slow` succeeds.
fn steps() -> Vec<Step> {
    vec![
        Step::Ok,
        Step::Slow(Duration::from_millis(200)),
        Step::Fail(FailureKind::Internal),
        Step::Fail(FailureKind::OutOfMemory),
        Step::FailAfter(Duration::from_millis(50), FailureKind::InvalidInput),
        Step::UntilCancelled,
        Step::SlowToCancel(Duration::from_millis(300)),
        Step::Never,
        Step::Vanish,
        Step::Panic,
    ]
}

/// What the callers do.
#[derive(Debug, Clone, Copy)]
enum Callers {
    Wait,
    /// Every second one goes after this time.
    Go(Duration),
}

#[track_caller]
fn nothing_left(stats: &PoolStats) {
    assert_eq!((stats.tasks, stats.waiters, stats.calls), (0, 0, 0), "{stats:#?}");
    let core = &stats.core;
    assert_eq!((core.requests, core.queued, core.running, core.cancelling), (0, 0, 0, 0), "{stats:#?}");
    assert!(core.workers.is_empty(), "{stats:#?}");
}

/// Two workers: one that follows the steps on its first calls, and one that works. Six requests.
async fn case(load: Step, run: Step, callers: Callers) {
    let mut config = PoolConfig::default();
    config.default_deadline = Duration::from_secs(20);
    config.load_timeout = Duration::from_secs(5);
    config.cancel_grace = Duration::from_secs(1);
    let telemetry = Telemetry::new();
    let pool = Pool::new(config, telemetry.clone()).expect("the configuration is valid");
    let (bad, good) = (FakeWorker::new(), FakeWorker::new());
    bad.script_load([load.clone()]);
    bad.script_run([run.clone(), run.clone()]);
    bad.expect_slots(2);
    good.expect_slots(2);
    let first = pool.join(info(), Arc::new(bad.clone()));
    let model = identity_model("a");
    let calls: Vec<_> = (0..6_u8)
        .map(|n| {
            let ticket = pool.submit(Request::new(Arc::clone(&model), [vector(&[f32::from(n)])]));
            let ticket = ticket.expect("it is accepted");
            tokio::spawn(async move {
                match callers {
                    Callers::Go(after) if n % 2 == 0 => tokio::time::timeout(after, ticket).await.ok(),
                    _ => Some(ticket.await),
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = pool.join(info(), Arc::new(good.clone()));

    let what = format!("load {load:?}, run {run:?}, callers {callers:?}");
    for (n, call) in calls.into_iter().enumerate() {
        match call.await.expect("the caller does not panic") {
            Some(Ok(completed)) => {
                let sent = vector(&[n as f32]);
                assert_eq!(completed.outputs, [sent], "{what}: the result is this request's own");
            }
            Some(Err(
                RunError::Load { .. } | RunError::Inference { .. } | RunError::DeadlineExceeded { .. },
            )) => {
                assert!(load != Step::Ok || run != Step::Ok, "{what}");
            }
            Some(Err(error)) => panic!("{what}: {error:?}"),
            None => {}
        }
    }
    pool.shutdown().await;
    nothing_left(&pool.stats());
    assert_eq!(bad.violations(), Vec::<String>::new(), "{what}");
    assert_eq!(good.violations(), Vec::<String>::new(), "{what}");
    assert_eq!((bad.counts().running, good.counts().running), (0, 0), "{what}");
    let counters = telemetry.snapshot().counters;
    let finished: u64 = counters
        .iter()
        .filter(|(name, _)| name.starts_with("requests_finished."))
        .map(|(_, count)| count)
        .sum();
    assert_eq!((counters["requests_accepted"], finished), (6, 6), "{what}");
    assert!(first.is_closed() && second.is_closed());
}

async fn check(callers: Callers) {
    for load in steps() {
        for run in steps() {
            case(load.clone(), run, callers).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_wait() {
    check(Callers::Wait).await;
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_at_once() {
    check(Callers::Go(Duration::ZERO)).await;
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_while_it_loads_or_runs() {
    check(Callers::Go(Duration::from_millis(100))).await;
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_when_it_is_nearly_done() {
    check(Callers::Go(Duration::from_millis(400))).await;
}

/// A cancelled run is told to its worker, and its slot comes back.
#[tokio::test(start_paused = true)]
async fn a_dropped_caller_frees_its_slot() {
    let pool = Pool::new(PoolConfig::default(), Telemetry::new()).expect("the configuration is valid");
    let worker = FakeWorker::new();
    worker.script_run([Step::UntilCancelled, Step::UntilCancelled]);
    let _member = pool.join(info(), Arc::new(worker.clone()));
    let model = identity_model("a");
    let request = || Request::new(Arc::clone(&model), [vector(&[1.0])]);
    let limit = Duration::from_millis(10);
    for _ in 0..2 {
        assert!(tokio::time::timeout(limit, pool.run(request())).await.is_err());
    }
    pool.run(request()).await.expect("both slots are free");
    assert_eq!(worker.counts().running, 0);
}

/// The same request with a deadline of its own.
#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_that_never_answers() {
    let pool = Pool::new(PoolConfig::default(), Telemetry::new()).expect("the configuration is valid");
    let worker = FakeWorker::new();
    worker.always_run(Step::Never);
    let member = pool.join(info(), Arc::new(worker));
    let mut request = Request::new(identity_model("a"), [vector(&[1.0])]);
    request.constraints = Constraints { timeout: Some(Duration::from_secs(3)), ..Constraints::default() };
    let began = tokio::time::Instant::now();
    let error = pool.run(request).await.expect_err("nobody answers");
    assert!(matches!(error, RunError::DeadlineExceeded { .. }), "{error}");
    // Tokio's timer counts in milliseconds, rounded up.
    assert!(began.elapsed() - Duration::from_secs(3) <= Duration::from_millis(1), "{:?}", began.elapsed());
    assert_eq!(member.closed().await, pool_core::LeaveCause::Unresponsive);
    assert_eq!(began.elapsed().as_secs(), 3 + PoolConfig::default().cancel_grace.as_secs());
}
