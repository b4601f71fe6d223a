//! Workers that are short of memory, that are emptied, and that are made ready to take over.

mod sim;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pool_core::core::{SessionPhase, Stance, Submission};
use pool_core::{Constraints, LeaveCause, Model, Phase, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model, identity_model_of, info};
use proptest::prelude::*;
use proptest::sample::Index;
use recovery::{MemoryReading, PressureLevel, Use};
use sim::{Sim, submission};
use telemetry::{Event, EvictCause};
use vocab::WorkerId;

fn sim(workers: usize) -> (Sim, Vec<WorkerId>) {
    let mut config = PoolConfig::default();
    config.selection.explore = false;
    let mut sim = Sim::new(config);
    let ids = (0..workers).map(|_| sim.join(WorkerInfo { slots: 2, ..info() })).collect();
    (sim, ids)
}

fn any() -> Constraints {
    Constraints::default()
}

fn ask(sim: &mut Sim, name: &str) -> vocab::RequestId {
    sim.accept(submission(&identity_model(name), any()))
}

/// A preload that names its worker.
fn preload(model: &Arc<Model>, worker: WorkerId) -> Submission {
    Submission { preload: true, worker: Some(worker), ..submission(model, any()) }
}

fn heap(used: u64, limit: u64) -> MemoryReading {
    let mut reading = MemoryReading::default();
    reading.wasm_heap = Some(Use { used, limit });
    reading
}

fn tell(sim: &mut Sim, worker: WorkerId, level: PressureLevel, reading: MemoryReading) {
    sim.core.memory(sim.now, worker, level, reading);
    sim.obey();
}

fn drain(sim: &mut Sim, worker: WorkerId) {
    sim.core.drain(sim.now, worker);
    sim.obey();
}

fn serve(sim: &mut Sim, worker: WorkerId) {
    sim.core.serve(sim.now, worker);
    sim.obey();
}

fn relieve(sim: &mut Sim, worker: WorkerId) -> bool {
    let relieved = sim.core.relieve(sim.now, worker).is_some();
    sim.obey();
    relieved
}

fn names(sim: &Sim, worker: WorkerId) -> Vec<String> {
    let stats = sim.core.stats();
    let its = stats.workers.into_iter().find(|one| one.worker == worker).expect("it is there");
    let ready = its.sessions.into_iter().filter(|session| session.phase == SessionPhase::Ready);
    ready.map(|session| session.name).collect()
}

/// Who ran the last request.
fn last(sim: &Sim) -> Option<WorkerId> {
    sim.sent.last().map(|sent| sent.1)
}

#[test]
fn a_worker_under_pressure_runs_what_it_has_and_loads_nothing() {
    let (mut sim, workers) = sim(2);
    let tight = workers[0];
    ask(&mut sim, "a");
    sim.settle_all();
    assert_eq!(last(&sim), Some(tight));
    tell(&mut sim, tight, PressureLevel::Elevated, MemoryReading::default());
    ask(&mut sim, "a");
    sim.settle_all();
    assert_eq!(last(&sim), Some(tight), "what is loaded runs");
    for name in ["b", "c", "d"] {
        ask(&mut sim, name);
        sim.settle_all();
        assert_eq!(last(&sim), Some(workers[1]), "{name} goes elsewhere");
    }
    assert_eq!(names(&sim, tight), ["a"]);
}

#[test]
fn a_request_that_only_memory_holds_back_waits_for_it() {
    let (mut sim, workers) = sim(1);
    let constraints = Constraints { timeout: Some(Duration::from_secs(5)), ..any() };
    tell(&mut sim, workers[0], PressureLevel::High, MemoryReading::default());
    let late = sim.accept(submission(&identity_model("a"), constraints));
    for _ in 0..6 {
        sim.advance(Duration::from_secs(1));
    }
    let end = sim.ended[&late].as_ref().expect_err("there was no memory");
    assert!(matches!(end, RunError::DeadlineExceeded { phase: Phase::Memory, .. }), "{end:?}");

    let patient = ask(&mut sim, "a");
    assert_eq!(sim.loads, 0);
    tell(&mut sim, workers[0], PressureLevel::Normal, MemoryReading::default());
    assert_eq!(sim.loads, 1, "the load begins as soon as there is memory");
    sim.settle_all();
    assert!(sim.ended[&patient].is_ok());
}

