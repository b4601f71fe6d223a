//! Which browser and backend a request goes to: by assumption, by experience, to learn, and by what ends it sooner.

mod sim;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perf_history::{Operation, Outcome, Source, TimeoutPhase, Verdict};
use pool_core::core::Submission;
use pool_core::selection::{Decision, Why};
use pool_core::{Constraints, LinkError, Model, PoolConfig, WorkerInfo};
use pool_core_testing::{identity_model, info_of};
use sim::{Sim, dims, failed, report, submission};
use telemetry::LeaveCause;
use vocab::{Backend, BrowserName, FailureKind, PolicyName, WorkerId};

const CHROMIUM: BrowserName = BrowserName::Chromium;
const FIREFOX: BrowserName = BrowserName::Firefox;
const SHELL: BrowserName = BrowserName::ChromiumHeadlessShell;

/// What a warm run takes on an arm, in milliseconds.
type Speeds = BTreeMap<(BrowserName, Backend), u64>;

fn learning() -> PoolConfig {
    let mut config = PoolConfig::default();
    config.selection.explore = true;
    config
}

fn sim(config: PoolConfig, workers: &[WorkerInfo]) -> Sim {
    let mut sim = Sim::new(config);
    for info in workers {
        sim.join(info.clone());
    }
    sim
}

fn explained() -> Constraints {
    Constraints { explain: true, ..Constraints::default() }
}

fn sized(model: &Arc<Model>, n: u64) -> Submission {
    Submission { dims: dims(n), ..submission(model, explained()) }
}

/// Lets one request be computed, as fast as `speeds` say, and answers how its arm was chosen.
#[track_caller]
fn one(sim: &mut Sim, speeds: &Speeds, request: Submission) -> Decision {
    let id = sim.accept(request);
    for _ in 0..10 {
        if let Some(ended) = sim.ended.get(&id) {
            let report = ended.as_ref().expect("it gives its result");
            return report.decision.as_deref().expect("it was asked for").clone();
        }
        let loads: Vec<_> = sim.loading.keys().copied().collect();
        for session in loads {
            sim.advance(Duration::from_millis(20));
            sim.load_ok(session, 20.0);
        }
        for lease in sim.running() {
            let (worker, backend, cold) = where_is(sim, lease);
            let ms = speeds[&(sim.pages[&worker].info.browser, backend)] * if cold { 3 } else { 1 };
            sim.advance(Duration::from_millis(ms));
            sim.run_done(lease, Ok(ms as f64));
        }
    }
    panic!("{id} does not end: {:#?}", sim.core.stats());
}

/// On which worker and backend a run is, and whether it is its session's first.
fn where_is(sim: &Sim, lease: pool_core::core::LeaseId) -> (WorkerId, Backend, bool) {
    let (worker, session) = sim
        .pages
        .iter()
        .find_map(|(&worker, page)| page.running.get(&lease).map(|&(_, session)| (worker, session)))
        .expect("it runs somewhere");
    let stats = sim.core.stats();
    let mut sessions = stats.workers.iter().flat_map(|worker| &worker.sessions);
    let session = sessions.find(|stats| stats.session == session).expect("its session is there");
    (worker, session.backend, session.uses == 1)
}

fn chosen(decision: &Decision) -> (BrowserName, Backend) {
    let candidate = decision.candidates.iter().find(|candidate| candidate.chosen);
    let candidate = candidate.expect("one of them was chosen");
    (candidate.browser, candidate.backend)
}

fn speeds(of: &[(BrowserName, Backend, u64)]) -> Speeds {
    of.iter().map(|&(browser, backend, ms)| ((browser, backend), ms)).collect()
}

fn three() -> [WorkerInfo; 3] {
    [
        info_of(CHROMIUM, &[Backend::WebGpu, Backend::Wasm]),
        info_of(FIREFOX, &[Backend::Wasm]),
        info_of(SHELL, &[Backend::WebNn, Backend::Wasm]),
    ]
}

