//! The pool and recovery together, over browsers that break. Each seed is a whole history; one that fails is named, and
//! `POOL_SEED=n` replays it alone and prints what happened. `POOL_SEEDS=n` asks for more of them, `POOL_STEPS=n` for
//! longer ones.

mod fleet;

use std::time::Instant;

use fleet::{Bug, History, Plan, Tally, World};

/// How many histories there are without `POOL_SEEDS`.
const SEEDS: u64 = 10_000;
/// How many steps each has in which things break, without `POOL_STEPS`.
const STEPS: u64 = 250;
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

fn history(seed: u64, bug: Option<Bug>, trace: bool) -> History {
    let steps = number("POOL_STEPS").unwrap_or(STEPS);
    World::history(&Plan { seed, steps, bug, trace }, epoch())
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
}