#[test]
fn a_worker_that_joins_a_full_machine_loads_nothing_that_does_not_name_it() {
    let (mut sim, _) = sim(0);
    sim.core.machine_memory(PressureLevel::Elevated, MemoryReading::default());
    let worker = sim.join(info());
    ask(&mut sim, "a");
    assert_eq!(sim.loads, 0);
    sim.accept(preload(&identity_model("b"), worker));
    sim.settle_all();
    assert_eq!(names(&sim, worker), ["b"], "what it had before comes back");
    tell(&mut sim, worker, PressureLevel::Normal, MemoryReading::default());
    sim.settle_all();
    assert_eq!(names(&sim, worker), ["b", "a"]);
}

/// Loads models of these sizes one after the other on a worker whose heap is `used` of `limit` in the beginning, and
/// checks how many it takes.
#[track_caller]
fn check_room(used: u64, limit: u64, sizes: &[u64], loaded: usize) {
    let (mut sim, workers) = sim(1);
    tell(&mut sim, workers[0], PressureLevel::Normal, heap(used, limit));
    for (index, &bytes) in sizes.iter().enumerate() {
        sim.accept(submission(&identity_model_of(&format!("model {index}"), bytes), any()));
        sim.settle_all();
    }
    assert_eq!(sim.loads, loaded, "{used} of {limit}, {sizes:?}");
    let expected = sizes.len() - loaded;
    assert_eq!(sim.core.short_of_memory().len(), usize::from(expected > 0));
}

#[test]
fn what_a_load_would_add_is_held_against_what_is_left() {
    check_room(100, 1_000, &[900], 1);
    check_room(101, 1_000, &[900], 0);
    check_room(100, 1_000, &[500, 400], 2);
    check_room(100, 1_000, &[500, 401], 1);
}

#[test]
fn a_heap_that_was_larger_has_room_for_as_much_again() {
    let (mut sim, workers) = sim(1);
    let worker = workers[0];
    tell(&mut sim, worker, PressureLevel::Normal, heap(100, 1_000));
    sim.accept(submission(&identity_model_of("first", 800), any()));
    sim.settle_all();
    tell(&mut sim, worker, PressureLevel::Normal, heap(900, 1_000));
    let waiting = sim.accept(submission(&identity_model_of("second", 700), any()));
    sim.settle_all();
    assert_eq!((sim.loads, sim.core.short_of_memory()), (1, vec![(worker, 700)]));
    // The heap stays as large, and 800 bytes of it are free now.
    assert!(relieve(&mut sim, worker));
    sim.settle_all();
    assert!(sim.ended[&waiting].is_ok(), "{:?}", sim.core.stats());
    assert_eq!(names(&sim, worker), ["second"]);
}

#[test]
fn the_least_valuable_idle_session_is_given_up() {
    let (mut sim, workers) = sim(1);
    for name in ["a", "b", "c", "a"] {
        ask(&mut sim, name);
        sim.settle_all();
    }
    assert!(relieve(&mut sim, workers[0]));
    sim.settle_all();
    assert_eq!(names(&sim, workers[0]), ["a", "c"]);
    let evicted = |event: &&Event| matches!(event, Event::SessionEvicted { cause: EvictCause::Pressure, .. });
    assert_eq!(sim.events.iter().filter(evicted).count(), 1);
}

#[test]
fn what_is_in_use_or_waited_for_is_not_given_up() {
    let (mut sim, workers) = sim(1);
    ask(&mut sim, "a");
    ask(&mut sim, "b");
    while !sim.loading.is_empty() {
        let session = *sim.loading.keys().next().expect("one is being loaded");
        sim.load_ok(session, 5.0);
    }
    assert_eq!(sim.running().len(), 2, "both slots are taken");
    assert!(!relieve(&mut sim, workers[0]), "both are in use");
    let waits = ask(&mut sim, "a");
    sim.core.cancel(sim.now, waits);
    sim.settle_all();
    assert!(relieve(&mut sim, workers[0]) && relieve(&mut sim, workers[0]));
    assert!(!relieve(&mut sim, workers[0]), "nothing is left");
}

