//! Where models are loaded, how often, and what has to go for them.

mod sim;

use std::sync::Arc;
use std::time::Duration;

use pool_core::core::{SessionPhase, Submission};
use pool_core::{Constraints, LinkError, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model, identity_model_of, info, info_of};
use sim::{Sim, dims, report, submission};
use telemetry::{Event, EvictCause};
use vocab::{Backend, BrowserName, WorkerId};

fn any() -> Constraints {
    Constraints::default()
}

fn sim() -> Sim {
    let mut config = PoolConfig::default();
    config.queue_capacity = 10_000;
    Sim::new(config)
}

/// A worker with one slot and room for this many bytes.
fn small(bytes: u64) -> WorkerInfo {
    WorkerInfo { slots: 1, memory_budget_bytes: bytes, ..info() }
}

/// Submits this many requests for one unloaded model to this many workers, and checks how many loads that causes.
#[track_caller]
fn check_loads(workers: usize, requests: usize, loads: usize) {
    let mut sim = sim();
    for _ in 0..workers {
        sim.join(info());
    }
    for _ in 0..requests {
        sim.accept(submission(&identity_model("a"), any()));
    }
    assert_eq!(sim.loads, loads);
    sim.settle_all();
    assert_eq!(sim.ended.values().filter(|result| result.is_ok()).count(), requests);
}

#[test]
fn one_session_is_loaded_once_however_many_want_it() {
    check_loads(1, 10, 1);
    check_loads(1, 1_000, 1);
    check_loads(2, 10, 1);
}

#[test]
fn a_deep_queue_pays_for_more_loads() {
    check_loads(2, 100, 2);
    check_loads(4, 1_000, 4);
}

/// With runs and loads of known cost, checks whether an idle worker loads what another one already has.
#[track_caller]
fn check_spread(load_ms: f64, run_ms: f64, waiting: usize, spreads: bool) {
    let mut sim = sim();
    sim.join(small(1_000_000));
    let model = identity_model("a");
    sim.accept(submission(&model, any()));
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_ok(session, load_ms);
    let lease = sim.running()[0];
    sim.run_done(lease, Ok(run_ms));
    sim.join(small(1_000_000));
    for _ in 0..waiting + 1 {
        sim.accept(submission(&model, any()));
    }
    assert_eq!(sim.loads == 2, spreads);
}

#[test]
fn another_load_is_made_when_waiting_costs_more() {
    check_spread(300.0, 40.0, 5, false);
    check_spread(300.0, 40.0, 9, true);
    check_spread(10.0, 40.0, 1, true);
}

#[test]
fn who_waits_longer_than_a_load_gets_one() {
    let mut sim = sim();
    sim.join(small(1_000_000));
    sim.join(small(1_000_000));
    let model = identity_model("a");
    sim.accept(submission(&model, any()));
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_ok(session, 300.0);
    let waiting = sim.accept(submission(&model, any()));
    sim.advance(Duration::from_millis(299));
    assert_eq!(sim.loads, 1, "the first worker may be done at any moment");
    sim.advance(Duration::from_millis(2));
    assert_eq!(sim.loads, 2, "it is not");
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_ok(session, 300.0);
    assert_eq!(sim.sent.last().map(|sent| sent.0), Some(waiting));
}

#[test]
fn requests_go_where_the_model_is_and_least_is_pending() {
    let mut sim = sim();
    let workers: Vec<WorkerId> = (0..3).map(|_| sim.join(info())).collect();
    let model = identity_model("a");
    for _ in 0..100 {
        sim.accept(submission(&model, any()));
    }
    sim.settle_all();
    sim.sent.clear();
    for _ in 0..6 {
        sim.accept(submission(&model, any()));
    }
    let mut used: Vec<_> = sim.sent.iter().map(|sent| sent.1).collect();
    used.sort_unstable();
    assert_eq!(used, [workers[0], workers[0], workers[1], workers[1], workers[2], workers[2]]);
}

#[test]
fn the_least_recently_used_idle_model_goes_first() {
    let mut sim = sim();
    sim.join(small(3_000));
    for name in ["a", "b", "c", "a"] {
        sim.accept(submission(&identity_model(name), any()));
        sim.settle_all();
    }
    sim.accept(submission(&identity_model("d"), any()));
    let left: Vec<_> =
        sim.core.stats().workers[0].sessions.iter().map(|s| (s.name.clone(), s.phase)).collect();
    let ready = |name: &str| (name.to_owned(), SessionPhase::Ready);
    let expected = [
        ready("a"),
        ("b".to_owned(), SessionPhase::Unloading),
        ready("c"),
        ("d".to_owned(), SessionPhase::Pending),
    ];
    assert_eq!(left, expected);
    sim.settle_all();
    assert_eq!(sim.ended.values().filter(|result| result.is_ok()).count(), 5);
}

