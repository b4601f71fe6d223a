//! `cargo xtask test`: everything that must hold before a change is taken.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;

use crate::e2e::{Suite, Wants};
use crate::flags::{Clients, Fixtures, Setup, Shards, Test};
use crate::home::{HOME_VARIABLE, home};
use crate::leftovers::Snapshot;
use crate::metadata;
use crate::sh::{self, Cmd, Reported};
use crate::tally::Tally;
use crate::{
    checks, clients, compile, examples, fixtures, page_check, postgres, release, setup, shards, tidy,
};

/// What `cargo xtask test` does, in the order in which the sum is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting is as `cargo fmt` leaves it.
    Formatting,
    /// The house rules.
    Tidy,
    /// Browsers, drivers, the page's runtime, Python.
    SetUp,
    /// The models with their native references.
    Fixtures,
    /// Everything that the tests below run.
    Compilation,
    /// Unit and property tests.
    Units,
    /// The browser-backed tests that judge how long something takes, or look at everything that the machine runs.
    BrowsersAlone,
    /// The server before clients that others wrote.
    Clients,
    /// The other browser-backed tests.
    BrowsersBeside,
    /// The code in the documentation.
    DocTests,
    /// The tests on a real PostgreSQL.
    Postgres,
    /// Parts of models against the whole, in a runtime that we did not write.
    Cuts,
    /// The program under `examples/`, which cuts models and has no browser.
    Embedding,
    /// The archive of a release, from the binary of the tests.
    Release,
    /// Lints.
    Clippy,
    /// The documentation builds.
    Documentation,
    /// The page's own code.
    Page,
}

/// What comes first: each of them with the whole machine to itself.
const FIRST: [Step; 6] =
    [Step::Formatting, Step::Tidy, Step::SetUp, Step::Fixtures, Step::Compilation, Step::Units];

/// What runs beside those browser-backed tests that it does not disturb: each row one step after the other, the rows at the
/// same time. Much of what those tests and the clients do is waiting for browsers.
const BESIDE: [&[Step]; 3] = [
    &[Step::Clients],
    &[Step::Clippy, Step::Documentation, Step::DocTests, Step::Page],
    &[Step::Postgres, Step::Embedding, Step::Cuts, Step::Release],
];

/// Runs every step, also after one has failed, and closes with one line that sums up.
pub(crate) fn run(flags: &Test) -> Result<()> {
    let mut steps = Steps::default();
    if flags.only.is_empty() {
        all(&mut steps);
    } else {
        flags.only.iter().for_each(|&step| _ = steps.one(step, flags.beside));
    }
    steps.close()
}

fn all(steps: &mut Steps) {
    let failed: Vec<Step> = FIRST.into_iter().filter(|&step| !steps.one(step, false)).collect();
    let ready = !failed.contains(&Step::SetUp) && !failed.contains(&Step::Fixtures);
    // Found before anything else compiles: cargo lets only one look at a time.
    let suite = if ready {
        Suite::build(None)
    } else {
        Err(anyhow!("not run, because set-up or the fixtures failed"))
    };
    steps.test(&Step::BrowsersAlone.word(), |tally| suite.as_ref().map_err(again)?.run(Wants::Quiet, tally));
    let before = Snapshot::take();
    std::thread::scope(|scope| {
        let rows = BESIDE.map(|row| {
            let aside = |&step: &Step| (step, Aside::run(step));
            scope.spawn(move || row.iter().map(aside).collect::<Vec<_>>())
        });
        steps.test(&Step::BrowsersBeside.word(), |tally| {
            suite.as_ref().map_err(again)?.run_beside(Wants::Nothing, tally)
        });
        for (row, names) in rows.into_iter().zip(BESIDE) {
            match row.join() {
                Ok(done) => done.into_iter().for_each(|(step, aside)| steps.add(step, aside)),
                Err(_) => names.iter().for_each(|&step| steps.add(step, Err(anyhow!("it panicked")))),
            }
        }
    });
    steps.test("leftovers", |_| before?.expect_nothing_more());
}

/// The same error once more, for another step that fails by it.
fn again(error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

impl Step {
    /// The word by which it can be asked for.
    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self, beside: bool, tally: &mut Tally) -> Result<()> {
        let cargo_test = || Ok::<_, anyhow::Error>(compile::cargo("test")?.arg("--no-fail-fast"));
        match self {
            Self::Formatting => checks::formatting(),
            Self::Tidy => tidy::run(),
            Self::SetUp => setup::run(&Setup::default()),
            Self::Fixtures => fixtures::run(&Fixtures::default()),
            Self::Compilation => cargo_test()?.args(["--no-run", "--lib", "--bins", "--tests"]).run(),
            Self::Units => {
                let names = compile::plain_tests()?;
                let tests = names.iter().flat_map(|name| ["--test", name]);
                tally.run(cargo_test()?.args(["--lib", "--bins"]).args(tests))
            }
            Self::BrowsersAlone => Suite::build(None)?.run(Wants::Quiet, tally),
            Self::Clients if beside => clients::run_beside(&Clients::default(), tally),
            Self::Clients => clients::run_alone(&Clients::default(), tally),
            Self::BrowsersBeside => Suite::build(None)?.run(Wants::Nothing, tally),
            Self::DocTests => tally.run(cargo_test()?.arg("--doc")),
            Self::Postgres => postgres::run_into(tally),
            Self::Cuts => shards::run(&Shards { sample: true, ..Shards::default() }),
            Self::Embedding => examples::run(),
            Self::Release => release::check(),
            Self::Clippy => checks::clippy(),
            Self::Documentation => checks::documentation(),
            Self::Page => page_check::run(),
        }
    }
}