#[test]
fn a_drained_worker_ends_what_it_has_and_gets_nothing_new() {
    let (mut sim, workers) = sim(2);
    let (old, new) = (workers[0], workers[1]);
    let running = ask(&mut sim, "a");
    sim.settle();
    assert_eq!((last(&sim), sim.running().len()), (Some(old), 1));
    drain(&mut sim, old);
    assert!(!sim.core.is_drained(old), "it still runs");
    let next = ask(&mut sim, "a");
    assert_eq!(sim.loading.values().map(|load| load.0).collect::<Vec<_>>(), [new]);
    sim.settle_all();
    assert!(sim.core.is_drained(old) && sim.core.drained() == 1);
    assert!(sim.ended[&running].is_ok() && sim.ended[&next].is_ok());
    assert_eq!(last(&sim), Some(new));
    serve(&mut sim, old);
    assert_eq!(sim.core.drained(), 0);
}

#[test]
fn a_load_on_a_drained_worker_is_made_elsewhere() {
    let (mut sim, workers) = sim(2);
    let request = ask(&mut sim, "a");
    assert_eq!(sim.loading.values().map(|load| load.0).collect::<Vec<_>>(), [workers[0]]);
    drain(&mut sim, workers[0]);
    assert_eq!(sim.cancelled_loads.len(), 1);
    assert!(sim.loading.values().any(|load| load.0 == workers[1]), "the other one loads it");
    sim.settle_all();
    let report = sim.ended[&request].as_ref().expect("it ran");
    assert_eq!((report.worker, report.attempts), (workers[1], 1), "a load given up is no attempt");
}

#[test]
fn a_request_for_a_drained_worker_waits_for_its_successor() {
    let (mut sim, workers) = sim(1);
    drain(&mut sim, workers[0]);
    let request = ask(&mut sim, "a");
    sim.leave(workers[0], LeaveCause::Relieved);
    assert!(sim.open.contains(&request), "it comes again");
    sim.join(info());
    sim.settle_all();
    assert!(sim.ended[&request].is_ok());
}

#[test]
fn a_request_does_not_wait_for_one_that_leaves_for_good() {
    let (mut sim, workers) = sim(1);
    drain(&mut sim, workers[0]);
    let request = ask(&mut sim, "a");
    sim.leave(workers[0], LeaveCause::Retired);
    assert!(matches!(sim.ended[&request], Err(RunError::NoWorker(_))), "{:?}", sim.ended);
}

#[test]
fn a_warming_worker_gets_only_what_names_it() {
    let (mut sim, workers) = sim(1);
    let spare = sim.core.join_as(sim.now, info(), Stance::Warming);
    let page = sim::Page { info: info(), sessions: Default::default(), running: Default::default() };
    sim.pages.insert(spare, page);
    sim.obey();
    for name in ["a", "b", "c"] {
        ask(&mut sim, name);
    }
    sim.settle_all();
    assert!(sim.sent.iter().all(|sent| sent.1 == workers[0]));
    sim.accept(preload(&identity_model("a"), spare));
    sim.settle_all();
    assert_eq!(names(&sim, spare), ["a"]);
    drain(&mut sim, workers[0]);
    let request = ask(&mut sim, "a");
    assert!(sim.open.contains(&request), "it is not to serve yet");
    serve(&mut sim, spare);
    sim.settle_all();
    let report = sim.ended[&request].as_ref().expect("it ran");
    assert_eq!((report.worker, report.load_ms), (spare, None), "the model was there already");
}

#[derive(Debug, Clone)]
enum Op {
    Ask(usize),
    Settle,
    Advance(u64),
    Memory(Index, usize, Option<(u64, u64)>),
    Relieve(Index),
    Drain(Index),
    Serve(Index),
    Leave(Index),
    Join,
}

