//! Circuit breakers within the pool: who is shut out, who never is, and how one comes back.

mod sim;

use std::time::Duration;

use pool_core::core::{BreakerSettings, LeaseId, SessionPhase};
use pool_core::{Constraints, LinkError, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model, info, info_of};
use proptest::prelude::*;
use sim::{Sim, failed, submission};
use telemetry::{BreakerState, Event, Guarded, LeaveCause};
use vocab::{Backend, BrowserName, FailureKind, RequestId, WorkerId};

/// How long a breaker of these tests stays open the first time; without jitter.
const OPEN: Duration = Duration::from_secs(30);

fn sim() -> Sim {
    let mut config = PoolConfig::default();
    config.breakers.workers.breaker.jitter = 0.0;
    config.breakers.arms.breaker.jitter = 0.0;
    Sim::new(config)
}

/// A pool in which one kind of breaker cannot open.
fn without(of: impl FnOnce(&mut BreakerSettings) -> &mut recovery::SetConfig) -> Sim {
    let mut config = PoolConfig::default();
    config.breakers.workers.breaker.jitter = 0.0;
    config.breakers.arms.breaker.jitter = 0.0;
    let breaker = &mut of(&mut config.breakers).breaker;
    breaker.consecutive_failures = 1_000;
    breaker.failure_rate = 1.0;
    breaker.minimum_calls = breaker.window_calls;
    Sim::new(config)
}

/// Two workers with the same browser, of which the first one fails until its breaker opens.
fn opened() -> (Sim, WorkerId, WorkerId) {
    let mut sim = without(|breakers| &mut breakers.arms);
    let [bad, good] = [(); 2].map(|()| sim.join(one_slot(BrowserName::Chromium)));
    load_everywhere(&mut sim, &[bad, good]);
    while !moves(&sim).contains(&(Guarded::Worker { worker: bad }, BreakerState::Open)) {
        for request in [ask(&mut sim), ask(&mut sim)] {
            let (lease, worker) = sent(&sim, request).expect("it runs");
            let result = if worker == bad { Err(failed(FailureKind::Internal)) } else { Ok(1.0) };
            sim.run_done(lease, result);
        }
    }
    (sim, bad, good)
}

fn one_slot(browser: BrowserName) -> WorkerInfo {
    WorkerInfo { slots: 1, ..info_of(browser, &[Backend::Wasm]) }
}

fn ask(sim: &mut Sim) -> RequestId {
    let constraints = Constraints { attempts: Some(1), ..Constraints::default() };
    sim.accept(submission(&identity_model("a"), constraints))
}

/// Every worker loads the model, and each has run it once.
fn load_everywhere(sim: &mut Sim, workers: &[WorkerId]) {
    for &worker in workers {
        let mut preload = submission(&identity_model("a"), Constraints::default());
        preload.preload = true;
        preload.worker = Some(worker);
        sim.accept(preload);
        sim.settle_all();
    }
}

/// The run of a request that was just sent: its lease and its worker.
fn sent(sim: &Sim, request: RequestId) -> Option<(LeaseId, WorkerId)> {
    sim.pages.iter().find_map(|(&worker, page)| {
        let lease = page.running.iter().find(|(_, (of, _))| *of == request);
        lease.map(|(&lease, _)| (lease, worker))
    })
}

fn moves(sim: &Sim) -> Vec<(Guarded, BreakerState)> {
    let moved = sim.events.iter().filter_map(|event| match event {
        Event::BreakerMoved { guarded, to, .. } => Some((*guarded, *to)),
        _ => None,
    });
    moved.collect()
}

#[test]
fn a_worker_that_fails_is_left_alone_and_then_tried_again() {
    let (mut sim, bad, good) = opened();
    for _ in 0..20 {
        let request = ask(&mut sim);
        assert_eq!(sent(&sim, request).expect("it runs").1, good);
        sim.settle_all();
    }
    // While the other one is busy, requests wait, until the time is over.
    let busy = ask(&mut sim);
    let waits = ask(&mut sim);
    assert_eq!((sent(&sim, busy).map(|sent| sent.1), sent(&sim, waits)), (Some(good), None));
    sim.advance(OPEN + Duration::from_millis(1));
    let (trial, worker) = sent(&sim, waits).expect("the breaker's time is over, and that wakes it");
    assert_eq!(worker, bad);
    sim.run_done(trial, Ok(1.0));
    sim.settle_all();
    for _ in 0..20 {
        let requests = [ask(&mut sim), ask(&mut sim)];
        assert!(requests.iter().all(|&request| sent(&sim, request).is_some()), "both workers are used");
        sim.settle_all();
    }
    let closed = (Guarded::Worker { worker: bad }, BreakerState::Closed);
    assert!(moves(&sim).contains(&closed), "{:?}", moves(&sim));
    assert!(sim.core.breakers().iter().all(|status| status.state == BreakerState::Closed));
}

