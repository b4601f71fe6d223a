//! Who goes first: priorities, fair shares, order of arrival, bounds and deadlines.

mod sim;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pool_core::core::Submission;
use pool_core::{Constraints, LinkError, Model, Phase, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model, info, info_of};
use sim::{Sim, submission};
use vocab::{Backend, BrowserName, RequestId};

fn config() -> PoolConfig {
    let mut config = PoolConfig::default();
    config.queue_capacity = 10_000;
    config
}

/// A simulation with one worker of one slot that has loaded these models and is busy with a first request.
fn busy(config: PoolConfig, models: &[Arc<Model>]) -> Sim {
    let mut sim = Sim::new(config);
    sim.join(WorkerInfo { slots: 1, ..info() });
    for model in models {
        let constraints = Constraints::default();
        sim.accept(Submission { preload: true, ..submission(model, constraints) });
        sim.settle_all();
    }
    sim.accept(submission(&models[0], Constraints { priority: u8::MAX, ..Constraints::default() }));
    sim.sent.clear();
    sim
}

fn with_priority(priority: u8) -> Constraints {
    Constraints { priority, ..Constraints::default() }
}

/// Submits one request per entry, `(model, priority)`, and checks the order in which they run.
#[track_caller]
fn check_order(requests: &[(usize, u8)], order: &[usize]) {
    let models = [identity_model("a"), identity_model("b"), identity_model("c")];
    let mut sim = busy(config(), &models);
    let ids: Vec<RequestId> = requests
        .iter()
        .map(|&(model, priority)| sim.accept(submission(&models[model], with_priority(priority))))
        .collect();
    sim.settle_all();
    let ran: Vec<usize> = sim
        .sent
        .iter()
        .map(|(request, _)| ids.iter().position(|id| id == request).expect("it is one of them"))
        .collect();
    assert_eq!(ran, order);
}

#[test]
fn one_model_is_first_come_first_served() {
    check_order(&[(0, 0), (0, 0), (0, 0)], &[0, 1, 2]);
}

#[test]
fn higher_priorities_go_first() {
    check_order(&[(0, 0), (0, 5), (0, 9), (0, 5)], &[2, 1, 3, 0]);
    check_order(&[(0, 0), (1, 1), (2, 2)], &[2, 1, 0]);
}

#[test]
fn models_take_turns_whoever_came_first() {
    check_order(&[(0, 0), (0, 0), (0, 0), (1, 0), (1, 0), (1, 0)], &[0, 3, 1, 4, 2, 5]);
}

/// Floods two models of these weights, and checks how the first `n` runs divide, each run taking `ms` in the page.
#[track_caller]
fn check_shares(weights: [u32; 2], ms: [f64; 2], n: usize, expected: [usize; 2]) {
    let models = [identity_model("a"), identity_model("b")];
    let mut config = config();
    config.weights = models.iter().zip(weights).map(|(model, weight)| (model.name.clone(), weight)).collect();
    let mut sim = busy(config, &models);
    let mut owner = BTreeMap::new();
    for _ in 0..400 {
        for (index, model) in models.iter().enumerate() {
            owner.insert(sim.accept(submission(model, Constraints::default())), index);
        }
    }
    // Some runs first, so that it is known what each model costs.
    let mut counts = [0_usize; 2];
    for round in 0..n + 60 {
        let lease = sim.running()[0];
        let index = sim.sent.last().and_then(|(request, _)| owner.get(request)).copied().unwrap_or(0);
        if round >= 60 {
            counts[index] += 1;
        }
        sim.run_done(lease, Ok(ms[index]));
    }
    for (got, expected) in counts.into_iter().zip(expected) {
        assert!(got.abs_diff(expected) <= n / 20, "{counts:?}, about {expected:?} were expected");
    }
}

#[test]
fn equal_models_get_equal_shares() {
    check_shares([1, 1], [10.0, 10.0], 200, [100, 100]);
}

#[test]
fn weights_divide_the_time() {
    check_shares([3, 1], [10.0, 10.0], 200, [150, 50]);
}

#[test]
fn shares_are_of_time_not_of_requests() {
    check_shares([1, 1], [40.0, 10.0], 200, [40, 160]);
}

#[test]
fn a_model_that_pauses_does_not_save_up_turns() {
    let models = [identity_model("a"), identity_model("b")];
    let mut sim = busy(config(), &models);
    for _ in 0..100 {
        sim.accept(submission(&models[0], Constraints::default()));
    }
    for _ in 0..50 {
        let lease = sim.running()[0];
        sim.run_done(lease, Ok(1.0));
    }
    let late: Vec<_> = (0..10).map(|_| sim.accept(submission(&models[1], Constraints::default()))).collect();
    sim.sent.clear();
    for _ in 0..12 {
        let lease = sim.running()[0];
        sim.run_done(lease, Ok(1.0));
    }
    let served = sim.sent.iter().filter(|(request, _)| late.contains(request)).count();
    assert!((5..=7).contains(&served), "{served} of 12 turns went to the model that came late");
}