fn op() -> impl Strategy<Value = Op> {
    let reading = prop_oneof![Just(None), (0..20_000_u64, 1..20_000_u64).prop_map(Some)];
    prop_oneof![
        6 => (0..5_usize).prop_map(Op::Ask),
        4 => Just(Op::Settle),
        2 => (1..2_000_u64).prop_map(Op::Advance),
        3 => (any_index(), 0..4_usize, reading).prop_map(|(worker, level, reading)| Op::Memory(worker, level, reading)),
        2 => any_index().prop_map(Op::Relieve),
        2 => any_index().prop_map(Op::Drain),
        2 => any_index().prop_map(Op::Serve),
        1 => any_index().prop_map(Op::Leave),
        1 => Just(Op::Join),
    ]
}

fn any_index() -> impl Strategy<Value = Index> {
    proptest::prelude::any::<Index>()
}

/// Whoever is emptied gets nothing, who is short loads nothing, and all that was accepted ends once there is memory.
fn history(ops: &[Op]) {
    let (mut sim, _) = sim(2);
    let mut drained = BTreeSet::new();
    let mut short = BTreeSet::new();
    for op in ops {
        let workers: Vec<WorkerId> = sim.pages.keys().copied().collect();
        let pick = |index: &Index| (!workers.is_empty()).then(|| *index.get(&workers));
        let (sent, loads) = (sim.sent.len(), sim.loading.keys().copied().collect::<BTreeSet<_>>());
        match op {
            Op::Ask(model) => {
                let model = identity_model_of(&format!("model {model}"), 1_000 * (*model as u64 + 1));
                let _ = sim.submit(submission(&model, any()));
            }
            Op::Settle => _ = sim.settle(),
            Op::Advance(ms) => sim.advance(Duration::from_millis(*ms)),
            Op::Memory(worker, level, reading) => {
                let Some(worker) = pick(worker) else { continue };
                let level = PressureLevel::ALL[*level];
                if level == PressureLevel::Normal {
                    short.remove(&worker)
                } else {
                    short.insert(worker)
                };
                let reading = reading.map_or_else(MemoryReading::default, |(used, limit)| heap(used, limit));
                tell(&mut sim, worker, level, reading);
            }
            Op::Relieve(worker) => _ = pick(worker).map(|worker| relieve(&mut sim, worker)),
            Op::Drain(worker) => {
                let Some(worker) = pick(worker) else { continue };
                drained.insert(worker);
                drain(&mut sim, worker);
            }
            Op::Serve(worker) => {
                let Some(worker) = pick(worker) else { continue };
                drained.remove(&worker);
                serve(&mut sim, worker);
            }
            Op::Leave(worker) => _ = pick(worker).map(|worker| sim.leave(worker, LeaveCause::Relieved)),
            Op::Join => _ = (sim.pages.len() < 4).then(|| sim.join(info())),
        }
        for (request, worker) in &sim.sent[sent..] {
            assert!(!drained.contains(worker), "{request} went to {worker}, which is drained, after {op:?}");
        }
        for (session, load) in sim.loading.iter().filter(|(session, _)| !loads.contains(session)) {
            assert!(!drained.contains(&load.0), "{session} is loaded on a drained worker after {op:?}");
            assert!(!short.contains(&load.0), "{session} is loaded on a worker that is short after {op:?}");
        }
        assert!(sim.core.drained() <= drained.len());
    }
    sim.join(info());
    let workers: Vec<WorkerId> = sim.pages.keys().copied().collect();
    for worker in workers {
        serve(&mut sim, worker);
        tell(&mut sim, worker, PressureLevel::Normal, MemoryReading::default());
    }
    for _ in 0..100 {
        sim.settle_all();
        sim.advance(Duration::from_millis(500));
    }
    assert_eq!(sim.open.len(), 0, "{:?}", sim.core.stats());
    assert_eq!(sim.core.short_of_memory(), []);
    let unserved = |end: &Result<_, RunError>| {
        !matches!(end, Ok(_) | Err(RunError::WorkersLost { .. } | RunError::NoWorker(_)))
    };
    assert!(!sim.ended.values().any(unserved), "{:?}", sim.ended);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn memory_and_draining_lose_nothing(ops in prop::collection::vec(op(), 1..80)) {
        history(&ops);
    }
}
