//! `cargo xtask e2e`: the browser-backed tests, each in its own binary, one at a time.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::compile;
use crate::flags::E2e;
use crate::leftovers::Snapshot;
use crate::metadata;
use crate::page_check;
use crate::sh::{self, Cmd, Reported};
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

/// The same for the live page: how many kills it is shown.
const LIVE: (&str, &str, &str) = ("WEBNN_POOL_LIVE", "e2e_live", "long_");
/// The same for repeated comparisons.
const COMPARE: (&str, &str, &str) = ("WEBNN_POOL_COMPARE", "e2e_compare", "long_");
/// The same for many guests, one after the other.
const GUESTS: (&str, &str, &str) = ("WEBNN_POOL_GUESTS", "e2e_join", "long_");

/// The binaries that judge no time and look at nothing that is not theirs, so that what else the machine does costs them
/// only time. Whoever is not named here has the machine to itself.
const UNDISTURBED: [&str; 12] = [
    "e2e_browsers",
    "e2e_examples",
    "e2e_guests",
    "e2e_identity",
    "e2e_join",
    "e2e_kill",
    "e2e_launch",
    "e2e_models",
    "e2e_run",
    "e2e_security",
    "e2e_sharding",
    "e2e_trends",
];

/// What a binary wants of the machine that it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Nothing else runs.
    Quiet,
    /// Whatever else runs must only leave it enough to go on.
    Nothing,
}

/// A browser-backed test binary.
#[derive(Debug)]
struct Binary {
    package: String,
    /// Folder of the package, relative to the workspace root.
    dir: String,
    name: String,
}

