//! Guests in the decision core: what they get, what they do not, and that nobody waits for one or suffers from one.

mod sim;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pool_core::core::{Scrutiny, SessionPhase, Submission};
use pool_core::{
    Confirmation, Constraints, Guest, LeaveCause, LinkError, Model, PoolConfig, RunError, WorkerInfo,
};
use pool_core_testing::{identity_model, info, info_of};
use proptest::prelude::*;
use sim::{Sim, failed, submission};
use telemetry::{BreakerState, Event};
use vocab::{Backend, BrowserName, FailureKind, RequestId, WorkerId};

fn free() -> Constraints {
    Constraints::default()
}

fn sim() -> Sim {
    Sim::new(PoolConfig::default())
}

/// A guest that gets these models.
fn guest(models: &[&Arc<Model>], trusted: bool) -> WorkerInfo {
    let mut guest = Guest::new("guest-1", 7);
    guest.models = Arc::new(models.iter().map(|model| model.hash).collect());
    guest.trusted = trusted;
    WorkerInfo { guest: Some(guest), ..info() }
}

fn preload(model: &Arc<Model>, worker: WorkerId) -> Submission {
    Submission { preload: true, worker: Some(worker), ..submission(model, free()) }
}

/// One worker of the owner's with one slot, and one guest; both have the model.
fn pair(model: &Arc<Model>) -> (Sim, WorkerId, WorkerId) {
    let mut sim = sim();
    let own = sim.join(WorkerInfo { slots: 1, ..info() });
    let guest = sim.join(guest(&[model], false));
    for worker in [own, guest] {
        sim.accept(preload(model, worker));
        sim.settle_all();
    }
    (sim, own, guest)
}

fn where_sent(sim: &Sim, request: RequestId) -> Option<WorkerId> {
    sim.sent.iter().rev().find(|(sent, _)| *sent == request).map(|(_, worker)| *worker)
}

#[test]
fn a_request_whose_only_capable_worker_is_a_guest_that_does_not_get_the_model_has_no_worker() {
    let (allowed, other) = (identity_model("a"), identity_model("b"));
    for trusted in [false, true] {
        let mut sim = sim();
        sim.join(guest(&[&allowed], trusted));
        let refused = sim.submit(submission(&other, free()));
        assert!(matches!(refused, Err(RunError::NoWorker(_))), "{refused:?}");
        assert_eq!(sim.submit(submission(&allowed, free())).is_ok(), trusted, "nor is a stranger relied on");
    }
}

#[test]
fn a_guest_takes_what_the_owner_s_workers_have_no_slot_for() {
    let model = identity_model("a");
    let (mut sim, own, guest) = pair(&model);
    let first = sim.accept(submission(&model, free()));
    let second = sim.accept(submission(&model, free()));
    assert_eq!((where_sent(&sim, first), where_sent(&sim, second)), (Some(own), Some(guest)));
    sim.settle_all();
    assert_eq!(sim.ended[&second].as_ref().expect("a result").guest.as_deref(), Some("guest-1"));
    assert_eq!(sim.ended[&first].as_ref().expect("a result").guest, None);
}