/// Where the shell's WebNN is the best for large inputs and Firefox for small ones.
fn large() -> Speeds {
    speeds(&[
        (CHROMIUM, Backend::WebGpu, 900),
        (CHROMIUM, Backend::Wasm, 52),
        (FIREFOX, Backend::Wasm, 60),
        (SHELL, Backend::WebNn, 37),
        (SHELL, Backend::Wasm, 50),
    ])
}

fn small() -> Speeds {
    speeds(&[
        (CHROMIUM, Backend::WebGpu, 300),
        (CHROMIUM, Backend::Wasm, 9),
        (FIREFOX, Backend::Wasm, 7),
        (SHELL, Backend::WebNn, 12),
        (SHELL, Backend::Wasm, 9),
    ])
}

#[test]
fn each_size_of_a_model_finds_its_own_best_arm() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    for (n, speeds, best) in
        [(128, large(), (SHELL, Backend::WebNn)), (16, small(), (FIREFOX, Backend::Wasm))]
    {
        let decisions: Vec<_> = (0..60).map(|_| one(&mut sim, &speeds, sized(&model, n))).collect();
        let last = decisions[40..].iter().filter(|decision| chosen(decision) == best).count();
        assert!(last >= 18, "{last} of the last 20 of n={n} went to the best arm");
        let software = decisions.iter().filter(|decision| chosen(decision).1 == Backend::WebGpu).count();
        assert!(software <= 3, "a software adapter was tried {software} times");
    }
    assert_eq!(sim.core.selector().exploring(), 0);
}

#[test]
fn without_evidence_the_assumption_decides_and_says_so() {
    let mut sim = sim(PoolConfig::default(), &three());
    let decision = one(&mut sim, &large(), sized(&identity_model("a"), 128));
    assert_eq!(chosen(&decision), (SHELL, Backend::WebNn), "WebNN is assumed to be the fastest");
    assert_eq!(decision.candidates.len(), 5);
    assert!(decision.candidates.iter().all(|candidate| candidate.source == Source::Default));
    assert_eq!((decision.why, decision.policy), (Why::Leader, PolicyName::Weighted));
}

#[test]
fn nothing_is_explored_unless_asked_for() {
    let mut sim = sim(PoolConfig::default(), &three());
    let model = identity_model("a");
    for _ in 0..40 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    assert_eq!(sim.loads, 1);
}

#[test]
fn a_request_that_names_its_backend_gets_it_whatever_was_learnt() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    for _ in 0..40 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    let mut request = sized(&model, 128);
    request.constraints.backends = vec![Backend::WebGpu];
    let decision = one(&mut sim, &large(), request);
    assert_eq!(chosen(&decision), (CHROMIUM, Backend::WebGpu));
    assert_eq!(decision.why, Why::Only);
}

#[test]
fn what_was_learnt_is_used_from_the_first_request_on() {
    let mut taught = sim(learning(), &three());
    let model = identity_model("a");
    for _ in 0..60 {
        one(&mut taught, &large(), sized(&model, 128));
    }
    let mut sim = sim(learning(), &three());
    for observation in &taught.observed {
        sim.core.selector_mut().observe(observation);
    }
    let decision = one(&mut sim, &large(), sized(&model, 128));
    assert_eq!(chosen(&decision), (SHELL, Backend::WebNn));
    assert_eq!(sim.loads, 1, "nothing else is loaded");
}

