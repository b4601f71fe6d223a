//! What became of the requests that ran all the while.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use pool_core::{Completed, RunError};
use vocab::{BrowserName, RequestId};

/// How long an answer may take beyond its request's deadline: what a busy machine needs to wake the caller.
const SLACK: Duration = Duration::from_secs(2);

/// What became of them.
#[derive(Debug, Default)]
pub struct Ends {
    pub sent: u64,
    pub right: u64,
    /// Those of each engine.
    pub right_of: BTreeMap<BrowserName, u64>,
    /// Errors by their kind.
    pub errors: BTreeMap<String, u64>,
    /// Answers with other numbers than the reference, and what was wrong.
    pub wrong: Vec<String>,
    /// The same while a page was made to lie and nobody had found it out.
    pub lied: u64,
    pub lying: std::collections::BTreeSet<BrowserName>,
    /// Those that ended after their deadline.
    pub late: Vec<String>,
    /// How often our own process stood still; what was on its way then is excused.
    pub pauses: u64,
    /// The requests that were answered, and those that were answered twice.
    seen: HashSet<RequestId>,
    pub twice: u64,
}

impl Ends {
    /// Takes down how a request ended; `check` compares its numbers.
    pub fn note(
        &mut self,
        answer: Result<Completed, RunError>,
        (took, limit, pauses): (Duration, Duration, u64),
        check: impl FnOnce(&Completed) -> Result<f64, String>,
    ) {
        if took > limit + SLACK && pauses == self.pauses {
            self.late.push(format!("{took:?} of {limit:?}"));
        }
        match answer {
            Ok(done) => {
                self.twice += u64::from(!self.seen.insert(done.report.request));
                match check(&done) {
                    Ok(_) => {
                        self.right += 1;
                        *self.right_of.entry(done.report.browser).or_default() += 1;
                    }
                    Err(_) if self.lying.contains(&done.report.browser) => self.lied += 1,
                    Err(wrong) => self.wrong.push(format!("{}: {wrong}", done.report.browser)),
                }
            }
            Err(error) => {
                let text = format!("{error:?}");
                let kind = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
                *self.errors.entry(kind).or_default() += 1;
            }
        }
    }

    /// Those that ended with an error.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}