#[test]
fn a_trial_that_fails_opens_it_for_longer() {
    let (mut sim, bad, _) = opened();
    ask(&mut sim);
    let waits = ask(&mut sim);
    sim.advance(OPEN + Duration::from_millis(1));
    let (trial, worker) = sent(&sim, waits).expect("a trial");
    assert_eq!(worker, bad);
    sim.run_done(trial, Err(failed(FailureKind::Internal)));
    let waits = ask(&mut sim);
    sim.advance(OPEN + Duration::from_millis(1));
    assert_eq!(sent(&sim, waits), None, "it stays open for twice as long now");
    sim.advance(OPEN);
    assert_eq!(sent(&sim, waits).expect("a trial").1, bad);
}

/// A trial whose caller went away, whose worker does not confirm, or that is overdue, gives its place back.
#[test]
fn trials_that_are_lost_do_not_keep_it_half_open() {
    let (mut sim, bad, _) = opened();
    ask(&mut sim);
    sim.advance(OPEN + Duration::from_millis(1));
    for _ in 0..10 {
        let request = ask(&mut sim);
        let (lease, worker) = sent(&sim, request).expect("there is always a place for a trial");
        assert_eq!(worker, bad);
        sim.cancel(request);
        sim.run_done(lease, Err(LinkError::Cancelled));
    }
    for _ in 0..3 {
        let request = ask(&mut sim);
        let (lease, _) = sent(&sim, request).expect("a trial");
        sim.run_done(lease, Ok(1.0));
    }
    assert_eq!(moves(&sim).last(), Some(&(Guarded::Worker { worker: bad }, BreakerState::Closed)));
}

