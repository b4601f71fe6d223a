//! Random calls against breakers: never wedged, never moved by callers, and never everybody shut out.

mod support;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use recovery::{Admission, Breaker, BreakerConfig, BreakerSet, CallOutcome, CallPermit, SetConfig};
use support::{ms, secs, start};
use telemetry::BreakerState;

fn outcome() -> impl Strategy<Value = CallOutcome> {
    let took = || prop_oneof![Just(ms(5)), Just(secs(100))];
    prop_oneof![
        3 => took().prop_map(|took| CallOutcome::Worked { took }),
        5 => took().prop_map(|took| CallOutcome::Failed { took }),
        2 => Just(CallOutcome::CallersFault),
        1 => Just(CallOutcome::Abandoned),
    ]
}

/// What happens to one call: how long until it, how it ends, and when: at once, later, or never.
type Op = (u64, CallOutcome, u8);

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec((0..40_000_u64, outcome(), 0..4_u8), 1..150)
}

fn play(breaker: &mut Breaker, ops: &[Op], mut now: Instant) -> Result<Instant, TestCaseError> {
    let mut open: Vec<(CallPermit, CallOutcome)> = Vec::new();
    for &(passed, outcome, fate) in ops {
        now += ms(passed);
        let (before, would) = (breaker.state(), breaker.would_allow(now));
        let (admission, moved) = breaker.ask(now);
        prop_assert_eq!(would, matches!(admission, Admission::Allowed(_)));
        if let Some(moved) = moved {
            prop_assert_eq!((moved.from, moved.to), (BreakerState::Open, BreakerState::HalfOpen));
        } else {
            prop_assert_eq!(before, breaker.state());
        }
        match admission {
            Admission::Allowed(permit) => match fate {
                0 | 1 => open.push((permit, outcome)),
                2 => {}
                _ => end(breaker, now, permit, outcome)?,
            },
            Admission::Refused { ask_again } => prop_assert!(ask_again > now),
            _ => {}
        }
        if fate == 0 {
            for (permit, outcome) in open.drain(..) {
                end(breaker, now, permit, outcome)?;
            }
        }
        prop_assert!((0.0..=1.0).contains(&breaker.health()), "{}", breaker.health());
    }
    Ok(now)
}

fn end(b: &mut Breaker, now: Instant, permit: CallPermit, outcome: CallOutcome) -> Result<(), TestCaseError> {
    let (before, health) = (b.state(), b.health());
    let moved = b.record(now, permit, outcome);
    prop_assert_eq!(moved.map(|moved| moved.from).unwrap_or(before), before);
    prop_assert_eq!(moved.map(|moved| moved.to).unwrap_or(before), b.state());
    prop_assert!(moved.is_none_or(|moved| moved.from != moved.to));
    if matches!(outcome, CallOutcome::CallersFault | CallOutcome::Abandoned) {
        prop_assert_eq!(moved, None, "callers move nothing");
        prop_assert!((b.health() - health).abs() < 1e-12);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// After any history, a breaker is closed again soon once calls work, although two of three are lost.
    #[test]
    fn it_never_wedges(ops in ops(), seed: u64, lost in 0..3_usize) {
        let mut config = BreakerConfig::default();
        config.seed = seed;
        let mut breaker = Breaker::new(config).expect("it works");
        let mut now = play(&mut breaker, &ops, start())?;
        let mut calls = 0_usize;
        // The longest open time with its jitter, then every third trial comes back.
        let limit = now + secs(330) + config.permit_time * 8;
        while breaker.state() != BreakerState::Closed {
            match breaker.ask(now).0 {
                Admission::Allowed(permit) if calls % 3 == lost => {
                    breaker.record(now, permit, CallOutcome::Worked { took: ms(5) });
                    calls += 1;
                }
                Admission::Allowed(_) => calls += 1,
                Admission::Refused { ask_again } => now = ask_again,
                _ => {}
            }
            prop_assert!(now <= limit, "still {:?}", breaker.state());
        }
    }

    #[test]
    fn callers_alone_never_open_it(passed in prop::collection::vec(0..100_000_u64, 1..200)) {
        let mut breaker = Breaker::new(BreakerConfig::default()).expect("it works");
        let ops: Vec<Op> = passed.into_iter().map(|ms| (ms, CallOutcome::CallersFault, 3)).collect();
        play(&mut breaker, &ops, start())?;
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }

    /// Whatever happened to whom: somebody stays, and no more than the share is shut out.
    #[test]
    fn a_set_never_shuts_everybody_out(
        ops in prop::collection::vec((0..12_u8, 0..20_000_u64, outcome(), any::<bool>()), 0..300),
        candidates in prop::collection::btree_set(0..12_u8, 1..12), ejected in prop_oneof![Just(1.0), 0.0..=1.0_f64], most in 1..20_usize,
    ) {
        let mut config = SetConfig::default();
        (config.ejected, config.most) = (ejected, most);
        let mut set = BreakerSet::new(config).expect("it works");
        let candidates: Vec<u8> = candidates.into_iter().collect();
        let mut now = start();
        for (key, passed, outcome, trip) in ops {
            now += ms(passed);
            if let Admission::Allowed(permit) = set.ask(now, &key).0 {
                set.record(now, &key, permit, outcome);
            }
            if trip { set.trip(now, &key); }
            prop_assert!(set.len() <= most);
            let verdicts = set.verdicts(now, &candidates);
            prop_assert!(!verdicts.admitted.is_empty() || !verdicts.in_spite.is_empty(), "nobody is left");
            prop_assert!(verdicts.ejected.len() as f64 <= ejected * candidates.len() as f64);
            let mut all = [verdicts.admitted, verdicts.in_spite, verdicts.ejected].concat();
            all.sort_unstable();
            prop_assert_eq!(&all, &candidates, "each candidate has one verdict");
        }
    }
}

/// The one fault that all share: every breaker opens, half of them are used in spite of that.
#[test]
fn a_shared_fault_leaves_half_of_them() {
    let mut set = BreakerSet::new(SetConfig::default()).expect("the defaults work");
    let now = start();
    let keys: Vec<u32> = (0..5).collect();
    for key in &keys {
        for _ in 0..5 {
            if let Admission::Allowed(permit) = set.ask(now, key).0 {
                set.record(now, key, permit, CallOutcome::Failed { took: Duration::from_millis(1) });
            }
        }
    }
    let verdicts = set.verdicts(now, &keys);
    assert_eq!((verdicts.admitted.len(), verdicts.in_spite.len(), verdicts.ejected.len()), (0, 3, 2));
    // Two that nothing is known of make it unnecessary to use more than one of the others.
    let verdicts = set.verdicts(now, &[0, 1, 2, 8, 9]);
    assert_eq!((verdicts.admitted, verdicts.in_spite.len()), (vec![8, 9], 1));
    assert_eq!(set.verdicts(now, &[3]).in_spite, [3], "the only one is never shut out");
    // Several that opened together do not become half open together.
    let times: std::collections::BTreeSet<_> =
        keys.iter().filter_map(|key| set.get(key)?.opens_again()).collect();
    assert_eq!(times.len(), 5);
}