#[test]
fn a_request_whose_workers_are_busy_blocks_no_other() {
    let mut sim = Sim::new(config());
    let chromium = sim.join(WorkerInfo { slots: 1, ..info_of(BrowserName::Chromium, &[Backend::Wasm]) });
    let firefox = sim.join(WorkerInfo { slots: 1, ..info_of(BrowserName::Firefox, &[Backend::Wasm]) });
    let only = |browser| Constraints { browsers: vec![browser], priority: 9, ..Constraints::default() };
    let model = identity_model("a");
    for _ in 0..20 {
        sim.accept(submission(&model, only(BrowserName::Chromium)));
    }
    sim.settle();
    assert_eq!(sim.sent.last().map(|sent| sent.1), Some(chromium));
    // The same model, and another one, of a lower priority, for the worker that is idle.
    for model in [&model, &identity_model("b")] {
        let low = Constraints { priority: 0, ..only(BrowserName::Firefox) };
        let request = sim.accept(submission(model, low));
        let session = *sim.loading.keys().next().expect("the idle worker loads it at once");
        sim.load_ok(session, 1.0);
        assert_eq!(sim.sent.last(), Some(&(request, firefox)));
        let lease = *sim.pages[&firefox].running.keys().next().expect("it runs");
        sim.run_done(lease, Ok(1.0));
    }
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let models = [identity_model("a")];
    let mut small = config();
    small.queue_capacity = 3;
    let mut sim = busy(small, &models);
    for _ in 0..3 {
        sim.accept(submission(&models[0], Constraints::default()));
    }
    let error = sim.submit(submission(&models[0], Constraints::default())).expect_err("the queue is full");
    assert!(matches!(error, RunError::QueueFull { capacity: 3, .. }), "{error:?}");
    assert!(error.retry_after().is_some_and(|after| after >= Duration::from_millis(10)));
    assert!(!error.is_callers_fault());
    let lease = sim.running()[0];
    sim.run_done(lease, Ok(1.0));
    sim.accept(submission(&models[0], Constraints::default()));
}

/// Brings a request into a phase, lets its deadline pass, and checks which phase the error names.
#[track_caller]
fn check_deadline(bring: impl FnOnce(&mut Sim), phase: Phase) {
    let mut sim = Sim::new(config());
    sim.join(WorkerInfo { slots: 1, ..info() });
    bring(&mut sim);
    let timeout = Some(Duration::from_millis(500));
    let request =
        sim.accept(submission(&identity_model("a"), Constraints { timeout, ..Constraints::default() }));
    if phase == Phase::Running {
        sim.settle();
    }
    sim.advance(Duration::from_millis(499));
    assert!(sim.open.contains(&request), "its time has not come");
    sim.advance(Duration::from_millis(1));
    let waited = Duration::from_millis(500);
    assert_eq!(sim.ended[&request], Err(RunError::DeadlineExceeded { phase, waited, last_cause: None }));
}

#[test]
fn deadlines_fire_wherever_a_request_is() {
    check_deadline(|_| (), Phase::Loading);
    check_deadline(|_| (), Phase::Running);
    check_deadline(
        |sim| {
            sim.accept(submission(&identity_model("a"), Constraints::default()));
            sim.settle();
        },
        Phase::Queued,
    );
}

#[test]
fn a_slot_is_free_only_when_its_worker_says_so() {
    let models = [identity_model("a")];
    let mut sim = busy(config(), &models);
    let first = *sim.open.first().expect("one is running");
    let second = sim.accept(submission(&models[0], Constraints::default()));
    sim.cancel(first);
    assert_eq!(sim.ended[&first], Err(RunError::Cancelled));
    assert!(sim.sent.is_empty(), "the slot is taken until the cancellation is confirmed");
    assert_eq!(sim.core.stats().cancelling, 1);
    let lease = sim.running()[0];
    sim.run_done(lease, Err(LinkError::Cancelled));
    assert_eq!(sim.sent.last().map(|sent| sent.0), Some(second));
}

#[test]
fn a_worker_that_does_not_confirm_is_taken_out() {
    let models = [identity_model("a")];
    let mut sim = busy(config(), &models);
    let first = *sim.open.first().expect("one is running");
    let second = sim.accept(submission(&models[0], Constraints::default()));
    sim.cancel(first);
    sim.advance(PoolConfig::default().cancel_grace);
    assert!(sim.pages.is_empty(), "the worker is out");
    sim.join(info());
    sim.settle_all();
    assert!(sim.ended[&second].is_ok(), "another worker serves who waited");
}
