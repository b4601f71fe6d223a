//! Requests that the pool sends somewhere by its own choice: what goes wrong there costs their callers nothing.

mod sim;

use std::sync::Arc;
use std::time::Duration;

use pool_core::core::Submission;
use pool_core::{Constraints, Model, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model, info_of};
use sim::{Sim, dims, failed, submission};
use vocab::{Backend, BrowserName, FailureKind, PolicyName, RequestId, SessionId};

const CHROMIUM: BrowserName = BrowserName::Chromium;
const FIREFOX: BrowserName = BrowserName::Firefox;

fn ask(model: &Arc<Model>) -> Submission {
    Submission { dims: dims(64), ..submission(model, Constraints::default()) }
}

/// A pool that tries what it does not know, of two browsers, after it got to know one of them.
fn learning(model: &Arc<Model>) -> Sim {
    let mut config = PoolConfig::default();
    config.selection.explore = true;
    let mut sim = Sim::new(config);
    for browser in [CHROMIUM, FIREFOX] {
        sim.join(info_of(browser, &[Backend::Wasm]));
    }
    for _ in 0..3 {
        sim.accept(ask(model));
        sim.settle_all();
    }
    sim
}

/// A request that is sent to the other browser to learn something, and the load there.
#[track_caller]
fn trial(sim: &mut Sim, model: &Arc<Model>) -> (RequestId, SessionId) {
    for _ in 0..10 {
        let request = sim.accept(ask(model));
        if let Some(&session) = sim.loading.keys().next() {
            assert!(!sim.ended.contains_key(&request), "it waits for its trial");
            return (request, session);
        }
        sim.settle_all();
    }
    panic!("nothing is tried");
}

#[track_caller]
fn check_load_fails(kind: FailureKind) {
    let model = identity_model("a");
    let mut sim = learning(&model);
    let loads = sim.loads;
    let (request, session) = trial(&mut sim, &model);
    sim.load_done(session, Err(failed(kind)));
    sim.settle_all();
    let report = sim.ended[&request].as_ref().expect("the leader computes it");
    assert_eq!(report.attempts, 1);
    for _ in 0..60 {
        sim.advance(Duration::from_secs(10));
        sim.accept(ask(&model));
        sim.settle_all();
    }
    assert_eq!(sim.loads, loads + 1, "what refused the model is not asked again");
    assert!(sim.ended.values().all(Result::is_ok));
    assert_eq!(sim.core.selector().exploring(), 0);
}

#[test]
fn a_trial_that_finds_the_model_refused_goes_to_the_leader_and_is_not_repeated() {
    check_load_fails(FailureKind::UnsupportedOperator);
    check_load_fails(FailureKind::UnsupportedDtype);
    check_load_fails(FailureKind::InvalidModel);
}

#[test]
fn a_run_that_finds_the_model_refused_goes_to_the_leader() {
    let model = identity_model("a");
    let mut sim = learning(&model);
    let (request, session) = trial(&mut sim, &model);
    sim.load_ok(session, 5.0);
    let lease = sim.running()[0];
    sim.run_done(lease, Err(failed(FailureKind::UnsupportedDtype)));
    sim.settle_all();
    assert!(sim.ended[&request].is_ok(), "{:?}", sim.ended[&request]);
}

/// A pool whose owner fixed WebGPU.
fn fixed(workers: &[WorkerInfo]) -> Sim {
    let mut config = PoolConfig::default();
    config.selection.policy = PolicyName::Fixed;
    config.selection.fixed_backend = Some(Backend::WebGpu);
    let mut sim = Sim::new(config);
    for info in workers {
        sim.join(info.clone());
    }
    sim
}

#[test]
fn a_fixed_backend_that_refuses_the_model_is_left_where_the_caller_allows_it() {
    let model = identity_model("a");
    for (backends, ends_well) in [(Vec::new(), true), (vec![Backend::WebGpu], false)] {
        let mut sim = fixed(&[info_of(CHROMIUM, &[Backend::WebGpu, Backend::Wasm])]);
        let mut submission = ask(&model);
        submission.constraints.backends = backends;
        let request = sim.accept(submission);
        let session = *sim.loading.keys().next().expect("it is being loaded");
        assert_eq!(sim.loading[&session].2, Backend::WebGpu);
        sim.load_done(session, Err(failed(FailureKind::UnsupportedByBackend)));
        sim.settle_all();
        match &sim.ended[&request] {
            Ok(report) => assert!(ends_well && report.backend == Backend::Wasm),
            Err(error) => assert!(!ends_well && matches!(error, RunError::Load { .. }), "{error}"),
        }
    }
}

#[test]
fn a_trial_whose_load_hangs_is_given_up_in_time() {
    let model = identity_model("a");
    let mut sim = learning(&model);
    let (request, _) = trial(&mut sim, &model);
    let loads = sim.loads;
    sim.advance(Duration::from_secs(1));
    for lease in sim.running() {
        sim.run_done(lease, Ok(1.0));
    }
    assert!(sim.ended[&request].is_ok(), "the leader computed it");
    for _ in 0..30 {
        let next = sim.accept(ask(&model));
        for lease in sim.running() {
            sim.run_done(lease, Ok(1.0));
        }
        assert!(sim.ended[&next].is_ok(), "nobody else waits for the load that hangs");
    }
    assert_eq!((sim.loads, sim.core.selector().exploring()), (loads, 0));
}

#[test]
fn the_load_of_a_first_request_may_take_a_quarter_of_its_time() {
    let mut config = PoolConfig::default();
    config.selection.policy = PolicyName::RoundRobin;
    let mut sim = Sim::new(config);
    for browser in [CHROMIUM, FIREFOX] {
        sim.join(info_of(browser, &[Backend::Wasm]));
    }
    let model = identity_model("a");
    let request = sim.accept(ask(&model));
    let first = *sim.loading.keys().next().expect("it is being loaded");
    sim.advance(Duration::from_secs(14));
    assert_eq!(sim.loads, 1);
    sim.advance(Duration::from_secs(1));
    assert_eq!(sim.loads, 2, "another worker loads it after 15 of 60 s");
    let second = *sim.loading.keys().find(|&&session| session != first).expect("that is another session");
    sim.load_ok(second, 5.0);
    let lease = sim.running()[0];
    sim.run_done(lease, Ok(1.0));
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn a_fixed_backend_waits_for_room_and_is_not_left() {
    let one = WorkerInfo { memory_budget_bytes: 1_500, ..info_of(CHROMIUM, &[Backend::WebGpu]) };
    let mut sim = fixed(&[one, info_of(FIREFOX, &[Backend::Wasm])]);
    let (here, there) = (identity_model("a"), identity_model("b"));
    sim.accept(ask(&here));
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_ok(session, 5.0);
    let request = sim.accept(ask(&there));
    assert!(sim.loading.is_empty(), "there is no room, and no other backend will do");
    sim.advance(Duration::from_secs(10));
    sim.settle_all();
    let report = sim.ended[&request].as_ref().expect("there is room when the other has ended");
    assert_eq!(report.backend, Backend::WebGpu);
}