#[test]
fn a_slowed_leader_loses_its_place_and_gets_it_back() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    for _ in 0..60 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    let mut slowed = large();
    slowed.insert((SHELL, Backend::WebNn), 120);
    let slow: Vec<_> = (0..60).map(|_| chosen(&one(&mut sim, &slowed, sized(&model, 128)))).collect();
    let lost = slow.iter().position(|&arm| arm != (SHELL, Backend::WebNn));
    assert!(lost.is_some_and(|lost| lost < 30), "it lost its place after {lost:?} runs");
    let still = slow[30..].iter().filter(|&&arm| arm == (SHELL, Backend::WebNn)).count();
    assert!(still <= 3, "it was still chosen {still} of 30 times");
    let back: Vec<_> = (0..80).map(|_| chosen(&one(&mut sim, &large(), sized(&model, 128)))).collect();
    let again = back[60..].iter().filter(|&&arm| arm == (SHELL, Backend::WebNn)).count();
    assert!(again >= 18, "after 60 runs it was chosen {again} of 20 times");
}

#[test]
fn a_trial_that_fails_costs_the_caller_nothing() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    // The leader becomes known, once it is warm.
    for _ in 0..4 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    let mut request = sized(&model, 128);
    request.constraints.attempts = Some(1);
    let id = sim.accept(request);
    assert_eq!(sim.loading.len(), 1, "another arm is tried");
    let session = *sim.loading.keys().next().expect("it is being loaded");
    sim.load_done(session, Err(failed(FailureKind::UnsupportedByBackend)));
    sim.settle_all();
    let report = sim.ended[&id].as_ref().expect("the leader computes it");
    assert_eq!((report.browser, report.backend, report.attempts), (SHELL, Backend::WebNn, 1));
    let failures: Vec<_> =
        sim.observed.iter().filter(|seen| seen.outcome.verdict() == Verdict::Failure).collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].operation, Operation::Load);
}

#[test]
fn a_trial_on_a_worker_that_leaves_goes_elsewhere() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    for _ in 0..4 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    let id = sim.accept(sized(&model, 128));
    let (worker, ..) = *sim.loading.values().next().expect("another arm is tried");
    sim.leave(worker, LeaveCause::Crashed);
    sim.settle_all();
    assert!(sim.ended[&id].is_ok());
    assert_eq!(sim.core.selector().exploring(), 0);
}

/// Where Chromium takes 50 ms and Firefox this many, what was learnt of that.
fn taught(slow_ms: u64) -> Vec<pool_core::Observation> {
    let workers = [info_of(CHROMIUM, &[Backend::Wasm]), info_of(FIREFOX, &[Backend::Wasm])];
    let mut sim = sim(learning(), &workers);
    let model = identity_model("a");
    let speeds = speeds(&[(CHROMIUM, Backend::Wasm, 50), (FIREFOX, Backend::Wasm, slow_ms)]);
    for _ in 0..24 {
        one(&mut sim, &speeds, sized(&model, 128));
    }
    sim.observed
}

/// With one slot each, whether a second request goes to the slower arm while the faster one is busy.
#[track_caller]
fn check_sooner(slow_ms: u64, goes: bool) {
    let one_slot = |browser| WorkerInfo { slots: 1, ..info_of(browser, &[Backend::Wasm]) };
    let mut sim = sim(PoolConfig::default(), &[one_slot(CHROMIUM), one_slot(FIREFOX)]);
    for observation in &taught(slow_ms) {
        sim.core.selector_mut().observe(observation);
    }
    let model = identity_model("a");
    for browser in [CHROMIUM, FIREFOX] {
        let mut preload = Submission { preload: true, ..sized(&model, 128) };
        preload.constraints.browsers = vec![browser];
        sim.accept(preload);
        sim.settle_all();
    }
    sim.sent.clear();
    let first = sim.accept(sized(&model, 128));
    let second = sim.accept(sized(&model, 128));
    let sent: Vec<_> = sim.sent.iter().map(|sent| sent.0).collect();
    assert_eq!(sent, if goes { vec![first, second] } else { vec![first] }, "{slow_ms} ms beside 50 ms");
    sim.settle_all();
    let why = |request| {
        let report = sim.ended[&request].as_ref().expect("it gives its result");
        report.decision.as_ref().map(|decision| decision.why)
    };
    assert_eq!(why(first), Some(Why::Leader));
    assert_eq!(why(second), Some(if goes { Why::Sooner } else { Why::Leader }));
}