/// How a step went that another process of ours did.
#[derive(Debug)]
struct Aside {
    tally: Tally,
    took: Duration,
    ok: bool,
}

impl Aside {
    /// Has another process of ours do a step, and shows all that it said when it has ended: two that speak at the same time
    /// are not understood. What only computes gets what the machine has to spare.
    fn run(step: Step) -> Result<Self> {
        let log = log_file(step)?;
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let xtask = std::env::current_exe().context("cannot find our own executable")?;
        let nice = if step == Step::Clients { "0" } else { "19" };
        let command = Cmd::new("nice").args(["-n", nice]).arg(xtask);
        let command = command.args(["test", "--beside", "--only", &step.word()]);
        let (status, took) = sh::timed(|| command.env(HOME_VARIABLE, home()?).run_into(&file));
        let said = std::fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let said = String::from_utf8_lossy(&said);
        println!("{said}");
        let mut tally = Tally::default();
        said.lines().for_each(|line| tally.line(line));
        Ok(Self { tally, took, ok: status?.success() })
    }
}

fn log_file(step: Step) -> Result<PathBuf> {
    let folder = PathBuf::from(metadata::load()?.target).join("steps");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(format!("{}.log", step.word())))
}

/// What ran, how it went and how long it took.
#[derive(Debug, Default)]
struct Steps {
    tally: Tally,
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    /// Does a step.
    fn one(&mut self, step: Step, beside: bool) -> bool {
        self.test(&step.word(), |tally| step.run(beside, tally))
    }

    /// Does a step that adds its tests, if it has any, to the tally. When it fails without a failed test, that is one
    /// failure.
    fn test(&mut self, name: &str, step: impl FnOnce(&mut Tally) -> Result<()>) -> bool {
        println!("\n=== {name}");
        let before = self.tally.failed;
        let (result, took) = sh::timed(|| step(&mut self.tally));
        if let Err(error) = &result {
            eprintln!("error: {name}: {error:#}");
            self.tally.failed += u64::from(self.tally.failed == before);
        }
        self.done.push((name.to_owned(), took, result.is_ok()));
        result.is_ok()
    }

    /// Takes down a step that another process of ours did.
    fn add(&mut self, step: Step, aside: Result<Aside>) {
        let aside = aside.unwrap_or_else(|error| {
            eprintln!("error: {}: {error:#}", step.word());
            Aside { tally: Tally::default(), took: Duration::ZERO, ok: false }
        });
        self.tally.passed += aside.tally.passed;
        self.tally.failed += aside.tally.failed.max(u64::from(!aside.ok));
        self.done.push((step.word(), aside.took, aside.ok));
    }

    fn close(self) -> Result<()> {
        println!();
        for (name, took, ok) in &self.done {
            println!("{:<24} {:>7.1} s  {}", name, took.as_secs_f64(), if *ok { "ok" } else { "FAILED" });
        }
        println!("\n{}", self.tally);
        if self.done.iter().any(|(.., ok)| !ok) { Err(Reported.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_check_counts_once_and_does_not_stop_the_rest() {
        let mut steps = Steps::default();
        assert!(!steps.test("first", |_| bail!("broken")));
        assert!(steps.test("second", |tally| {
            tally.passed += 3;
            Ok(())
        }));
        assert_eq!(steps.tally, Tally { passed: 3, failed: 1 });
        assert!(steps.close().expect_err("one failed").is::<Reported>());
    }

    #[test]
    fn failed_tests_are_not_counted_again_for_their_step() {
        let mut steps = Steps::default();
        steps.test("tests", |tally| {
            tally.failed += 2;
            bail!("two failed")
        });
        assert_eq!(steps.tally, Tally { passed: 0, failed: 2 });
    }

    #[test]
    fn what_another_process_did_counts_as_if_we_had_done_it() {
        let mut steps = Steps::default();
        let mut add = |step, passed, failed, ok| {
            steps.add(step, Ok(Aside { tally: Tally { passed, failed }, took: Duration::ZERO, ok }));
        };
        add(Step::DocTests, 5, 0, true);
        add(Step::Postgres, 4, 2, false);
        add(Step::Clippy, 0, 0, false);
        steps.add(Step::Page, Err(anyhow!("it panicked")));
        assert_eq!(steps.tally, Tally { passed: 9, failed: 4 });
        assert!(steps.close().expect_err("three failed").is::<Reported>());
    }

    /// No step is left out of the whole, and none is done twice.
    #[test]
    fn every_step_has_its_place() {
        let rest = [Step::BrowsersAlone, Step::BrowsersBeside];
        let done = [&FIRST[..], &rest, &BESIDE.concat()].concat();
        for step in Step::value_variants() {
            assert_eq!(done.iter().filter(|one| *one == step).count(), 1, "{step:?}");
        }
    }
}
