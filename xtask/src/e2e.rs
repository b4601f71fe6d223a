//! `cargo xtask e2e`: the browser-backed tests, each in its own binary, one at a time.

use anyhow::{Result, bail};

use crate::compile;
use crate::flags::E2e;
use crate::leftovers::Snapshot;
use crate::metadata;
use crate::sh::{Cmd, Reported};
use crate::tally::Tally;

/// How the names of browser-backed test targets begin.
pub(crate) const PREFIX: &str = "e2e_";

/// The feature that they require, so that plain `cargo test` leaves them out.
pub(crate) const FEATURE: &str = "e2e";

/// The variable by which the binaries are asked for their long form.
const FORM: (&str, &str) = ("WEBNN_POOL_E2E", "full");

/// The variable by which faults at random are asked for, the binary that inflicts them, and the test in it.
const CHAOS: (&str, &str, &str) = ("WEBNN_POOL_CHAOS", "e2e_recovery", "chaos");

/// The variables by which only some faults, or only some browsers, are asked for.
const CHAOS_FAULT: &str = "WEBNN_POOL_CHAOS_FAULT";
const CHAOS_BROWSER: &str = "WEBNN_POOL_CHAOS_BROWSER";
/// The same for the long trials of memory.
const MEMORY: (&str, &str, &str) = ("WEBNN_POOL_MEMORY", "e2e_memory", "long_");

/// The same for the long trials of shards.
const SHARD_KILLS: (&str, &str, &str) = ("WEBNN_POOL_SHARD_KILLS", "e2e_sharding", "kills_");

/// A browser-backed test binary.
#[derive(Debug)]
struct Binary {
    package: String,
    name: String,
}

/// Runs, or lists, what the flags ask for.
pub(crate) fn run(flags: &E2e) -> Result<()> {
    if flags.list {
        for binary in binaries()? {
            println!("{} ({})", binary.name, binary.package);
        }
        return Ok(());
    }
    let mut tally = Tally::default();
    let done = if flags.chaos {
        let mut asked = vec![(CHAOS.0, format!("{}:{}", flags.seed, flags.minutes))];
        let lists = [(CHAOS_FAULT, &flags.fault), (CHAOS_BROWSER, &flags.browser)];
        asked.extend(lists.into_iter().filter_map(|(name, list)| Some((name, list.clone()?))));
        run_with(Some(CHAOS.1), &asked, &[CHAOS.2], &mut tally)
    } else if let Some(trials) = flags.shard_kills {
        let asked = format!("{}:{trials}", flags.seed);
        run_with(Some(SHARD_KILLS.1), &[(SHARD_KILLS.0, asked)], &[SHARD_KILLS.2], &mut tally)
    } else if flags.memory {
        let asked = format!("{}:{}", flags.trials, flags.cycles);
        run_with(Some(MEMORY.1), &[(MEMORY.0, asked)], &[MEMORY.2], &mut tally)
    } else {
        run_into(flags.only.as_deref(), flags.full, &mut tally)
    };
    if let Err(error) = &done {
        eprintln!("error: {error:#}");
    }
    println!("\n{tally}");
    done.map_err(|_| Reported.into())
}

/// Runs every binary whose name contains `only`, in its long form if `full`, adds its results, and looks for what is
/// left over.
pub(crate) fn run_into(only: Option<&str>, full: bool, tally: &mut Tally) -> Result<()> {
    let form = (FORM.0, FORM.1.to_owned());
    run_with(only, if full { std::slice::from_ref(&form) } else { &[] }, &[], tally)
}

/// The same with this environment, for those tests in them whose names contain one of `tests`, or all.
fn run_with(
    only: Option<&str>,
    environment: &[(&'static str, String)],
    tests: &[&str],
    tally: &mut Tally,
) -> Result<()> {
    let all = binaries()?;
    let chosen: Vec<_> =
        all.iter().filter(|binary| only.is_none_or(|part| binary.name.contains(part))).collect();
    if chosen.is_empty() {
        bail!("no browser-backed test matches: see `cargo xtask e2e --list`");
    }
    // All at the same time, on all cores; what does not compile is told by whichever test it is.
    let _ = cargo_test(&chosen)?.arg("--no-run").run();
    let before = Snapshot::take()?;
    let mut failed = Vec::new();
    for binary in chosen {
        let mut command = cargo_test(&[binary])?
            .args(["--", "--test-threads=1", "--nocapture"])
            .args(tests.iter().copied());
        for (name, value) in environment {
            command = command.env(name, value);
        }
        if let Err(error) = tally.run(command) {
            eprintln!("error: {error:#}");
            failed.push(binary.name.as_str());
        }
    }
    let clean = before.expect_nothing_more();
    if clean.is_err() {
        tally.failed += 1;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    clean
}

/// What compiles these binaries, and runs them.
fn cargo_test(chosen: &[&Binary]) -> Result<Cmd> {
    Ok(compile::cargo("test")?.args(chosen.iter().flat_map(|binary| ["--test", &binary.name])))
}

/// Every browser-backed test binary, ordered by package.
fn binaries() -> Result<Vec<Binary>> {
    let mut found = Vec::new();
    for member in metadata::load()?.members {
        let tests =
            member.targets.iter().filter(|target| target.kind == "test" && target.name.starts_with(PREFIX));
        found.extend(tests.map(|test| Binary { package: member.name.clone(), name: test.name.clone() }));
    }
    Ok(found)
}