#[test]
fn a_slower_arm_helps_where_that_is_sooner_than_waiting() {
    check_sooner(80, true);
    check_sooner(400, false);
}

/// With one slot each, whether a request goes to the slower arm, at 400 ms, while the faster one, at 50 ms, is busy with
/// a run of another model that takes this long.
#[track_caller]
fn check_behind_another_model(other_ms: u64, goes: bool) {
    let one_slot = |browser| WorkerInfo { slots: 1, ..info_of(browser, &[Backend::Wasm]) };
    let mut sim = sim(PoolConfig::default(), &[one_slot(CHROMIUM), one_slot(FIREFOX)]);
    for observation in &taught(400) {
        sim.core.selector_mut().observe(observation);
    }
    let (model, other) = (identity_model("a"), identity_model("b"));
    for browser in [CHROMIUM, FIREFOX] {
        let mut preload = Submission { preload: true, ..sized(&model, 128) };
        preload.constraints.browsers = vec![browser];
        sim.accept(preload);
        sim.settle_all();
    }
    let mut long = sized(&other, 128);
    long.constraints.browsers = vec![CHROMIUM];
    one(&mut sim, &speeds(&[(CHROMIUM, Backend::Wasm, other_ms)]), long.clone());
    sim.accept(long);
    let request = sim.accept(sized(&model, 128));
    let sent = sim.sent.last().is_some_and(|sent| sent.0 == request);
    assert_eq!(sent, goes, "behind {other_ms} ms");
    sim.settle_all();
    assert!(sim.open.is_empty());
}

#[test]
fn what_runs_ahead_counts_for_what_it_takes_whatever_its_model() {
    check_behind_another_model(40, false);
    check_behind_another_model(5_000, true);
}

#[test]
fn a_deep_queue_is_worth_a_much_slower_arm() {
    let workers = [info_of(CHROMIUM, &[Backend::Wasm]), info_of(FIREFOX, &[Backend::Wasm])];
    let mut sim = sim(PoolConfig::default(), &workers);
    for observation in &taught(400) {
        sim.core.selector_mut().observe(observation);
    }
    let model = identity_model("a");
    sim.accept(sized(&model, 128));
    sim.settle_all();
    for _ in 0..100 {
        sim.accept(sized(&model, 128));
    }
    sim.settle();
    let used: std::collections::BTreeSet<_> =
        sim.pages.values().filter(|page| !page.running.is_empty()).map(|page| page.info.browser).collect();
    assert_eq!(used.len(), 2);
    sim.settle_all();
    assert!(sim.open.is_empty());
}

#[test]
fn sizes_that_never_come_again_are_not_worth_a_load_of_their_own() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    // 65 to 128 are one bucket, and WebNN needs a session for each of them.
    let mut loads = Vec::new();
    for n in 65..=128 {
        one(&mut sim, &large(), sized(&model, n));
        loads.push(sim.loads);
    }
    let late = loads[63] - loads[31];
    assert_eq!(late, 0, "of the last 32 requests {late} had something loaded for them");
}

#[test]
fn the_best_arm_gets_its_model_back_though_another_one_has_it() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    for _ in 0..60 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    let shell = sim.pages.iter().find(|(_, page)| page.info.browser == SHELL).map(|(&id, _)| id);
    sim.leave(shell.expect("it is there"), LeaveCause::Crashed);
    let without = one(&mut sim, &large(), sized(&model, 128));
    assert_ne!(chosen(&without).0, SHELL);
    sim.join(info_of(SHELL, &[Backend::WebNn, Backend::Wasm]));
    let back = one(&mut sim, &large(), sized(&model, 128));
    assert_eq!((chosen(&back), back.why), ((SHELL, Backend::WebNn), Why::Move));
}

