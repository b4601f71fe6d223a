//! Random histories against the decision core: whatever happens, each request ends once and nothing is left over.
//!
//! The invariants themselves are checked with every action by the simulation.

mod sim;

use std::sync::Arc;
use std::time::Duration;

use pool_core::core::{LeaseId, RunEnd, Submission};
use pool_core::{Constraints, LinkError, Model, PoolConfig, RunError, WorkerInfo};
use pool_core_testing::{identity_model_of, info_of};
use proptest::prelude::*;
use proptest::sample::Index;
use sim::{Sim, dims, failed, report};
use telemetry::LeaveCause;
use vocab::{Backend, BrowserName, DeviceKind, FailureKind, PolicyName, RequestId, SessionId};

#[derive(Debug, Clone)]
enum Op {
    Join { browser: BrowserName, backends: Vec<Backend>, slots: u32, budget: u64 },
    Leave { worker: Index, cause: usize },
    Submit(Vec<Ask>),
    Cancel(Index),
    Load(Index, How),
    Run(Index, How),
    Unload(Index, How),
    Stale(Index, How),
    Advance(u64),
    Settle,
}

#[derive(Debug, Clone)]
struct Ask {
    model: usize,
    shape: u64,
    constraints: Constraints,
    preload: bool,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Ok,
    Vanished,
    TimedOut,
    Cancelled,
    Failed(usize),
}

const KINDS: [FailureKind; 9] = [
    FailureKind::OutOfMemory,
    FailureKind::DeviceLost,
    FailureKind::NoSuchSession,
    FailureKind::InvalidModel,
    FailureKind::InvalidInput,
    FailureKind::UnsupportedByBackend,
    FailureKind::BackendUnavailable,
    FailureKind::UnsupportedOperator,
    FailureKind::Internal,
];
const CAUSES: [LeaveCause; 4] =
    [LeaveCause::Crashed, LeaveCause::Retired, LeaveCause::Disconnected, LeaveCause::Dropped];
const BROWSERS: [BrowserName; 2] = [BrowserName::Chromium, BrowserName::Firefox];

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        6 => Just(How::Ok),
        1 => Just(How::Vanished),
        1 => Just(How::TimedOut),
        1 => Just(How::Cancelled),
        3 => (0..KINDS.len()).prop_map(How::Failed),
    ]
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    proptest::sample::subsequence(Backend::ALL.to_vec(), 0..=3).prop_shuffle()
}