#[test]
fn the_number_of_sessions_is_bounded_too() {
    let mut config = PoolConfig::default();
    config.sessions_per_worker = 2;
    let mut sim = Sim::new(config);
    sim.join(info());
    for name in ["a", "b", "c", "d"] {
        sim.accept(submission(&identity_model_of(name, 0), any()));
        sim.settle_all();
        assert!(sim.core.stats().workers[0].sessions.len() <= 2);
    }
    let evicted =
        |event: &&Event| matches!(event, Event::SessionEvicted { cause: EvictCause::SessionLimit, .. });
    assert_eq!(sim.events.iter().filter(evicted).count(), 2);
}

#[test]
fn a_model_in_use_stays_and_two_that_do_not_fit_take_turns() {
    let mut sim = sim();
    sim.join(small(1_000));
    let (a, b) = (identity_model("a"), identity_model("b"));
    for _ in 0..40 {
        sim.accept(submission(&a, any()));
    }
    sim.settle();
    for _ in 0..40 {
        sim.accept(submission(&b, any()));
    }
    assert_eq!(sim.loads, 1, "a session in use does not go at once");
    let mut order = Vec::new();
    while !sim.open.is_empty() {
        sim.advance(Duration::from_millis(100));
        let session =
            |sim: &Sim| sim.core.stats().workers[0].sessions.first().map(|session| session.name.clone());
        order.extend(session(&sim));
        sim.settle();
    }
    order.dedup();
    assert!(
        order.len() >= 2 && order.len() <= 12,
        "both are served, and neither is loaded for every request: {order:?}"
    );
    assert!(sim.ended.values().all(Result::is_ok));
}

#[test]
fn a_flood_of_one_model_does_not_keep_another_out() {
    let mut sim = sim();
    sim.join(small(1_000));
    let (flood, other) = (identity_model("a"), identity_model("b"));
    for _ in 0..10 {
        sim.accept(submission(&flood, any()));
    }
    sim.settle_all();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let began = sim.now;
        let request = sim.accept(submission(&other, any()));
        while sim.open.contains(&request) {
            // The flood never ends.
            while sim.open.len() < 20 {
                sim.accept(submission(&flood, any()));
            }
            sim.settle();
            sim.advance(Duration::from_millis(10));
        }
        waits.push((sim.now - began).as_millis());
        assert!(waits.iter().all(|&wait| wait < 5_000), "{waits:?}");
    }
    assert!(sim.ended.values().all(Result::is_ok));
}

#[test]
fn static_shapes_have_a_session_each() {
    let mut sim = sim();
    sim.join(info_of(BrowserName::ChromiumHeadlessShell, &[Backend::WebNn]));
    let model = identity_model("a");
    for n in [16, 128, 16, 128, 16] {
        sim.accept(Submission { dims: dims(n), ..submission(&model, any()) });
    }
    let mut shapes: Vec<_> = sim.loading.values().map(|load| Arc::clone(&load.3)).collect();
    shapes.sort();
    assert_eq!(shapes, [dims(16), dims(128)]);
    sim.settle_all();
    assert_eq!((sim.ended.len(), sim.loads), (5, 2));
}

#[test]
fn dynamic_shapes_share_one_session() {
    let mut sim = sim();
    sim.join(info());
    for n in 0..20 {
        sim.accept(Submission { dims: dims(n), ..submission(&identity_model("a"), any()) });
    }
    sim.settle_all();
    assert_eq!((sim.ended.len(), sim.loads), (20, 1));
}

/// Lets three workers, one for each backend, join, and checks which backend a request with these preferences loads on.
#[track_caller]
fn check_backend(preferred: &[Backend], offered: &[Backend], expected: Backend) {
    let mut sim = sim();
    for &backend in offered {
        sim.join(info_of(BrowserName::Chromium, &[backend]));
    }
    sim.accept(submission(&identity_model("a"), Constraints { backends: preferred.to_vec(), ..any() }));
    assert_eq!(sim.loading.values().next().map(|load| load.2), Some(expected));
}

