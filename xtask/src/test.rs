//! `cargo xtask test`: everything that must hold before a change is taken.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::flags::{Fixtures, Setup, Shards};
use crate::sh::{self, Cmd, Reported};
use crate::tally::Tally;
use crate::{checks, compile, e2e, examples, fixtures, page_check, postgres, setup, shards, tidy};

/// Runs every step, also after one has failed, and closes with one line that sums up.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.check("formatting", checks::formatting);
    steps.check("tidy", tidy::run);
    let set_up = steps.check("set-up", || setup::run(&Setup::default()));
    let built = steps.check("fixtures", || fixtures::run(&Fixtures::default()));
    steps.test("unit and property tests", |tally| {
        let names = compile::plain_tests()?;
        let tests = names.iter().flat_map(|name| ["--test", name]);
        tally.run(cargo_test()?.args(["--lib", "--bins"]).args(tests))
    });
    steps.test("documentation tests", |tally| tally.run(cargo_test()?.arg("--doc")));
    // The first computes on one core for the most part, the second compiles.
    steps.check("cuts and embedding", || {
        std::thread::scope(|scope| {
            let embedding = scope.spawn(examples::run);
            let cuts = shards::run(&Shards { sample: true, ..Shards::default() });
            let embedding = embedding.join().unwrap_or_else(|_| bail!("the step panicked"));
            cuts.and(embedding)
        })
    });
    steps.test("tests on PostgreSQL", postgres::run_into);
    steps.test("browser-backed tests", |tally| {
        if !(set_up && built) {
            bail!("not run, because set-up or the fixtures failed");
        }
        e2e::run_into(None, false, tally)
    });
    steps.check("clippy", checks::clippy);
    steps.check("documentation", checks::documentation);
    steps.check("page", page_check::run);
    steps.close()
}

fn cargo_test() -> Result<Cmd> {
    Ok(compile::cargo("test")?.arg("--no-fail-fast"))
}

/// What ran, how it went and how long it took.
#[derive(Debug, Default)]
struct Steps {
    tally: Tally,
    done: Vec<(&'static str, Duration, bool)>,
}

impl Steps {
    /// A step that runs no tests: its failure counts as one.
    fn check(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        self.test(name, |_| step())
    }

    /// A step that adds its tests to the tally. When it fails without a failed test, that is one failure.
    fn test(&mut self, name: &'static str, step: impl FnOnce(&mut Tally) -> Result<()>) -> bool {
        println!("\n=== {name}");
        let before = self.tally.failed;
        let (result, took) = sh::timed(|| step(&mut self.tally));
        if let Err(error) = &result {
            eprintln!("error: {name}: {error:#}");
            self.tally.failed += u64::from(self.tally.failed == before);
        }
        self.done.push((name, took, result.is_ok()));
        result.is_ok()
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
    use super::*;

    #[test]
    fn a_failed_check_counts_once_and_does_not_stop_the_rest() {
        let mut steps = Steps::default();
        assert!(!steps.check("first", || bail!("broken")));
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
}