#[test]
fn the_only_worker_is_never_shut_out() {
    let mut sim = sim();
    let only = sim.join(one_slot(BrowserName::Chromium));
    load_everywhere(&mut sim, &[only]);
    for _ in 0..50 {
        let request = ask(&mut sim);
        let (lease, _) = sent(&sim, request).expect("it runs all the same");
        sim.run_done(lease, Err(failed(FailureKind::Internal)));
    }
    let request = ask(&mut sim);
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

/// One model that a browser cannot compute does not keep that browser from computing another.
#[test]
fn one_model_s_failures_are_not_another_s() {
    // The worker's own breaker would open first.
    let mut sim = without(|breakers| &mut breakers.workers);
    let [bad, good] = [BrowserName::Chromium, BrowserName::Firefox].map(|name| sim.join(one_slot(name)));
    load_everywhere(&mut sim, &[bad, good]);
    let in_bad =
        || Constraints { browsers: vec![BrowserName::Chromium], attempts: Some(1), ..Constraints::default() };
    for _ in 0..30 {
        let request = sim.accept(submission(&identity_model("a"), in_bad()));
        let (lease, worker) = sent(&sim, request).expect("whom the caller names is never shut out");
        assert_eq!(worker, bad);
        sim.run_done(lease, Err(failed(FailureKind::Internal)));
    }
    let request = ask(&mut sim);
    assert_eq!(sent(&sim, request).expect("it runs").1, good);
    let open: Vec<_> = moves(&sim);
    let arm = Guarded::Arm {
        model: identity_model("a").hash,
        browser: BrowserName::Chromium,
        backend: Backend::Wasm,
    };
    assert_eq!(open, [(arm, BreakerState::Open)]);
    let other = sim.accept(submission(&identity_model("b"), in_bad()));
    sim.settle_all();
    assert!(sim.ended[&other].is_ok());
}

#[test]
fn what_the_caller_caused_trips_nothing() {
    for kind in [
        FailureKind::InvalidInput,
        FailureKind::InvalidModel,
        FailureKind::UnsupportedOperator,
        FailureKind::UnsupportedDtype,
        FailureKind::UnsupportedByBackend,
    ] {
        let mut sim = sim();
        let worker = sim.join(info());
        load_everywhere(&mut sim, &[worker]);
        for _ in 0..100 {
            let request = ask(&mut sim);
            let Some((lease, _)) = sent(&sim, request) else {
                // A backend that refused the model is left alone for a while.
                assert!(sim.ended.contains_key(&request) || kind == FailureKind::UnsupportedByBackend);
                sim.settle_all();
                continue;
            };
            sim.run_done(lease, Err(failed(kind.clone())));
        }
        assert_eq!(moves(&sim), [], "{kind}");
        assert!(sim.core.breakers().iter().all(|status| status.health > 0.99), "{kind}");
    }
}

/// Five runs that end with one browser are one failure.
#[test]
fn one_crash_is_one_failure() {
    let mut sim = sim();
    let worker = sim.join(WorkerInfo { slots: 8, ..info() });
    load_everywhere(&mut sim, &[worker]);
    for _ in 0..8 {
        ask(&mut sim);
    }
    assert_eq!(sim.running().len(), 8);
    sim.leave(worker, LeaveCause::Crashed);
    assert_eq!(moves(&sim), []);
    let arm = sim.core.breakers().into_iter().find(|status| matches!(status.guarded, Guarded::Arm { .. }));
    // One load and the first run of eight: (1 + 2) / (2 + 2).
    assert_eq!(arm.expect("its breaker").health, 0.75);
    assert!(
        sim.ended
            .values()
            .filter(|end| end.is_err())
            .all(|end| { matches!(end, Err(RunError::WorkersLost { .. })) })
    );
}

#[test]
fn switched_off_nobody_is_shut_out() {
    let mut config = PoolConfig::default();
    let mut breakers = BreakerSettings::default();
    breakers.enabled = false;
    config.breakers = breakers;
    let mut sim = Sim::new(config);
    let worker = sim.join(info());
    load_everywhere(&mut sim, &[worker]);
    for _ in 0..20 {
        let request = ask(&mut sim);
        let (lease, _) = sent(&sim, request).expect("it runs");
        sim.run_done(lease, Err(failed(FailureKind::Internal)));
    }
    assert!(moves(&sim).is_empty() && sim.core.breakers().is_empty());
}

proptest! {
    /// Whatever fails wherever: as long as there is a worker, a request that nobody is busy with is sent somewhere, also
    /// where all of them fail, which is what a fault that all share looks like.
    #[test]
    fn somebody_is_always_left(
        workers in 1..6_usize,
        alike in any::<bool>(),
        shared in any::<bool>(),
        bad in prop::collection::vec(any::<bool>(), 6),
        kinds in prop::collection::vec(0..3_usize, 1..120),
        pauses in prop::collection::vec(0..40_u64, 1..20),
    ) {
        let mut sim = sim();
        let names = [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk];
        let name = |at: usize| if alike { names[0] } else { names[at % 3] };
        let ids: Vec<_> = (0..workers).map(|at| sim.join(one_slot(name(at)))).collect();
        load_everywhere(&mut sim, &ids);
        for (at, kind) in kinds.iter().enumerate() {
            let request = ask(&mut sim);
            let kind = &[FailureKind::Internal, FailureKind::OutOfMemory, FailureKind::DeviceLost][*kind];
            while !sim.ended.contains_key(&request) {
                if let Some((lease, worker)) = sent(&sim, request) {
                    let place = ids.iter().position(|&id| id == worker).expect("one of them");
                    sim.run_done(lease, if shared || bad[place] { Err(failed(kind.clone())) } else { Ok(1.0) });
                } else if let Some(&session) = sim.loading.keys().next() {
                    // A session that broke is loaded again first.
                    sim.load_ok(session, 1.0);
                } else {
                    let (stats, breakers) = (sim.core.stats(), sim.core.breakers());
                    return Err(TestCaseError::fail(format!("nobody is left: {stats:?} {breakers:?}")));
                }
            }
            let unloads: Vec<_> = sim.unloading.keys().copied().collect();
            for session in unloads {
                sim.unload_done(session, Ok(()));
            }
            if at % 6 == 0 {
                sim.advance(Duration::from_secs(pauses[at % pauses.len()]));
            }
        }
        // All is well again: whoever is left out comes back, and is used when there is enough to do.
        for _ in 0..100 {
            for _ in 0..workers {
                ask(&mut sim);
            }
            sim.settle_all();
            sim.advance(Duration::from_secs(20));
        }
        let shut: Vec<_> = sim.core.breakers().into_iter().filter(|one| one.state == BreakerState::Open).collect();
        let ready = sim.core.stats().workers.iter().all(|worker| {
            worker.sessions.iter().any(|session| session.phase == SessionPhase::Ready)
        });
        // Nobody asks a browser that others surpass, so its breaker stays as it is.
        prop_assert!(!alike || !ready || shut.is_empty(), "{shut:?}");
    }
}
