//! How well the policies choose: `cargo xtask bench selection` runs it.
//!
//! Every policy goes through the selector that the pool uses, in the same worlds with the same random numbers; what is
//! paid is what the chosen arm would have taken. A failed run costs the time that it took, a run on the best arm, and
//! four times as much again. The oracle knows what each arm takes in expectation, at every request, and has no cold
//! runs. Ends with an error where the default policy's regret is above 5 % in any world with two changes.
//!
//! Flags: `--requests N` (default 10 000), `--seeds N` (default 10), `--first-seed N` (default 0), `--history DB` for
//! recorded observations, `--json FILE`.

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/replay.rs"]
mod replay;
#[path = "support/report.rs"]
mod report;
#[path = "support/synthetic.rs"]
mod synthetic;
#[path = "support/world.rs"]
mod world;

use report::{Row, say, show};
use serde_json::json;
use synthetic::Course;
use vocab::PolicyName;
use world::World;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The regret that the default policy may have, as a share of what the oracle pays.
const TARGET: f64 = 0.05;

fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn number(name: &str, default: u64) -> Result<u64, Failure> {
    flag(name).map_or(Ok(default), |text| {
        text.replace('_', "").parse().map_err(|error| format!("{name} {text}: {error}").into())
    })
}

fn main() -> Result<(), Failure> {
    let requests = usize::try_from(number("--requests", 10_000)?)?.max(100);
    let first = number("--first-seed", 0)?;
    let seeds = first..first + number("--seeds", 10)?.max(1);
    let mut tables = Vec::new();
    let mut worst: f64 = 0.0;
    for course in Course::ALL {
        let worlds: Vec<World> = seeds.clone().map(|seed| course.world(requests, seed)).collect();
        let (rows, table) = compare(course.name(), "synthetic", &worlds)?;
        tables.push(table);
        if course.has_two_changes() {
            worst = rows
                .iter()
                .filter(|row| row.policy == PolicyName::Weighted)
                .map(Row::regret)
                .fold(worst, f64::max);
        }
    }
    for (name, worlds) in recorded::worlds(flag("--history").as_deref(), requests, seeds)? {
        tables.push(compare(&name, "recorded", &worlds)?.1);
    }
    let passed = worst <= TARGET;
    let verdict = if passed { "PASS" } else { "FAIL" };
    say(&format!(
        "\n{verdict}: with two changes in {requests} requests, weighted has a mean regret of at most {:.2} % in any \
         synthetic world (target {:.0} %)",
        worst * 100.0,
        TARGET * 100.0
    ));
    if let Some(path) = flag("--json") {
        let all = json!({
            "bench": "selection", "requests": requests, "worlds": tables,
            "worst_regret": worst, "target": TARGET, "passed": passed,
        });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    if passed { Ok(()) } else { Err("the default policy's regret is above the target".into()) }
}

/// Every policy in each of the worlds.
fn compare(name: &str, kind: &str, worlds: &[World]) -> Result<(Vec<Row>, serde_json::Value), Failure> {
    let mut rows = Vec::new();
    for &policy in PolicyName::ALL {
        let seeded = (0..).zip(worlds);
        let courses = seeded.map(|(seed, world)| replay::replay(world, policy, seed));
        rows.push(Row { policy, courses: courses.collect::<Result<_, _>>()? });
    }
    let oracle = worlds.iter().map(World::oracle_ms).sum::<f64>() / worlds.len().max(1) as f64;
    let table = show(name, kind, &rows, oracle);
    Ok((rows, table))
}