#[test]
fn what_the_caller_caused_is_held_against_nobody() {
    let mut sim = sim(learning(), &three());
    let model = identity_model("a");
    one(&mut sim, &large(), sized(&model, 128));
    let id = sim.accept(sized(&model, 128));
    let lease = sim.running()[0];
    sim.run_done(lease, Err(failed(FailureKind::InvalidInput)));
    assert!(sim.ended[&id].is_err());
    let last = sim.observed.last().expect("it was observed");
    assert_eq!((&last.outcome, last.outcome.verdict()), (&Outcome::CallersError, Verdict::Neutral));
}

/// A request with this deadline that waited this long in the queue: whose fault is it when the deadline passes?
#[track_caller]
fn check_deadline(timeout_ms: u64, waits_ms: u64, phase: TimeoutPhase) {
    let one_slot = WorkerInfo { slots: 1, ..info_of(CHROMIUM, &[Backend::Wasm]) };
    let mut sim = sim(PoolConfig::default(), &[one_slot]);
    let model = identity_model("a");
    let speeds = speeds(&[(CHROMIUM, Backend::Wasm, 50)]);
    for _ in 0..4 {
        one(&mut sim, &speeds, sized(&model, 128));
    }
    let ahead = sim.accept(sized(&model, 128));
    let mut request = sized(&model, 128);
    request.constraints.timeout = Some(Duration::from_millis(timeout_ms));
    let id = sim.accept(request);
    sim.advance(Duration::from_millis(waits_ms));
    let lease = sim.running()[0];
    sim.run_done(lease, Ok(50.0));
    assert!(sim.ended.contains_key(&ahead));
    sim.advance(Duration::from_millis(timeout_ms.saturating_sub(waits_ms)));
    assert!(sim.ended[&id].is_err());
    let last = sim.observed.last().expect("it was observed");
    assert_eq!(last.outcome, Outcome::TimedOut(phase));
}

#[test]
fn a_deadline_counts_against_an_arm_that_had_its_time() {
    check_deadline(1_000, 50, TimeoutPhase::Running);
    check_deadline(1_000, 990, TimeoutPhase::Queued);
    // Nobody could have done it in that time.
    check_deadline(60, 20, TimeoutPhase::Queued);
}

/// A first request with this deadline on an arm of which nothing is known: whose fault is it when the deadline passes?
#[track_caller]
fn check_first_deadline(elsewhere: bool, timeout: Duration, phase: TimeoutPhase) {
    let mut sim = sim(PoolConfig::default(), &[info_of(FIREFOX, &[Backend::Wasm])]);
    let model = identity_model("a");
    if elsewhere {
        one(&mut sim, &speeds(&[(FIREFOX, Backend::Wasm, 50)]), sized(&model, 128));
    }
    sim.join(info_of(CHROMIUM, &[Backend::Wasm]));
    let mut preload = Submission { preload: true, ..sized(&model, 128) };
    preload.constraints.browsers = vec![CHROMIUM];
    sim.accept(preload);
    sim.settle_all();
    let mut request = sized(&model, 128);
    request.constraints.browsers = vec![CHROMIUM];
    request.constraints.timeout = Some(timeout);
    let id = sim.accept(request);
    sim.advance(timeout);
    assert!(sim.ended[&id].is_err());
    let last = sim.observed.last().expect("it was observed");
    assert_eq!(last.outcome, Outcome::TimedOut(phase), "{timeout:?}");
}

#[test]
fn a_deadline_counts_against_an_unknown_arm_only_where_it_left_time_for_a_first_run() {
    check_first_deadline(false, Duration::from_secs(1), TimeoutPhase::Queued);
    check_first_deadline(false, Duration::from_secs(60), TimeoutPhase::Running);
    // Elsewhere it took 150 ms, once.
    check_first_deadline(true, Duration::from_secs(1), TimeoutPhase::Queued);
    check_first_deadline(true, Duration::from_secs(10), TimeoutPhase::Running);
}

