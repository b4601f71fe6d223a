//! Many workers, random faults, storms, lost permits and lost reports, with ladder, gate, budget and breakers together
//! under a virtual clock. Each seed is a whole history; one that fails is named, and `RECOVERY_SEED=n` replays it alone.

mod support {
    pub(crate) mod fleet;
}

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use support::fleet::{Fleet, Tally};

#[allow(clippy::disallowed_methods, reason = "a test needs one real instant to count from")]
fn start() -> Instant {
    Instant::now()
}

/// How many histories there are without `RECOVERY_SEED`. `RECOVERY_SEEDS` asks for more.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs each seed's history; a failure names its seed.
fn each_seed(run: impl Fn(u64) -> Tally) -> Tally {
    let seeds = match number("RECOVERY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RECOVERY_SEEDS").unwrap_or(SEEDS),
    };
    let mut all = Tally::default();
    for seed in seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(tally) => {
                all.steps += tally.steps;
                all.faults += tally.faults;
                all.recovered += tally.recovered;
                all.given_up += tally.given_up;
                all.served += tally.served;
            }
            Err(panic) => {
                let name = format!("replay it with RECOVERY_SEED={seed}");
                std::io::Write::write_all(&mut std::io::stderr(), name.as_bytes()).expect("it can be said");
                resume_unwind(panic);
            }
        }
    }
    all
}

#[test]
fn every_history_ends_well() {
    let all = each_seed(|seed| {
        let mut fleet = Fleet::new(seed, 3 + (seed % 10) as usize, start());
        fleet.run(1_200, [0.2, 1.0, 4.0][(seed % 3) as usize]);
        assert!(fleet.heals(), "a breaker is wedged");
        fleet.tally
    });
    assert!(all.recovered > all.given_up * 20, "{all:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    each_seed(|seed| {
        let begin = start();
        let run = || {
            let mut fleet = Fleet::new(seed, 6, begin);
            fleet.run(300, 3.0);
            fleet.tally
        };
        let first = run();
        assert_eq!(first, run());
        first
    });
}

/// Over hours, the ladder learns what the simulation knows.
#[test]
fn what_is_hopeless_is_learned() {
    let mut fleet = Fleet::new(1, 14, start());
    fleet.run(40_000, 6.0);
    for id in 0..7 {
        let chance = fleet.reconnect_chance(id);
        let expected = if Fleet::is_hopeless(id) { 0.0..0.45 } else { 0.85..1.0 };
        assert!(expected.contains(&chance), "{id}: {chance}");
    }
}