/// Asks for a model while the owner's one slot is taken; a stranger gets it or not.
#[track_caller]
fn check_given(constraints: Constraints, stateful: bool, given: bool) {
    let model = identity_model("a");
    let (mut sim, own, guest) = pair(&model);
    assert_eq!(sim.accept(submission(&model, free())), sim.sent.last().expect("it is sent").0);
    assert_eq!(sim.sent.last().expect("it is sent").1, own);
    let request = sim.accept(Submission { stateful, ..submission(&model, constraints) });
    assert_eq!(where_sent(&sim, request), given.then_some(guest));
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn who_names_a_browser_or_keeps_caches_gets_the_owner_s() {
    check_given(free(), false, true);
    check_given(Constraints { backends: vec![Backend::Wasm], ..free() }, false, true);
    check_given(free(), true, false);
    check_given(Constraints { browsers: vec![info().browser], ..free() }, false, false);
}

#[test]
fn a_stranger_runs_nothing_that_nobody_could_confirm() {
    let model = identity_model("a");
    let (mut sim, own, guest) = pair(&model);
    sim.leave(own, LeaveCause::Crashed);
    let request = sim.accept(submission(&model, free()));
    assert_eq!(
        where_sent(&sim, request),
        None,
        "the owner's worker is expected back, and the guest does not count"
    );
    let own = sim.join(WorkerInfo { slots: 1, ..info() });
    sim.settle_all();
    assert_eq!(where_sent(&sim, request), Some(own));
    // Its sessions are no reason for the owner's workers not to load.
    assert!(sim.ended[&request].is_ok());
    let second = sim.accept(submission(&model, free()));
    let third = sim.accept(submission(&model, free()));
    let both = BTreeSet::from([where_sent(&sim, second), where_sent(&sim, third)]);
    assert_eq!(both, BTreeSet::from([Some(own), Some(guest)]));
    sim.settle_all();
}

/// What a guest's run ends with; the request ends well, the guest stays or not.
#[track_caller]
fn check_failure(error: LinkError, stays: bool) {
    let model = identity_model("a");
    let (mut sim, own, guest) = pair(&model);
    let first = sim.accept(submission(&model, free()));
    let constraints = Constraints { attempts: Some(1), ..free() };
    let second = sim.accept(submission(&model, constraints));
    assert_eq!(where_sent(&sim, second), Some(guest));
    let lease = sim.scrutinies.last().expect("it is doubted").0;
    sim.run_done(lease, Err(error));
    sim.settle_all();
    assert!(sim.ended[&first].is_ok() && sim.ended[&second].is_ok(), "{:?}", sim.ended[&second]);
    assert_eq!(where_sent(&sim, second), Some(own), "and not once more to a guest");
    assert_eq!(sim.pages.contains_key(&guest), stays);
    assert!(sim.core.breakers().iter().all(|breaker| breaker.state == BreakerState::Closed));
    assert!(sim.observed.iter().all(|observation| observation.worker == own), "nothing is learnt from it");
}

#[test]
fn whatever_goes_wrong_at_a_guest_costs_its_request_nothing() {
    check_failure(LinkError::Vanished { detail: "gone".to_owned() }, false);
    check_failure(LinkError::Cancelled, true);
    check_failure(failed(FailureKind::Internal), true);
    check_failure(failed(FailureKind::InvalidInput), true);
    check_failure(failed(FailureKind::OutOfMemory), true);
    check_failure(failed(FailureKind::UnsupportedOperator), true);
    check_failure(failed(FailureKind::WrongNumbers), false);
}

#[test]
fn a_liar_is_quarantined_and_not_expected_back() {
    let model = identity_model("a");
    let (mut sim, _, guest) = pair(&model);
    sim.accept(submission(&model, free()));
    sim.accept(submission(&model, free()));
    let lease = sim.scrutinies.last().expect("it is doubted").0;
    sim.run_done(lease, Err(failed(FailureKind::WrongNumbers)));
    let left = Event::WorkerLeft { worker: guest, cause: LeaveCause::Quarantined };
    assert!(sim.events.contains(&left));
    sim.settle_all();
}

#[test]
fn what_a_guest_refuses_to_load_is_loaded_elsewhere_as_before() {
    let model = identity_model("a");
    let mut sim = sim();
    let own = sim.join(info());
    let guest = sim.join(guest(&[&model], false));
    sim.accept(preload(&model, own));
    sim.settle_all();
    let refused = sim.accept(preload(&model, guest));
    let session = *sim.loading.keys().next().expect("it loads");
    sim.load_done(session, Err(failed(FailureKind::UnsupportedOperator)));
    assert!(sim.ended[&refused].is_err(), "the preload was for it alone");
    // The owner's browsers of the same kind are asked as if nothing had been.
    let request = sim.accept(submission(&model, Constraints { backends: vec![Backend::Wasm], ..free() }));
    assert_eq!(where_sent(&sim, request), Some(own));
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn answers_are_all_confirmed_at_first_and_then_by_chance() {
    let model = identity_model("a");
    let mut sim = sim();
    sim.join(WorkerInfo { slots: 1, ..info() });
    let mut lent = guest(&[&model], false);
    if let Some(guest) = &mut lent.guest {
        guest.confirmation = confirmation(3, 4);
    }
    sim.join(lent);
    let workers: Vec<WorkerId> = sim.pages.keys().copied().collect();
    for worker in workers {
        sim.accept(preload(&model, worker));
        sim.settle_all();
    }
    for _ in 0..403 {
        sim.accept(submission(&model, free()));
        sim.accept(submission(&model, free()));
        let (lease, scrutiny) = *sim.scrutinies.last().expect("the guest has the second");
        if scrutiny == Scrutiny::Confirm {
            sim.core.confirmed(lease);
        }
        sim.settle_all();
    }
    let confirms = |part: &[(pool_core::core::LeaseId, Scrutiny)]| {
        part.iter().filter(|(_, scrutiny)| *scrutiny == Scrutiny::Confirm).count()
    };
    assert_eq!(sim.scrutinies.len(), 403);
    assert_eq!(confirms(&sim.scrutinies[..3]), 3);
    let later = confirms(&sim.scrutinies[3..]);
    assert!((60..=140).contains(&later), "{later} of 400, where 100 are expected");
    let stats = sim.core.stats();
    let told = stats.workers[1].guest.as_ref().expect("a guest");
    assert_eq!((told.confirmed as usize, told.on_probation), (later + 3, false));
}

fn confirmation(first: u32, then_one_in: u32) -> Confirmation {
    let mut confirmation = Confirmation::default();
    (confirmation.first, confirmation.then_one_in) = (first, then_one_in);
    confirmation
}

#[test]
fn a_model_that_is_taken_back_is_unloaded_and_not_given_again() {
    let model = identity_model("a");
    let (mut sim, own, guest) = pair(&model);
    sim.core.set_guest_models(sim.now, &Arc::new(BTreeSet::new()));
    sim.obey();
    sim.settle_all();
    let stats = sim.core.stats();
    let there =
        |worker: WorkerId| stats.workers.iter().find(|stats| stats.worker == worker).expect("a worker");
    assert!(there(guest).sessions.is_empty());
    assert_eq!(there(own).sessions[0].phase, SessionPhase::Ready);
    for _ in 0..5 {
        sim.accept(submission(&model, free()));
    }
    assert!(sim.sent.iter().all(|(_, worker)| *worker == own));
    sim.settle_all();
}

#[test]
fn a_model_that_is_not_a_function_goes_to_no_stranger() {
    let model = identity_model("a");
    let (mut sim, own, _) = pair(&model);
    sim.core.keep_from_strangers(model.hash);
    for _ in 0..5 {
        sim.accept(submission(&model, free()));
    }
    assert!(sim.sent.iter().all(|(_, worker)| *worker == own));
    sim.settle_all();
    assert!(sim.ended.values().all(Result::is_ok));
}

#[test]
fn guests_hold_no_parts_of_models() {
    let model = identity_model("a");
    let (sim, own, _) = pair(&model);
    let prospects = sim.core.prospects(sim.now, &model, &[], &[]);
    assert_eq!(prospects.iter().map(|prospect| prospect.worker).collect::<Vec<_>>(), [own]);
}

#[test]
fn a_trusted_guest_serves_alone_and_no_other_model() {
    let (model, other) = (identity_model("a"), identity_model("b"));
    let mut sim = sim();
    let lent = sim.join(guest(&[&model], true));
    let request = sim.accept(submission(&model, Constraints { backends: vec![Backend::Wasm], ..free() }));
    sim.settle_all();
    assert_eq!(where_sent(&sim, request), Some(lent));
    assert!(sim.ended[&request].is_ok() && sim.scrutinies.is_empty());
    assert!(matches!(sim.submit(submission(&other, free())), Err(RunError::NoWorker(_))));
    let steps = Submission { stateful: true, ..submission(&model, free()) };
    assert!(matches!(sim.submit(steps), Err(RunError::NoWorker(_))), "sequences are the owner's");
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        model: usize,
        stateful: bool,
        named: bool,
    },
    Own,
    Guest {
        trusted: bool,
    },
    Leave(usize),
    Rest(usize),
    Serve(usize),
    /// A run ends: well, or as one of these failures.
    End(usize, Option<FailureKind>),
    Models(bool),
    Settle,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop::sample::select(vec![
        FailureKind::Internal,
        FailureKind::InvalidInput,
        FailureKind::OutOfMemory,
        FailureKind::DeviceLost,
        FailureKind::WrongNumbers,
        FailureKind::UnsupportedOperator,
    ]);
    let step = prop_oneof![
        6 => (0..2_usize, prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(model, stateful, named)| Step::Ask { model, stateful, named }),
        1 => Just(Step::Own),
        2 => prop::bool::weighted(0.2).prop_map(|trusted| Step::Guest { trusted }),
        1 => (0..8_usize).prop_map(Step::Leave),
        1 => (0..8_usize).prop_map(Step::Rest),
        1 => (0..8_usize).prop_map(Step::Serve),
        4 => (0..8_usize, prop::option::of(kind)).prop_map(|(at, kind)| Step::End(at, kind)),
        1 => any::<bool>().prop_map(Step::Models),
        3 => Just(Step::Settle),
        1 => (1..3_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// Whatever strangers do: they are sent what they are allowed and what can be confirmed, each request ends once, and
    /// none that the owner's workers are there for fails because of them.
    #[test]
    fn strangers_harm_nobody(steps in steps()) {
        let models = [identity_model("a"), identity_model("b")];
        let mut sim = sim();
        // This one stays, and never fails by itself.
        let first = sim.join(info());
        let (mut asked, mut allowed) = (0, true);
        for step in steps {
            let at = |at: usize, sim: &Sim| {
                let others: Vec<WorkerId> = sim.pages.keys().copied().filter(|worker| *worker != first).collect();
                others.get(at % others.len().max(1)).copied()
            };
            match step {
                Step::Ask { model, stateful, named } => {
                    let browsers = if named { vec![info().browser] } else { Vec::new() };
                    let constraints = Constraints { browsers, attempts: Some(20), ..free() };
                    let submission = Submission { stateful, ..submission(&models[model], constraints) };
                    asked += usize::from(sim.submit(submission).is_ok());
                }
                Step::Own => {
                    sim.join(info_of(BrowserName::Firefox, &[Backend::Wasm]));
                }
                Step::Guest { trusted } => {
                    let given: &[&Arc<Model>] = if allowed { &[&models[0]] } else { &[] };
                    let worker = sim.join(guest(given, trusted));
                    if allowed && sim.submit(preload(&models[0], worker)).is_ok() {
                        asked += 1;
                    }
                }
                Step::Leave(which) => if let Some(worker) = at(which, &sim) {
                    sim.leave(worker, LeaveCause::Disconnected);
                },
                Step::Rest(which) => if let Some(worker) = at(which, &sim) {
                    sim.core.drain(sim.now, worker);
                    sim.obey();
                },
                Step::Serve(which) => if let Some(worker) = at(which, &sim) {
                    sim.core.serve(sim.now, worker);
                    sim.obey();
                },
                Step::End(which, kind) => {
                    // Only strangers fail here.
                    let strangers: Vec<_> = sim.pages.values()
                        .filter(|page| page.info.guest.as_ref().is_some_and(|guest| !guest.trusted))
                        .flat_map(|page| page.running.keys().copied())
                        .collect();
                    if let Some(lease) = strangers.get(which % strangers.len().max(1)).copied() {
                        sim.run_done(lease, kind.map_or(Ok(1.0), |kind| Err(failed(kind))));
                    }
                }
                Step::Models(given) => {
                    allowed = given;
                    let models = given.then(|| models[0].hash).into_iter().collect();
                    sim.core.set_guest_models(sim.now, &Arc::new(models));
                    sim.obey();
                }
                Step::Settle => { sim.settle(); }
                Step::Wait(ms) => sim.advance(Duration::from_millis(ms)),
            }
            for page in sim.pages.values().filter(|page| page.info.guest.is_some()) {
                prop_assert!(page.running.values().all(|(request, _)| sim.open.contains(request) || !sim.cancelled_runs.is_empty()));
            }
        }
        for _ in 0..4 {
            sim.settle_all();
            sim.advance(Duration::from_millis(1_500));
        }
        sim.settle_all();
        prop_assert_eq!(sim.open.len(), 0);
        prop_assert_eq!(sim.ended.len(), asked);
        for (request, result) in &sim.ended {
            let preload = where_sent(&sim, *request).is_none();
            prop_assert!(result.is_ok() || preload, "{request}: {result:?}");
        }
        // Guests never see the model that is not theirs.
        for observation in &sim.observed {
            prop_assert!(observation.arm.browser_version.as_ref() == "1.0");
        }
    }
}
