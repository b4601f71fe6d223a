//! What becomes of a request after a failure: tried elsewhere, tried again, on another backend, or ended.

mod sim;

use std::time::Duration;

use pool_core::core::SessionPhase;
use pool_core::{Constraints, LinkError, PoolConfig, RunError, RunReport, WorkerInfo};
use pool_core_testing::{identity_model, info, info_of};
use sim::{Sim, failed, submission};
use telemetry::LeaveCause;
use vocab::{Backend, BrowserName, FailureKind, WorkerId};

/// How a request is to end.
#[derive(Debug, PartialEq)]
enum End {
    /// On the worker with this number, counted from 0, after this many attempts.
    On(usize, u32),
    Load(FailureKind),
    Inference(FailureKind),
    WorkersLost(u32),
}

fn end(result: &Result<RunReport, RunError>, workers: &[WorkerId]) -> End {
    match result {
        Ok(report) => {
            let worker =
                workers.iter().position(|&worker| worker == report.worker).expect("it is one of them");
            End::On(worker, report.attempts)
        }
        Err(RunError::Load { kind, .. }) => End::Load(kind.clone()),
        Err(RunError::Inference { kind, .. }) => End::Inference(kind.clone()),
        Err(RunError::WorkersLost { attempts, last_cause: Some(_) }) => End::WorkersLost(*attempts),
        other => panic!("an end that no case expects: {other:?}"),
    }
}

/// Where the failures of a case happen.
#[derive(Clone, Copy)]
enum At {
    Load,
    Run,
}

/// One request to this many workers, whose first calls fail like this; then everything succeeds.
#[track_caller]
fn check(workers: usize, at: At, failures: Vec<LinkError>, expected: &End) {
    let mut sim = Sim::new(PoolConfig::default());
    let workers: Vec<_> = (0..workers).map(|_| sim.join(info())).collect();
    let request = sim.accept(submission(&identity_model("a"), Constraints::default()));
    for failure in failures {
        match at {
            At::Load => {
                let session = *sim.loading.keys().next().expect("a load is in flight");
                sim.load_done(session, Err(failure));
            }
            At::Run => {
                while sim.running().is_empty() {
                    assert!(sim.settle() > 0, "the request is going to run");
                }
                let lease = sim.running()[0];
                sim.run_done(lease, Err(failure));
            }
        }
    }
    sim.settle_all();
    let result = sim.ended.get(&request).expect("the request has ended");
    assert_eq!(end(result, &workers), *expected);
}

fn vanished() -> LinkError {
    LinkError::Vanished { detail: "simulated".to_owned() }
}

fn timed_out() -> LinkError {
    LinkError::TimedOut { phase: "simulated", after: Duration::from_secs(1) }
}

#[test]
fn a_lost_worker_s_requests_run_elsewhere() {
    check(2, At::Run, vec![vanished()], &End::On(1, 2));
    check(2, At::Load, vec![vanished()], &End::On(1, 2));
    check(4, At::Run, vec![vanished(), vanished()], &End::On(2, 3));
    check(4, At::Run, vec![vanished(), vanished(), vanished()], &End::WorkersLost(3));
    check(4, At::Load, vec![vanished(), vanished(), vanished()], &End::WorkersLost(3));
}

#[test]
fn what_the_caller_caused_is_never_tried_again() {
    for kind in [FailureKind::InvalidModel, FailureKind::UnsupportedDtype, FailureKind::InvalidInput] {
        check(2, At::Run, vec![failed(kind.clone())], &End::Inference(kind.clone()));
        check(2, At::Load, vec![failed(kind.clone())], &End::Load(kind));
    }
}

#[test]
fn what_nobody_understands_is_not_tried_blindly() {
    for kind in [FailureKind::Internal, FailureKind::Protocol, FailureKind::from("new in the next version")] {
        check(2, At::Run, vec![failed(kind.clone())], &End::Inference(kind.clone()));
        check(2, At::Load, vec![failed(kind.clone())], &End::Load(kind));
    }
    check(2, At::Load, vec![failed(FailureKind::ModelFetch)], &End::Load(FailureKind::ModelFetch));
}

#[test]
fn memory_and_devices_are_tried_elsewhere_or_afresh() {
    for kind in [FailureKind::OutOfMemory, FailureKind::DeviceLost] {
        check(2, At::Run, vec![failed(kind.clone())], &End::On(1, 2));
        check(1, At::Run, vec![failed(kind.clone())], &End::On(0, 2));
        check(2, At::Load, vec![failed(kind.clone())], &End::On(1, 2));
        check(1, At::Run, vec![failed(kind.clone()); 3], &End::Inference(kind));
    }
    check(1, At::Load, vec![failed(FailureKind::OutOfMemory)], &End::Load(FailureKind::OutOfMemory));
    check(1, At::Load, vec![failed(FailureKind::DeviceLost)], &End::On(0, 2));
}