fn ask() -> impl Strategy<Value = Ask> {
    let constraints = (
        backends(),
        any::<bool>(),
        proptest::sample::subsequence(BROWSERS.to_vec(), 0..=1),
        0..3_u8,
        prop_oneof![3 => Just(None), 1 => (1..5_000_u64).prop_map(Some)],
        1..4_u32,
        prop::bool::weighted(0.2),
        prop_oneof![8 => Just(None), 1 => Just(Some(DeviceKind::Gpu)), 1 => Just(Some(DeviceKind::Cpu))],
    );
    (0..5_usize, 0..3_u64, constraints, prop::bool::weighted(0.1)).prop_map(
        |(model, shape, constraints, preload)| {
            let (backends, fallback, browsers, priority, timeout, attempts, explain, device) = constraints;
            let timeout = timeout.map(Duration::from_millis);
            let attempts = Some(attempts);
            let constraints =
                Constraints { backends, fallback, browsers, priority, timeout, attempts, device, explain };
            Ask { model, shape, constraints, preload }
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let some_backends = proptest::sample::subsequence(Backend::ALL.to_vec(), 1..=3).prop_shuffle();
    prop_oneof![
        2 => (proptest::sample::select(&BROWSERS[..]), some_backends, 1..4_u32, 1..12_u64)
            .prop_map(|(browser, backends, slots, budget)| Op::Join { browser, backends, slots, budget: budget * 1_000 }),
        1 => (any::<Index>(), 0..CAUSES.len()).prop_map(|(worker, cause)| Op::Leave { worker, cause }),
        6 => prop::collection::vec(ask(), 1..6).prop_map(Op::Submit),
        1 => prop::collection::vec(ask(), 40..60).prop_map(Op::Submit),
        2 => any::<Index>().prop_map(Op::Cancel),
        5 => (any::<Index>(), how()).prop_map(|(which, how)| Op::Load(which, how)),
        8 => (any::<Index>(), how()).prop_map(|(which, how)| Op::Run(which, how)),
        3 => (any::<Index>(), how()).prop_map(|(which, how)| Op::Unload(which, how)),
        1 => (any::<Index>(), how()).prop_map(|(which, how)| Op::Stale(which, how)),
        3 => prop_oneof![0..50_u64, 500..2_000_u64, Just(15_000), Just(200_000)].prop_map(Op::Advance),
        1 => Just(Op::Settle),
    ]
}

fn error(how: How) -> LinkError {
    match how {
        How::Ok | How::Vanished => LinkError::Vanished { detail: "simulated".to_owned() },
        How::TimedOut => LinkError::TimedOut { phase: "simulated", after: Duration::from_secs(1) },
        How::Cancelled => LinkError::Cancelled,
        How::Failed(kind) => failed(KINDS[kind].clone()),
    }
}

fn result<T>(how: How, ok: T) -> Result<T, LinkError> {
    if matches!(how, How::Ok) { Ok(ok) } else { Err(error(how)) }
}

/// The calls that have ended, to report their end once more.
#[derive(Default)]
struct Past {
    runs: Vec<LeaseId>,
    sessions: Vec<SessionId>,
    requests: Vec<RequestId>,
}

const CAPACITY: usize = 48;

fn whole(model: Arc<Model>, shape: u64) -> Submission {
    Submission { dims: dims(shape), ..sim::submission(&model, Constraints::default()) }
}

/// How arms are chosen: every policy, with and without exploring.
fn policies() -> impl Strategy<Value = (PolicyName, bool)> {
    (proptest::sample::select(PolicyName::ALL), any::<bool>())
}

fn config((policy, explore): (PolicyName, bool)) -> PoolConfig {
    let mut config = PoolConfig::default();
    config.queue_capacity = CAPACITY;
    config.sessions_per_worker = 3;
    config.default_deadline = Duration::from_secs(7 * 24 * 3_600);
    config.selection.policy = policy;
    config.selection.fixed_backend = Some(Backend::WebGpu);
    config.selection.explore = explore;
    // So touchy that they open in most histories.
    for set in [&mut config.breakers.workers, &mut config.breakers.arms] {
        set.breaker.consecutive_failures = 2;
        set.breaker.minimum_calls = 3;
        set.breaker.open_time = Duration::from_secs(1);
        set.breaker.half_open_calls = 1;
    }
    config
}

fn models() -> Vec<Arc<Model>> {
    [1_000, 2_000, 4_000, 6_000, 9_000]
        .map(|bytes| identity_model_of(&format!("model {bytes}"), bytes))
        .to_vec()
}

fn apply(sim: &mut Sim, models: &[Arc<Model>], past: &mut Past, op: &Op) {
    match op {
        Op::Join { browser, backends, slots, budget } => {
            if sim.pages.len() < 6 {
                let info = info_of(*browser, backends);
                sim.join(WorkerInfo { slots: *slots, memory_budget_bytes: *budget, ..info });
            }
        }
        Op::Leave { worker, cause } => {
            let workers: Vec<_> = sim.pages.keys().copied().collect();
            if !workers.is_empty() {
                sim.leave(*worker.get(&workers), CAUSES[*cause]);
            }
        }
        Op::Submit(asks) => {
            for Ask { model, shape, constraints, preload } in asks {
                let queued = sim.core.stats().queued;
                let model = Arc::clone(&models[*model]);
                let constraints = constraints.clone();
                let answer =
                    sim.submit(Submission { constraints, preload: *preload, ..whole(model, *shape) });
                let full = matches!(answer, Err(RunError::QueueFull { .. }));
                assert_eq!(full, queued >= CAPACITY, "a full queue refuses, any other does not: {answer:?}");
                past.requests.extend(answer);
            }
        }
        Op::Cancel(which) => {
            if !past.requests.is_empty() {
                sim.cancel(*which.get(&past.requests));
            }
        }
        Op::Load(which, how) => {
            let loading: Vec<_> = sim.loading.keys().copied().collect();
            if !loading.is_empty() {
                let session = *which.get(&loading);
                past.sessions.push(session);
                sim.load_done(session, result(*how, report(20.0)));
            }
        }
        Op::Run(which, how) => {
            let running = sim.running();
            if !running.is_empty() {
                let lease = *which.get(&running);
                past.runs.push(lease);
                sim.run_done(lease, result(*how, 3.0));
            }
        }
        Op::Unload(which, how) => {
            let unloading: Vec<_> = sim.unloading.keys().copied().collect();
            if !unloading.is_empty() {
                let session = *which.get(&unloading);
                past.sessions.push(session);
                sim.unload_done(session, result(*how, ()));
            }
        }
        Op::Stale(which, how) => {
            if !past.runs.is_empty() {
                let lease = *which.get(&past.runs);
                let end = RunEnd { in_page_ms: 3.0, bytes_out: 0, marks: None };
                sim.core.run_done(sim.now, lease, result(*how, end));
            }
            if !past.sessions.is_empty() {
                let session = *which.get(&past.sessions);
                if !sim.unloading.contains_key(&session) && !sim.loading.contains_key(&session) {
                    sim.core.load_done(sim.now, session, result(*how, report(1.0)));
                    sim.core.unload_done(sim.now, session, result(*how, ()));
                }
            }
            sim.obey();
        }
        Op::Advance(ms) => sim.advance(Duration::from_millis(*ms)),
        Op::Settle => {
            sim.settle();
        }
    }
}

/// With a worker there that can serve anything, everything that is open comes to its end long before its deadline.
fn ends_everything(sim: &mut Sim) {
    for browser in BROWSERS {
        sim.join(WorkerInfo { memory_budget_bytes: 10_000, ..info_of(browser, Backend::ALL) });
    }
    let before = sim.ended.len();
    let open = sim.open.len();
    for _ in 0..3_000 {
        if sim.open.is_empty() {
            break;
        }
        sim.settle();
        sim.advance(Duration::from_millis(250));
    }
    assert!(sim.open.is_empty(), "{} of {open} requests starve:\n{:#?}", sim.open.len(), sim.core.stats());
    assert_eq!(sim.ended.len() - before, open);
}

fn leaves_nothing(sim: &mut Sim) {
    sim.settle_all();
    while let Some(due) = sim.core.next_wake() {
        let wait = due.saturating_duration_since(sim.now);
        sim.advance(wait);
        sim.settle_all();
    }
    let stats = sim.core.stats();
    assert_eq!(
        (stats.requests, stats.queued, stats.running, stats.cancelling, stats.timers),
        (0, 0, 0, 0, 0),
        "{stats:#?}"
    );
    assert!(sim.core.is_at_rest());
    assert_eq!(sim.core.selector().exploring(), 0, "whoever explored has come back");
    for worker in &stats.workers {
        assert_eq!(worker.leases, 0);
        for session in &worker.sessions {
            assert_eq!(session.phase, pool_core::core::SessionPhase::Ready, "{session:?}");
            assert_eq!(session.leases, 0, "{session:?}");
        }
        let page = &sim.pages[&worker.worker];
        let held: Vec<_> = worker.sessions.iter().map(|session| session.session).collect();
        assert_eq!(held, page.sessions.keys().copied().collect::<Vec<_>>(), "the page and the pool agree");
    }
}

#[track_caller]
fn check(policy: (PolicyName, bool), ops: &[Op]) {
    let mut sim = Sim::new(config(policy));
    let models = models();
    let mut past = Past::default();
    for op in ops {
        apply(&mut sim, &models, &mut past, op);
    }
    ends_everything(&mut sim);
    leaves_nothing(&mut sim);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_and_nothing_is_left(
        policy in policies(),
        ops in prop::collection::vec(op(), 1..160),
    ) {
        check(policy, &ops);
    }

    #[test]
    fn the_same_history_gives_the_same_decisions(
        policy in policies(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let history = || {
            let mut sim = Sim::new(config(policy));
            let mut past = Past::default();
            let models = models();
            for op in &ops {
                apply(&mut sim, &models, &mut past, op);
            }
            (sim.sent, sim.events.len(), sim.loads, sim.observed)
        };
        prop_assert_eq!(history(), history());
    }
}

#[test]
fn an_abort_ends_everything_at_once() {
    let mut sim = Sim::new(config((PolicyName::Weighted, true)));
    sim.join(info_of(BrowserName::Chromium, &[Backend::Wasm]));
    let models = models();
    for model in &models[..4] {
        for _ in 0..5 {
            sim.accept(sim::submission(model, Constraints::default()));
        }
    }
    sim.settle();
    sim.core.abort(sim.now);
    sim.obey();
    assert!(sim.open.is_empty());
    assert!(sim.ended.values().any(|result| *result == Err(RunError::ShuttingDown)));
    leaves_nothing(&mut sim);
}
