//! One breaker in plain cases: what opens it, for how long, and what closes it.

mod support;

use std::time::{Duration, Instant};

use recovery::{Admission, Breaker, BreakerConfig, CallOutcome, Transition};
use support::{secs, start};
use telemetry::{BreakerCause, BreakerState};

const WORKED: CallOutcome = CallOutcome::Worked { took: Duration::from_millis(5) };
const FAILED: CallOutcome = CallOutcome::Failed { took: Duration::from_millis(5) };
const SLOW: CallOutcome = CallOutcome::Worked { took: Duration::from_secs(60) };

fn breaker() -> Breaker {
    Breaker::new(BreakerConfig::default()).expect("the defaults work")
}

/// Makes a call; `None` where it was refused.
fn call(breaker: &mut Breaker, now: Instant, outcome: CallOutcome) -> Option<Option<Transition>> {
    match breaker.ask(now).0 {
        Admission::Allowed(permit) => Some(breaker.record(now, permit, outcome)),
        _ => None,
    }
}

/// What opened a breaker that had these calls, each a second after the other, and after how many.
#[track_caller]
fn check(calls: &[CallOutcome], expected: Option<(usize, BreakerCause)>) {
    let (mut breaker, mut now) = (breaker(), start());
    let mut opened = None;
    for (index, &outcome) in calls.iter().enumerate() {
        now += secs(1);
        if let Some(moved) = call(&mut breaker, now, outcome).flatten() {
            assert_eq!((moved.from, moved.to), (BreakerState::Closed, BreakerState::Open));
            opened = opened.or(Some((index + 1, moved.cause)));
        }
    }
    assert_eq!(opened, expected);
}

#[test]
fn five_failures_in_a_row_open_it() {
    check(&[FAILED; 10], Some((5, BreakerCause::ConsecutiveFailures)));
    check(&[FAILED, FAILED, FAILED, FAILED, WORKED, FAILED], None);
}

#[test]
fn half_of_at_least_ten_calls_open_it() {
    let calls: Vec<_> = (0..20).map(|n| if n % 2 == 0 { WORKED } else { FAILED }).collect();
    check(&calls, Some((10, BreakerCause::FailureRate)));
    let calls: Vec<_> = (0..200).map(|n| if n % 3 > 0 { WORKED } else { FAILED }).collect();
    check(&calls, None);
}

#[test]
fn slow_calls_open_it() {
    check(&[SLOW; 20], Some((10, BreakerCause::SlowCalls)));
    check(&[SLOW, WORKED].repeat(20), None);
}

#[test]
fn what_callers_caused_opens_nothing() {
    check(&[CallOutcome::CallersFault; 100], None);
    check(&[CallOutcome::Abandoned; 100], None);
}

#[test]
fn old_calls_are_forgotten() {
    let (mut breaker, mut now) = (breaker(), start());
    // Two of three calls fail, but never ten within the window, and never five in a row.
    for n in 0..60 {
        now += secs(40);
        assert_eq!(call(&mut breaker, now, if n % 3 == 0 { WORKED } else { FAILED }), Some(None));
    }
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = breaker();
    (0..5).for_each(|_| _ = call(&mut breaker, now, FAILED));
    breaker
}

#[test]
fn three_trials_close_it_and_one_failure_opens_it_again_for_longer() {
    let mut now = start();
    let mut breaker = opened(now);
    let mut before = Duration::ZERO;
    for _ in 0..6 {
        let until = breaker.opens_again().expect("it is open");
        let time = until - now;
        assert!(time > before || time >= secs(300), "{before:?} then {time:?}");
        assert!(time <= secs(330), "{time:?}");
        before = time.min(secs(300));
        assert_eq!(call(&mut breaker, until - secs(1), WORKED), None);
        now = until;
        let (_, moved) = breaker.ask(now);
        assert_eq!(
            moved.map(|moved| (moved.to, moved.cause)),
            Some((BreakerState::HalfOpen, BreakerCause::TimeOver))
        );
        let moved = call(&mut breaker, now, FAILED).flatten().expect("it opens");
        assert_eq!((moved.to, moved.cause), (BreakerState::Open, BreakerCause::TrialFailed));
    }
    now = breaker.opens_again().expect("it is open");
    let moves: Vec<_> = (0..3).map(|_| call(&mut breaker, now, WORKED).expect("a trial")).collect();
    assert_eq!(
        moves[2].map(|moved| (moved.to, moved.cause)),
        Some((BreakerState::Closed, BreakerCause::TrialsWorked))
    );
    assert_eq!((moves[0], moves[1]), (None, None));
}