#[test]
fn a_session_that_the_page_lost_is_loaded_again() {
    check(1, At::Run, vec![failed(FailureKind::NoSuchSession)], &End::On(0, 2));
    check(
        1,
        At::Run,
        vec![failed(FailureKind::NoSuchSession); 3],
        &End::Inference(FailureKind::NoSuchSession),
    );
}

#[test]
fn a_call_that_was_cut_off_is_tried_elsewhere() {
    check(2, At::Run, vec![timed_out()], &End::On(1, 2));
    check(1, At::Run, vec![timed_out()], &End::On(0, 2));
    check(2, At::Load, vec![LinkError::Cancelled], &End::On(1, 2));
    check(1, At::Run, vec![timed_out(); 3], &End::WorkersLost(3));
}

/// One request for these backends to one worker that has them all and refuses the model on some.
#[track_caller]
fn check_fallback(
    backends: &[Backend],
    fallback: bool,
    refusing: &[Backend],
    expected: Result<Backend, FailureKind>,
) {
    let mut sim = Sim::new(PoolConfig::default());
    sim.join(info_of(BrowserName::Chromium, Backend::ALL));
    let constraints = Constraints { backends: backends.to_vec(), fallback, ..Constraints::default() };
    let model = identity_model("a");
    for round in 0..2 {
        let request = sim.accept(submission(&model, constraints.clone()));
        while let Some((&session, &(_, _, backend, _))) = sim.loading.iter().next() {
            if refusing.contains(&backend) {
                assert!(round == 0 || expected.is_err(), "a refusal is remembered for a while");
                sim.load_done(session, Err(failed(FailureKind::UnsupportedByBackend)));
            } else {
                sim.load_ok(session, 1.0);
            }
        }
        sim.settle_all();
        let got = match &sim.ended[&request] {
            Ok(report) => Ok(report.backend),
            Err(RunError::Load { kind, .. }) => Err(kind.clone()),
            other => panic!("an end that no case expects: {other:?}"),
        };
        assert_eq!(got, expected);
    }
}

#[test]
fn another_backend_is_used_only_where_that_is_allowed() {
    use Backend::{Wasm, WebGpu, WebNn};
    check_fallback(&[WebNn, WebGpu, Wasm], true, &[WebNn], Ok(WebGpu));
    check_fallback(&[WebNn, WebGpu, Wasm], true, &[WebNn, WebGpu], Ok(Wasm));
    check_fallback(&[WebNn, Wasm], false, &[WebNn], Err(FailureKind::UnsupportedByBackend));
    check_fallback(&[WebNn], true, &[WebNn], Err(FailureKind::UnsupportedByBackend));
    check_fallback(&[], false, &[WebNn, WebGpu], Ok(Wasm));
}

#[test]
fn all_who_wait_for_one_load_share_its_failure() {
    let mut sim = Sim::new(PoolConfig::default());
    sim.join(info());
    for _ in 0..10 {
        sim.accept(submission(&identity_model("a"), Constraints::default()));
    }
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_done(session, Err(failed(FailureKind::InvalidModel)));
    assert_eq!((sim.loads, sim.open.len()), (1, 0));
    assert!(sim.ended.values().all(|result| matches!(result, Err(RunError::Load { .. }))));
}

#[test]
fn a_failed_load_elsewhere_harms_nobody_who_can_be_served() {
    let mut sim = Sim::new(PoolConfig::default());
    sim.join(WorkerInfo { slots: 1, ..info() });
    sim.join(WorkerInfo { slots: 1, ..info() });
    let model = identity_model("a");
    sim.accept(submission(&model, Constraints::default()));
    sim.settle();
    for _ in 0..40 {
        sim.accept(submission(&model, Constraints::default()));
    }
    let session = *sim.loading.keys().next().expect("the second worker loads it too");
    sim.load_done(session, Err(failed(FailureKind::InvalidModel)));
    let loads = sim.loads;
    sim.settle_all();
    assert!(sim.ended.len() == 41 && sim.ended.values().all(Result::is_ok));
    assert_eq!(sim.loads, loads, "what just failed is not tried over and over");
}