#[test]
fn a_worker_that_is_lost_with_a_run_has_failed_it_and_one_that_is_taken_out_has_not() {
    for (cause, failures) in [(LeaveCause::Crashed, 1), (LeaveCause::Retired, 0)] {
        let mut sim = sim(PoolConfig::default(), &[info_of(CHROMIUM, &[Backend::Wasm])]);
        let model = identity_model("a");
        one(&mut sim, &large(), sized(&model, 128));
        sim.accept(sized(&model, 128));
        let worker = *sim.pages.keys().next().expect("it is there");
        sim.leave(worker, cause);
        let vanished = sim.observed.iter().filter(|seen| seen.outcome == Outcome::WorkerVanished).count();
        assert_eq!(vanished, failures, "{cause}");
    }
}

#[test]
fn first_runs_are_told_from_warm_ones_and_shared_time_from_own() {
    let mut sim = sim(PoolConfig::default(), &[info_of(CHROMIUM, &[Backend::Wasm])]);
    let model = identity_model("a");
    for _ in 0..4 {
        one(&mut sim, &large(), sized(&model, 128));
    }
    for _ in 0..2 {
        sim.accept(sized(&model, 128));
    }
    sim.advance(Duration::from_millis(30));
    sim.settle_all();
    let runs: Vec<_> = sim.observed.iter().filter(|seen| seen.operation == Operation::Run).collect();
    let told: Vec<_> = runs.iter().map(|run| (run.warm, run.service_ms.is_some())).collect();
    let (first, own, shared) = ((false, true), (true, true), (true, false));
    assert_eq!(told, [first, first, first, own, shared, shared]);
    assert_eq!(runs[0].shape.as_str(), "n=128");
    let loads = sim.observed.iter().filter(|seen| seen.operation == Operation::Load).count();
    assert_eq!(loads, 1);
}

/// How many of 50 requests each arm gets under a policy.
fn shares(policy: PolicyName) -> BTreeMap<(BrowserName, Backend), usize> {
    let mut config = learning();
    config.selection.policy = policy;
    config.selection.fixed_browser = Some(FIREFOX);
    let mut sim = sim(config, &three());
    let model = identity_model("a");
    let mut shares = BTreeMap::new();
    for _ in 0..50 {
        *shares.entry(chosen(&one(&mut sim, &large(), sized(&model, 128)))).or_default() += 1;
    }
    shares
}

#[test]
fn policies_do_what_their_names_say() {
    assert!(shares(PolicyName::RoundRobin).values().all(|&share| share == 10));
    assert_eq!(shares(PolicyName::Fixed), BTreeMap::from([((FIREFOX, Backend::Wasm), 50)]));
    for policy in [PolicyName::Ucb, PolicyName::Thompson] {
        let shares = shares(policy);
        let best = shares[&(SHELL, Backend::WebNn)];
        assert!(shares.values().all(|&share| share <= best), "{policy}: {shares:?}");
    }
}

#[test]
fn a_link_that_gave_up_has_failed_and_a_cancelled_one_has_not() {
    let mut sim = sim(PoolConfig::default(), &[info_of(CHROMIUM, &[Backend::Wasm])]);
    let model = identity_model("a");
    one(&mut sim, &large(), sized(&model, 128));
    let before = sim.observed.len();
    let id = sim.accept(sized(&model, 128));
    sim.cancel(id);
    sim.settle_all();
    assert_eq!(sim.observed.len(), before);
    sim.accept(sized(&model, 128));
    let lease = sim.running()[0];
    sim.run_done(lease, Err(LinkError::TimedOut { phase: "computing", after: Duration::from_secs(1) }));
    assert_eq!(
        sim.observed.last().map(|seen| &seen.outcome),
        Some(&Outcome::TimedOut(TimeoutPhase::Running))
    );
    let session = sim.core.stats().workers[0].sessions.len();
    assert!(session <= 1, "{:?}", report(1.0));
}
