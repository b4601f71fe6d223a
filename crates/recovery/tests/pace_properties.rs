//! Backoff, budget and gate keep their bounds, whatever is asked of them.

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use recovery::{
    Backoff, BackoffConfig, BudgetConfig, Entry, GateConfig, PermitId, PressureLevel, RetryBudget, StormGate,
    Ticket,
};
use support::{ms, secs, start};

proptest! {
    #[test]
    fn waits_lie_under_their_ceiling_and_repeat_with_the_seed(seed: u64, repetitions in prop::collection::vec(1..200_u32, 1..50)) {
        let config = BackoffConfig::default();
        let draw = || { let mut b = Backoff::new(config, seed); repetitions.iter().map(|&n| b.delay(n)).collect::<Vec<_>>() };
        for (&n, delay) in repetitions.iter().zip(draw()) {
            prop_assert!(delay <= config.ceiling(n) && config.ceiling(n) <= config.cap);
        }
        prop_assert_eq!(draw(), draw());
    }

    /// In any span there are at most burst + share · requests + rate · seconds repetitions.
    #[test]
    fn repetitions_never_exceed_the_budget_in_any_span(
        share in 0.0..1.0_f64, rate in 0.0..5.0_f64, burst in 1.0..30.0_f64,
        calls in prop::collection::vec((0..400_u64, any::<bool>()), 1..300),
    ) {
        let mut config = BudgetConfig::default();
        (config.share, config.per_second, config.burst) = (share, rate, burst);
        let begin = start();
        let mut budget = RetryBudget::new(config, begin).expect("the settings work");
        let mut now = begin;
        // The time, and whether a request came or a repetition was allowed.
        let mut log: Vec<(Instant, bool)> = Vec::new();
        for (passed, request) in calls {
            now += ms(passed);
            if request {
                budget.deposit(now);
                log.push((now, true));
            } else {
                let affords = budget.affords(now);
                prop_assert_eq!(affords, budget.withdraw(now));
                if affords { log.push((now, false)); }
            }
            prop_assert!((0.0..=burst).contains(&budget.balance(now)));
        }
        for from in 0..log.len() {
            let (mut requests, mut repetitions) = (0.0, 0.0);
            for &(at, request) in &log[from..] {
                if request { requests += 1.0 } else { repetitions += 1.0 }
                let seconds = (at - log[from].0).as_secs_f64();
                prop_assert!(repetitions <= burst + share * requests + rate * seconds + 1e-6);
            }
        }
    }
}

#[test]
fn a_clock_that_goes_back_gives_nothing_for_free() {
    let begin = start() + secs(100);
    let mut config = BudgetConfig::default();
    config.burst = 1.0;
    let mut budget = RetryBudget::new(config, begin).expect("the settings work");
    assert!(budget.withdraw(begin));
    assert!(!budget.withdraw(begin - secs(50)));
    assert!(!budget.withdraw(begin));
    assert!(budget.withdraw(begin + secs(1)));
}

fn admitted(entry: Entry) -> Option<PermitId> {
    match entry {
        Entry::Admitted { permit, .. } => Some(permit),
        _ => None,
    }
}

fn gate() -> StormGate {
    StormGate::new(GateConfig::default()).expect("the defaults work")
}

#[test]
fn two_at_once_and_one_under_pressure() {
    let (mut gate, now) = (gate(), start());
    let ask = |gate: &mut StormGate, who, level| gate.enter(now, Ticket(who), level, secs(60));
    let first = admitted(ask(&mut gate, 1, PressureLevel::High)).expect("nobody is there");
    assert!(admitted(ask(&mut gate, 2, PressureLevel::High)).is_none());
    let second = admitted(ask(&mut gate, 2, PressureLevel::Elevated)).expect("there is room again");
    assert!(admitted(ask(&mut gate, 3, PressureLevel::Normal)).is_none());
    gate.leave(first);
    assert!(admitted(ask(&mut gate, 3, PressureLevel::Critical)).is_none(), "one is still being restarted");
    gate.leave(second);
    assert!(admitted(ask(&mut gate, 3, PressureLevel::Critical)).is_some());
}

#[test]
fn the_line_is_fair_and_nobody_jumps_it() {
    let (mut gate, now) = (gate(), start());
    let ask = |gate: &mut StormGate, who| gate.enter(now, Ticket(who), PressureLevel::Normal, secs(60));
    let first = admitted(ask(&mut gate, 1)).expect("room");
    admitted(ask(&mut gate, 2)).expect("room");
    assert!(matches!(ask(&mut gate, 3), Entry::Waiting { ahead: 0, .. }));
    assert!(matches!(ask(&mut gate, 4), Entry::Waiting { ahead: 1, .. }));
    gate.leave(first);
    assert!(admitted(ask(&mut gate, 5)).is_none(), "a newcomer does not overtake");
    assert!(admitted(ask(&mut gate, 4)).is_none());
    assert!(admitted(ask(&mut gate, 3)).is_some());
}

#[test]
fn the_lost_are_not_waited_for() {
    let (mut gate, now) = (gate(), start());
    for who in 1..=4 {
        gate.enter(now, Ticket(who), PressureLevel::Normal, secs(10));
    }
    assert_eq!(gate.count(now), (2, 2));
    let later = now + secs(10);
    assert_eq!(gate.count(later), (0, 0));
    assert!(admitted(gate.enter(later, Ticket(9), PressureLevel::Normal, secs(10))).is_some());
}

#[test]
fn the_line_is_bounded() {
    let mut config = GateConfig::default();
    config.waiting = 1;
    let (mut gate, now) = (StormGate::new(config).expect("it works"), start());
    let last = (1..=4).map(|who| gate.enter(now, Ticket(who), PressureLevel::Normal, secs(10))).last();
    assert_eq!(last, Some(Entry::Refused));
}

proptest! {
    /// Many who ask, leave, give up and get lost at random: never too many inside, and in the end everybody who keeps
    /// asking gets in.
    #[test]
    fn never_too_many_and_never_wedged(ops in prop::collection::vec((0..6_u64, 0..5_u8, 0..800_u64, 0..4_usize), 1..200)) {
        let (mut gate, mut now) = (gate(), start());
        let mut inside: HashMap<PermitId, Instant> = HashMap::new();
        for (who, op, passed, level) in ops {
            now += ms(passed);
            inside.retain(|_, until| *until > now);
            let level = PressureLevel::ALL[level];
            match op {
                0 => {
                    if let Some(&permit) = inside.keys().min() {
                        inside.remove(&permit);
                        gate.leave(permit);
                    }
                }
                1 => gate.give_up(Ticket(who)),
                _ => {
                    let before = inside.len();
                    let would = gate.would_admit(now, Ticket(who), level);
                    let entry = gate.enter(now, Ticket(who), level, secs(3));
                    prop_assert_eq!(would, matches!(entry, Entry::Admitted { .. }));
                    if let Entry::Admitted { permit, until } = entry {
                        prop_assert!(until > now && until <= now + secs(3));
                        prop_assert!(before == 0 || level < PressureLevel::High, "no two under pressure");
                        inside.insert(permit, until);
                    }
                }
            }
            prop_assert!(inside.len() <= 2);
            prop_assert_eq!(gate.count(now).0, inside.len());
        }
        let (mut asked, limit) = (0, now + secs(10));
        while !matches!(gate.enter(now, Ticket(99), PressureLevel::Critical, secs(1)), Entry::Admitted { .. }) {
            now += Duration::from_millis(500);
            asked += 1;
            prop_assert!(now <= limit, "asked {asked} times in vain");
        }
    }
}
