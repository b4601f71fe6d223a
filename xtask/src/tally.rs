//! Adds up what the test harness reports, over all the binaries that ran.

use anyhow::{Result, bail};

use crate::home::{HOME_VARIABLE, home};
use crate::sh::Cmd;

/// Tests that passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Reads one line of a test run's output; lines that are no result count nothing.
    pub(crate) fn line(&mut self, line: &str) {
        let Some((_, counts)) =
            line.trim_start().strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                _ => {}
            }
        }
    }

    /// Runs a `cargo test`, adds its results, and fails when it does.
    ///
    /// A run that fails without a failed test, because it did not compile for example, counts as one failure.
    pub(crate) fn run(&mut self, cmd: Cmd) -> Result<()> {
        let before = self.failed;
        let cmd = cmd.env(HOME_VARIABLE, home()?);
        let status = cmd.stream(|line| self.line(line))?;
        if !status.success() {
            self.failed += u64::from(self.failed == before);
            bail!("`{cmd}` failed: {status}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.line(line));
        assert_eq!(tally.to_string(), expected);
    }

    #[test]
    fn results_are_added_up() {
        check(
            &[
                "running 3 tests",
                "test a ... ok",
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s",
                "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            ],
            "13 passed, 2 failed",
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        check(
            &["12 passed; 3 failed", "test result: unknown", "test result of mine: ok. 3 passed"],
            "0 passed, 0 failed",
        );
    }

    #[test]
    fn a_run_that_breaks_before_its_tests_counts_as_one_failure() {
        let mut tally = Tally::default();
        tally.run(Cmd::new("false")).expect_err("`false` fails");
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }
}