impl Binary {
    fn wants(&self) -> Wants {
        if UNDISTURBED.contains(&self.name.as_str()) { Wants::Nothing } else { Wants::Quiet }
    }
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
    } else if let Some(kills) = flags.live {
        run_with(Some(LIVE.1), &[(LIVE.0, kills.to_string())], &[LIVE.2], &mut tally)
    } else if let Some(repeats) = flags.compare {
        run_with(Some(COMPARE.1), &[(COMPARE.0, repeats.to_string())], &[COMPARE.2], &mut tally)
    } else if let Some(stays) = flags.guests {
        run_with(Some(GUESTS.1), &[(GUESTS.0, stays.to_string())], &[GUESTS.2], &mut tally)
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
fn run_into(only: Option<&str>, full: bool, tally: &mut Tally) -> Result<()> {
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
    let suite = Suite::build(only)?;
    run_all(suite.0.iter(), environment, tests, tally)
}

/// Browser-backed test binaries with their programs; those that do not compile have none.
#[derive(Debug)]
pub(crate) struct Suite(Vec<(Binary, Option<PathBuf>)>);

impl Suite {
    /// Compiles every binary whose name contains `only`.
    pub(crate) fn build(only: Option<&str>) -> Result<Self> {
        let mut chosen = binaries()?;
        chosen.retain(|binary| only.is_none_or(|part| binary.name.contains(part)));
        if chosen.is_empty() {
            bail!("no browser-backed test matches: see `cargo xtask e2e --list`");
        }
        if chosen.iter().any(|binary| binary.name == LIVE.1) {
            // It has axe-core look at the page.
            page_check::install()?;
        }
        // All at the same time, on all cores. What does not compile is told here and counted where it would run.
        let names = chosen.iter().flat_map(|binary| ["--test", &binary.name]);
        let build = compile::cargo("test")?
            .args(["--no-run", "--no-fail-fast", "--message-format", "json-render-diagnostics"])
            .args(names);
        let (_, messages) = build.output()?;
        let with_program = |binary: Binary| {
            let program = messages.lines().find_map(|message| program(&binary.name, message));
            (binary, program)
        };
        Ok(Self(chosen.into_iter().map(with_program).collect()))
    }

    /// Runs those binaries that want this, adds their results, and looks for what is left over.
    pub(crate) fn run(&self, wants: Wants, tally: &mut Tally) -> Result<()> {
        run_all(self.those(wants), &[], &[], tally)
    }

    /// Runs those binaries that want this while other pools run: whoever does that looks for what is left over.
    pub(crate) fn run_beside(&self, wants: Wants, tally: &mut Tally) -> Result<()> {
        run_each(self.those(wants), &[], &[], tally)
    }

    fn those(&self, wants: Wants) -> impl Iterator<Item = &(Binary, Option<PathBuf>)> {
        self.0.iter().filter(move |(binary, _)| binary.wants() == wants)
    }
}

/// The program of the test target of this name, if cargo's message tells about it.
fn program(name: &str, message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let wanted = target["name"] == name && target["kind"][0] == "test";
    let program = message["executable"].as_str().filter(|_| wanted);
    program.map(PathBuf::from)
}

fn run_all<'a>(
    binaries: impl Iterator<Item = &'a (Binary, Option<PathBuf>)>,
    environment: &[(&'static str, String)],
    tests: &[&str],
    tally: &mut Tally,
) -> Result<()> {
    let before = Snapshot::take()?;
    let done = run_each(binaries, environment, tests, tally);
    let clean = before.expect_nothing_more();
    if clean.is_err() {
        tally.failed += 1;
    }
    done.and(clean)
}

fn run_each<'a>(
    binaries: impl Iterator<Item = &'a (Binary, Option<PathBuf>)>,
    environment: &[(&'static str, String)],
    tests: &[&str],
    tally: &mut Tally,
) -> Result<()> {
    let mut failed = Vec::new();
    for (binary, program) in binaries {
        if let Err(error) = run_one(binary, program.as_ref(), environment, tests, tally) {
            eprintln!("error: {error:#}");
            failed.push(binary.name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Runs a binary where cargo would, but without cargo, which waits for every other cargo.
fn run_one(
    binary: &Binary,
    program: Option<&PathBuf>,
    environment: &[(&'static str, String)],
    tests: &[&str],
    tally: &mut Tally,
) -> Result<()> {
    let Some(program) = program else {
        tally.failed += 1;
        bail!("{} does not compile", binary.name);
    };
    let mut command = Cmd::new(program).dir(sh::root().join(&binary.dir));
    command = command.args(["--test-threads=1", "--nocapture"]).args(tests.iter().copied());
    for (name, value) in environment {
        command = command.env(name, value);
    }
    tally.run(command)
}

/// Every browser-backed test binary, ordered by package.
fn binaries() -> Result<Vec<Binary>> {
    let mut found = Vec::new();
    for member in metadata::load()?.members {
        let tests =
            member.targets.iter().filter(|target| target.kind == "test" && target.name.starts_with(PREFIX));
        found.extend(tests.map(|test| Binary {
            package: member.name.clone(),
            dir: member.dir.clone(),
            name: test.name.clone(),
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_nothing_disturbs_are_there_and_the_others_are_alone() {
        let all = binaries().expect("cargo reads this workspace");
        for name in UNDISTURBED {
            assert!(all.iter().any(|binary| binary.name == name), "there is no {name}");
        }
        let wants = |name: &str| all.iter().find(|binary| binary.name == name).map(Binary::wants);
        assert_eq!(wants("e2e_learning"), Some(Wants::Quiet));
        assert_eq!(wants("e2e_run"), Some(Wants::Nothing));
    }

    #[test]
    fn the_program_is_that_of_the_test_target() {
        let message = |kind: &str, name: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}"}},"executable":"/t/{name}-1"}}"#
            )
        };
        assert_eq!(program("e2e_a", &message("test", "e2e_a")), Some("/t/e2e_a-1".into()));
        assert_eq!(program("e2e_a", &message("test", "e2e_ab")), None);
        assert_eq!(program("e2e_a", &message("bin", "e2e_a")), None);
        assert_eq!(program("e2e_a", r#"{"reason":"build-finished","success":false}"#), None);
    }
}