#[test]
fn memory_is_freed_before_a_load_is_tried_again() {
    let mut sim = Sim::new(PoolConfig::default());
    sim.join(info());
    sim.accept(submission(&identity_model("a"), Constraints::default()));
    sim.settle_all();
    let request = sim.accept(submission(&identity_model("b"), Constraints::default()));
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_done(session, Err(failed(FailureKind::OutOfMemory)));
    let phases: Vec<_> =
        sim.core.stats().workers[0].sessions.iter().map(|s| (s.name.clone(), s.phase)).collect();
    assert!(phases.contains(&("a".to_owned(), SessionPhase::Unloading)), "{phases:?}");
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn a_load_that_takes_too_long_is_cancelled_and_tried_elsewhere() {
    let mut sim = Sim::new(PoolConfig::default());
    let first = sim.join(info());
    let second = sim.join(info());
    let timeout = Some(Duration::from_secs(1_000));
    let request =
        sim.accept(submission(&identity_model("a"), Constraints { timeout, ..Constraints::default() }));
    let stuck = *sim.loading.keys().next().expect("it is being loaded");
    sim.advance(PoolConfig::default().load_timeout);
    assert!(sim.cancelled_loads.contains(&stuck));
    let session = *sim.loading.keys().find(|session| **session != stuck).expect("the other worker loads it");
    sim.load_ok(session, 1.0);
    assert_eq!(sim.sent.last(), Some(&(request, second)));
    sim.advance(PoolConfig::default().cancel_grace);
    assert!(!sim.pages.contains_key(&first), "who does not confirm is taken out");
}

#[test]
fn a_lost_worker_is_expected_back_for_a_while() {
    let mut sim = Sim::new(PoolConfig::default());
    let worker = sim.join(info());
    let request = sim.accept(submission(&identity_model("a"), Constraints::default()));
    sim.settle();
    sim.leave(worker, LeaveCause::Crashed);
    assert!(sim.open.contains(&request));
    let late = sim.accept(submission(&identity_model("b"), Constraints::default()));
    sim.advance(PoolConfig::default().rejoin_grace - Duration::from_millis(1));
    assert_eq!(sim.open.len(), 2);
    sim.advance(Duration::from_millis(1));
    assert!(matches!(sim.ended[&request], Err(RunError::WorkersLost { attempts: 1, .. })));
    assert!(matches!(sim.ended[&late], Err(RunError::NoWorker(_))));
}

#[test]
fn a_worker_that_was_taken_away_is_not_expected_back() {
    let mut sim = Sim::new(PoolConfig::default());
    let worker = sim.join(info());
    let request = sim.accept(submission(&identity_model("a"), Constraints::default()));
    sim.leave(worker, LeaveCause::Retired);
    assert!(sim.ended[&request].is_err());
}

#[test]
fn an_unload_that_fails_takes_the_worker_out() {
    let mut sim = Sim::new(PoolConfig::default());
    let worker = sim.join(WorkerInfo { memory_budget_bytes: 1_000, ..info() });
    sim.accept(submission(&identity_model("a"), Constraints::default()));
    sim.settle_all();
    let request = sim.accept(submission(&identity_model("b"), Constraints::default()));
    let session = *sim.unloading.keys().next().expect("room is being made");
    sim.unload_done(session, Err(failed(FailureKind::Internal)));
    assert!(!sim.pages.contains_key(&worker));
    sim.join(info());
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn who_waited_for_a_worker_that_left_is_served_by_the_next_best() {
    let mut sim = Sim::new(PoolConfig::default());
    let webnn = sim.join(WorkerInfo { slots: 1, ..info_of(BrowserName::Chromium, &[Backend::WebNn]) });
    let wasm = sim.join(info_of(BrowserName::Chromium, &[Backend::Wasm]));
    let prefers = Constraints { backends: vec![Backend::WebNn, Backend::Wasm], ..Constraints::default() };
    for model in [identity_model("a"), identity_model("b")] {
        sim.accept(submission(&model, prefers.clone()));
        let session = *sim.loading.keys().next().expect("it is being loaded");
        sim.load_ok(session, 1.0);
    }
    let waiting = *sim.open.last().expect("the second one waits for the slot");
    assert!(sim.sent.iter().all(|sent| sent.0 != waiting));
    sim.leave(webnn, LeaveCause::Retired);
    assert_eq!(sim.loading.len(), 2, "both models are loaded at once, the lost one's and the waiting one's");
    sim.settle_all();
    assert_eq!(sim.sent.iter().find(|sent| sent.0 == waiting), Some(&(waiting, wasm)));
}