#[test]
fn a_long_good_time_is_forgiving() {
    let mut now = start();
    let mut breaker = opened(now);
    for _ in 0..2 {
        now = breaker.opens_again().expect("it is open");
        (0..3).for_each(|_| _ = call(&mut breaker, now, WORKED));
        now += secs(300);
        (0..5).for_each(|_| _ = call(&mut breaker, now, FAILED));
        let time = breaker.opens_again().expect("it is open") - now;
        assert!(time <= secs(33), "{time:?}");
    }
}

#[test]
fn trials_that_are_lost_give_their_place_back() {
    let now = start();
    let mut breaker = opened(now);
    let now = breaker.opens_again().expect("it is open");
    let lost: Vec<_> = (0..3).map(|_| breaker.ask(now).0).collect();
    let (refused, _) = breaker.ask(now + secs(1));
    assert_eq!(refused, Admission::Refused { ask_again: now + secs(60) });
    let later = now + secs(60);
    for _ in 0..2 {
        assert_eq!(call(&mut breaker, later, WORKED), Some(None));
    }
    // A lost trial that ends late counts nothing, however it ends.
    for admission in lost {
        let Admission::Allowed(permit) = admission else { panic!("{admission:?}") };
        assert_eq!(breaker.record(later, permit, FAILED), None);
    }
    assert_eq!(call(&mut breaker, later, WORKED).flatten().map(|moved| moved.to), Some(BreakerState::Closed));
}

#[test]
fn calls_from_before_say_nothing_about_after() {
    let now = start();
    let mut breaker = breaker();
    let Admission::Allowed(old) = breaker.ask(now).0 else { panic!("it is closed") };
    (0..5).for_each(|_| _ = call(&mut breaker, now, FAILED));
    let now = breaker.opens_again().expect("it is open");
    breaker.ask(now);
    assert_eq!(breaker.record(now, old, FAILED), None);
    assert_eq!(breaker.record(now, old, WORKED), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let now = now + secs(60);
    (0..3).for_each(|_| _ = call(&mut breaker, now, WORKED));
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.record(now, old, FAILED), None);
    assert!((breaker.health() - 1.0).abs() < 1e-9, "a failure from before counts after");
}

#[test]
fn it_can_be_tripped_and_reset() {
    let now = start();
    let mut breaker = breaker();
    assert_eq!(breaker.trip(now).map(|moved| moved.cause), Some(BreakerCause::Forced));
    assert_eq!(breaker.trip(now), None);
    assert_eq!(breaker.reset(now).map(|moved| moved.cause), Some(BreakerCause::Reset));
    assert_eq!(breaker.reset(now), None);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn health_follows_its_formula() {
    let now = start();
    let mut breaker = breaker();
    assert!((breaker.health() - 1.0).abs() < 1e-9);
    call(&mut breaker, now, WORKED);
    call(&mut breaker, now, FAILED);
    assert!((breaker.health() - 3.0 / 4.0).abs() < 1e-9);
    call(&mut breaker, now, SLOW);
    assert!((breaker.health() - 4.0 / 5.0 * (1.0 - 1.0 / 6.0)).abs() < 1e-9);
    breaker.trip(now);
    assert!(breaker.health().abs() < 1e-9);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: fn(&mut BreakerConfig)| {
        let mut config = BreakerConfig::default();
        change(&mut config);
        assert!(Breaker::new(config).is_err(), "{config:?}");
    };
    check(|c| c.half_open_calls = 0);
    check(|c| c.failure_rate = 0.0);
    check(|c| c.jitter = f64::NAN);
    check(|c| c.minimum_calls = 101);
    check(|c| c.open_time_cap = secs(1));
    check(|c| c.window_time = Duration::MAX);
}