#[test]
fn the_first_backend_that_somebody_has_is_used() {
    use Backend::{Wasm, WebGpu, WebNn};
    check_backend(&[WebNn, Wasm], &[Wasm, WebGpu, WebNn], WebNn);
    check_backend(&[WebNn, Wasm], &[Wasm, WebGpu], Wasm);
    check_backend(&[WebGpu], &[Wasm, WebGpu], WebGpu);
    check_backend(&[], &[WebGpu], WebGpu);
}

#[test]
fn a_preferred_backend_is_waited_for_while_it_is_busy() {
    let mut sim = sim();
    let webnn = sim.join(WorkerInfo { slots: 1, ..info_of(BrowserName::Chromium, &[Backend::WebNn]) });
    sim.join(info_of(BrowserName::Chromium, &[Backend::Wasm]));
    let prefers = Constraints { backends: vec![Backend::WebNn, Backend::Wasm], fallback: true, ..any() };
    for _ in 0..5 {
        sim.accept(submission(&identity_model("a"), prefers.clone()));
    }
    sim.settle_all();
    assert!(sim.sent.iter().all(|sent| sent.1 == webnn), "{:?}", sim.sent);
}

#[test]
fn nobody_who_could_ever_serve_is_told_at_once() {
    let mut sim = sim();
    let error = sim.submit(submission(&identity_model("a"), any())).expect_err("there is no worker");
    assert!(matches!(&error, RunError::NoWorker(why) if why.workers == 0), "{error}");
    sim.join(small(5_000));
    let firefox = Constraints { browsers: vec![BrowserName::Firefox], ..any() };
    let error = sim.submit(submission(&identity_model("a"), firefox)).expect_err("there is no Firefox");
    assert!(
        matches!(&error, RunError::NoWorker(why) if (why.workers, why.wrong_browser) == (1, 1)),
        "{error}"
    );
    let webgpu = Constraints { backends: vec![Backend::WebGpu], ..any() };
    let error = sim.submit(submission(&identity_model("a"), webgpu)).expect_err("there is no WebGPU");
    assert!(matches!(&error, RunError::NoWorker(why) if why.wrong_backend == 1), "{error}");
    let error = sim.submit(submission(&identity_model_of("big", 6_000), any())).expect_err("it is too large");
    assert_eq!(error, RunError::ModelTooLarge { needs: 6_000, largest: 5_000 });
    assert!(error.is_callers_fault());
}

#[test]
fn expected_workers_are_waited_for() {
    let mut config = PoolConfig::default();
    config.expect_workers = true;
    let mut sim = Sim::new(config);
    let request = sim.accept(submission(&identity_model("a"), any()));
    sim.join(info());
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn a_preload_takes_no_slot_and_shares_its_load() {
    let mut sim = sim();
    sim.join(small(1_000_000));
    let (a, b) = (identity_model("a"), identity_model("b"));
    sim.accept(submission(&a, any()));
    sim.settle();
    let first = sim.accept(Submission { preload: true, ..submission(&b, any()) });
    let second = sim.accept(Submission { preload: true, ..submission(&b, any()) });
    assert_eq!(sim.loads, 2);
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_ok(session, 7.0);
    for request in [first, second] {
        let report = sim.ended[&request].as_ref().expect("it is loaded");
        assert_eq!(report.load_ms, Some(7.0));
    }
    assert_eq!(sim.running().len(), 1, "the only slot is still the first request's");
}

#[test]
fn a_load_that_nobody_wants_any_more_makes_room() {
    let mut sim = sim();
    sim.join(small(1_000));
    let first = sim.accept(submission(&identity_model("a"), any()));
    sim.cancel(first);
    let second = sim.accept(submission(&identity_model("b"), any()));
    assert_eq!(sim.cancelled_loads.len(), 1);
    let session = *sim.cancelled_loads.first().expect("it was cancelled");
    sim.load_done(session, Err(LinkError::Cancelled));
    sim.settle_all();
    assert!(sim.ended[&second].is_ok());
}

#[test]
fn a_model_that_takes_more_than_was_estimated_counts_for_what_it_takes() {
    let mut sim = sim();
    sim.join(small(3_000));
    sim.accept(submission(&identity_model("a"), any()));
    sim.settle_all();
    let request = sim.accept(submission(&identity_model("b"), any()));
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_done(session, Ok(pool_core::LoadReport { memory_bytes: Some(2_500), ..report(1.0) }));
    let sessions = &sim.core.stats().workers[0].sessions;
    let left: Vec<_> = sessions.iter().map(|s| (s.name.as_str(), s.phase, s.memory_bytes)).collect();
    assert_eq!(left, [("a", SessionPhase::Unloading, 1_000), ("b", SessionPhase::Ready, 2_500)]);
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}
