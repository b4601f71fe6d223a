//! The pool and recovery together, over browsers that break. Each seed is a whole history; one that fails is named, and
//! `POOL_SEED=n` replays it alone and prints what happened. `POOL_SEEDS=n` asks for more of them, `POOL_STEPS=n` for
//! longer ones.

mod fleet;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use fleet::{Bug, History, Plan, Tally, World};

/// How many histories there are without `POOL_SEEDS`.
const SEEDS: u64 = 10_000;
/// How many steps each has in which things break, without `POOL_STEPS`.
const STEPS: u64 = 400;
/// How many steps the long history has.
const LONG: u64 = 100_000;
/// Within how many histories each mistake must be found.
const FOUND_WITHIN: u64 = 2_000;

#[allow(clippy::disallowed_methods, reason = "a simulation needs one real instant to count from")]
fn epoch() -> Instant {
    Instant::now()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn print(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).expect("it can be said");
}

/// Every `must` that fails ends a history; a panic, such as of an assertion in the core, is told with its seed.
fn history(seed: u64, bug: Option<Bug>, trace: bool) -> History {
    let steps = number("POOL_STEPS").unwrap_or(STEPS);
    let plan = Plan { seed, steps, bug, trace };
    catch_unwind(AssertUnwindSafe(|| World::history(&plan, epoch()))).unwrap_or_else(|panic| {
        print(&format!("replay it with POOL_SEED={seed}\n"));
        resume_unwind(panic)
    })
}

#[test]
fn every_history_ends_well() {
    let (seeds, one) = match number("POOL_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (0..number("POOL_SEEDS").unwrap_or(SEEDS), false),
    };
    let mut all = Tally::default();
    let mut bad = Vec::new();
    for seed in seeds {
        let History { tally, broken, trace } = history(seed, None, one);
        if one {
            print(&(trace.join("\n") + "\n"));
        }
        all.add(&tally);
        if let Some(broken) = broken {
            bad.push(format!("POOL_SEED={seed}: {broken}\n"));
        }
    }
    print(&format!("{all:#?}\n"));
    bad.truncate(20);
    assert!(bad.is_empty(), "replay one of these:\n{}", bad.concat());
    // A simulation in which next to nothing happens proves nothing.
    if all.steps > 1_000_000 {
        assert!(all.recovered > all.given_up * 10, "most can be revived");
        let rare = [all.loaded_again, all.recycled, all.shut_out, all.waited_for_restarts, all.wrong];
        assert!(rare.iter().all(|&count| count > 0), "everything happens now and then");
    }
}

/// What only a long life brings: many recoveries of one browser, learnt rungs, recycled processes.
#[test]
fn a_long_history_ends_well() {
    let plan = Plan { seed: 7, steps: LONG, bug: None, trace: false };
    let History { tally, broken, .. } = World::history(&plan, epoch());
    assert_eq!(broken, None);
    assert!(tally.recovered > 100 && tally.recycled > 20, "{tally:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..100 {
        let (first, second) = (history(seed, None, true), history(seed, None, true));
        assert_eq!(first.trace, second.trace, "POOL_SEED={seed}");
        assert_eq!(first.tally, second.tally, "POOL_SEED={seed}");
    }
}

/// A mistake that is made on purpose is found, and soon: otherwise the simulation looks at nothing.
#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let found = (0..FOUND_WITHIN).find_map(|seed| Some((seed, history(seed, Some(bug), false).broken?)));
        let (seed, broken) =
            found.unwrap_or_else(|| panic!("{bug:?} is not found in {FOUND_WITHIN} histories"));
        print(&format!("{bug:?} is found by seed {seed}: {broken}\n"));
        assert!(broken.contains(bug.symptom()), "{bug:?} shows as: {broken}");
    }
}
