//! What was asked of a comparison, and whether it holds: the rows of JUnit, and what the exit status comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::arm::ArmName;
use super::regress::Measure;
use super::report::{ArmReport, CompareReport, Status};
use super::stats::Verdict;

/// What makes a check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// Numbers that are not the reference's.
    Wrong,
    /// An arm that crashed, took too long or ran out of memory.
    Failed,
    /// A backend that cannot take the model.
    Refused,
    /// A browser or backend that is not here.
    Missing,
    /// Numbers that could not be held against anything.
    Unverified,
    /// A backend that left nodes of the model to the CPU.
    Fallback,
    /// A change for the worse since the baseline.
    Regression,
}

impl Fault {
    /// Every fault, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Wrong,
        Self::Failed,
        Self::Refused,
        Self::Missing,
        Self::Unverified,
        Self::Fallback,
        Self::Regression,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Unverified => "unverified",
            Self::Fallback => "fallback",
            Self::Regression => "regression",
        }
    }
}

/// A word that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault {text:?}: expected one of {}", Fault::ALL.map(Fault::as_str).join(", "))]
#[non_exhaustive]
pub struct ParseFaultError {
    /// The word.
    pub text: String,
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.as_str() == text)
            .ok_or_else(|| ParseFaultError { text: text.to_owned() })
    }
}

/// What is asked of every arm.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Requirements {
    /// What makes a check fail. Default: `wrong`, `failed` and `regression`.
    pub fail_on: Vec<Fault>,
    /// Arms that must run and have right numbers. Default: none.
    pub required: Vec<ArmName>,
    /// The 95th percentile of the runs in the page that no arm may exceed, in milliseconds.
    pub max_p95_ms: Option<f64>,
    /// The median load time that no arm may exceed, in milliseconds.
    pub max_load_ms: Option<f64>,
    /// The proportional memory of a browser with the model that no arm may exceed, in bytes.
    pub max_memory_bytes: Option<f64>,
}

impl Default for Requirements {
    fn default() -> Self {
        Self {
            fail_on: vec![Fault::Wrong, Fault::Failed, Fault::Regression],
            required: Vec::new(),
            max_p95_ms: None,
            max_load_ms: None,
            max_memory_bytes: None,
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckName {
    /// It is here, loads and runs.
    Runs,
    /// The numbers are the reference's.
    Numbers,
    /// The backend has all nodes of the model.
    Placement,
    /// The 95th percentile is within the limit.
    P95,
    /// The load time is.
    Load,
    /// The memory is.
    Memory,
    /// It does what it did in the baseline.
    StatusSince,
    /// Latency is that of the baseline.
    LatencySince,
    /// The load time is.
    LoadSince,
    /// The memory is.
    MemorySince,
}

impl CheckName {
    /// The word in tables, JUnit and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Numbers => "numbers",
            Self::Placement => "placement",
            Self::P95 => "p95",
            Self::Load => "load",
            Self::Memory => "memory",
            Self::StatusSince => "status_since",
            Self::LatencySince => "latency_since",
            Self::LoadSince => "load_since",
            Self::MemorySince => "memory_since",
        }
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nothing is asked, or there is nothing to say.
    Skipped,
}

/// One check of one arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// The arm.
    pub arm: ArmName,
    /// What is checked.
    pub name: CheckName,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub message: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.arm, self.name.as_str(), self.message)
    }
}

impl CompareReport {
    /// Checks what is asked, and keeps the checks in [`checks`](Self::checks). Those against a baseline are made where there
    /// is one: call [`compare_with`](Self::compare_with) first.
    pub fn judge(&mut self, requirements: &Requirements) {
        let mut checks = Vec::new();
        for arm in &self.arms {
            of_arm(arm, requirements, &mut checks);
            self.since(arm, requirements, &mut checks);
        }
        // What is required and not even looked at is missing.
        let unknown =
            requirements.required.iter().filter(|name| self.arms.iter().all(|arm| arm.name() != **name));
        checks.extend(unknown.map(|&arm| Check {
            arm,
            name: CheckName::Runs,
            outcome: Outcome::Failed,
            message: "it is required and was not among the arms that were run".to_owned(),
        }));
        if let Some(baseline) = &self.baseline {
            let gone =
                baseline.status.iter().filter(|(name, ..)| self.arms.iter().all(|arm| arm.name() != *name));
            checks.extend(gone.map(|&(arm, before, now)| status_check(arm, before, now, requirements)));
        }
        self.checks = checks;
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }

    fn since(&self, arm: &ArmReport, requirements: &Requirements, checks: &mut Vec<Check>) {
        let Some(baseline) = &self.baseline else { return };
        let name = arm.name();
        if let Some(&(_, before, now)) = baseline.status.iter().find(|(known, ..)| *known == name) {
            checks.push(status_check(name, before, now, requirements));
        }
        for found in baseline.changes.iter().filter(|found| found.arm == name) {
            let bad = found.verdict == Verdict::Worse && requirements.fail_on.contains(&Fault::Regression);
            let check = match found.measure {
                Measure::Latency => CheckName::LatencySince,
                Measure::Load => CheckName::LoadSince,
                Measure::Memory => CheckName::MemorySince,
            };
            let outcome = if bad { Outcome::Failed } else { Outcome::Passed };
            checks.push(Check { arm: name, name: check, outcome, message: change_text(found) });
        }
    }
}

/// A change in words: `12.3 ms then, 24.1 ms now: ×1.95 (1.71 to 2.22), p < 0.001`.
pub(super) fn change_text(found: &super::regress::ArmChange) -> String {
    use perf_history::report::words;
    let amount = |value: f64| match found.measure {
        Measure::Memory => mib(value),
        _ => words::ms(value),
    };
    let plain = &found.change.plain;
    let beside = found.change.calibrated.map_or_else(String::new, |beside| {
        format!(", ×{:.2} beside the native work ({:.2} to {:.2})", beside.ratio, beside.low, beside.high)
    });
    format!(
        "{} then, {} now: ×{:.2} ({:.2} to {:.2}){beside}, p = {}",
        amount(found.before),
        amount(found.after),
        plain.ratio,
        plain.low,
        plain.high,
        words::probability(found.p),
    )
    .replace("p = <", "p <")
}

/// Bytes as MiB.
pub(super) fn mib(bytes: f64) -> String {
    let mib = bytes / 1_048_576.0;
    if mib >= 99.5 { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}

fn status_check(arm: ArmName, before: Status, now: Status, requirements: &Requirements) -> Check {
    let bad = requirements.fail_on.contains(&Fault::Regression);
    Check {
        arm,
        name: CheckName::StatusSince,
        outcome: if bad { Outcome::Failed } else { Outcome::Passed },
        message: format!("{} then, {} now", before.as_str(), now.as_str()),
    }
}

fn of_arm(arm: &ArmReport, requirements: &Requirements, checks: &mut Vec<Check>) {
    let name = arm.name();
    let required = requirements.required.contains(&name);
    let fails = |fault: Fault| requirements.fail_on.contains(&fault);
    let mut push = |check: CheckName, outcome: Outcome, message: String| {
        checks.push(Check { arm: name, name: check, outcome, message });
    };
    let fault = match arm.status {
        Status::Failed => Some(Fault::Failed),
        Status::Refused => Some(Fault::Refused),
        Status::Missing => Some(Fault::Missing),
        _ => None,
    };
    let reason = || arm.reason.clone().unwrap_or_else(|| arm.status.as_str().to_owned());
    match fault {
        Some(fault) if required || fails(fault) => push(CheckName::Runs, Outcome::Failed, reason()),
        Some(_) => push(CheckName::Runs, Outcome::Skipped, reason()),
        None => {
            let runs = arm.in_page_ms.map_or(0, |times| times.count);
            push(
                CheckName::Runs,
                Outcome::Passed,
                format!("{runs} timed runs in {} launches", arm.blocks.len()),
            );
        }
    }
    match (&arm.numbers, arm.status) {
        (Some(numbers), _) if !numbers.right => {
            let outcome = if required || fails(Fault::Wrong) { Outcome::Failed } else { Outcome::Skipped };
            push(CheckName::Numbers, outcome, numbers.problem.clone().unwrap_or_default());
        }
        (Some(numbers), _) => {
            let off = numbers.max_abs.map_or_else(|| "–".to_owned(), |off| format!("{off:.1e}"));
            push(
                CheckName::Numbers,
                Outcome::Passed,
                format!("max |Δ| {off}, {:.1e} is allowed", numbers.allowed),
            );
        }
        (None, status) if status.ran() => {
            let bad = required || fails(Fault::Unverified);
            let outcome = if bad { Outcome::Failed } else { Outcome::Skipped };
            push(CheckName::Numbers, outcome, "there is nothing to hold them against".to_owned());
        }
        (None, _) => {}
    }
    if !arm.placement.is_empty() {
        let bad = arm.fallback_nodes > 0;
        let outcome = match (bad, fails(Fault::Fallback)) {
            (true, true) => Outcome::Failed,
            (true, false) => Outcome::Skipped,
            (false, _) => Outcome::Passed,
        };
        push(CheckName::Placement, outcome, placement_text(arm));
    }
    let p95 = arm.in_page_ms.map(|times| times.p95);
    let load = arm.load_ms.map(|times| times.p50);
    let memory = arm.memory.map(|memory| memory.loaded.pss_bytes as f64);
    let ms = |value: f64| format!("{value:.1} ms");
    for (check, limit, got, text) in [
        (CheckName::P95, requirements.max_p95_ms, p95, &ms as &dyn Fn(f64) -> String),
        (CheckName::Load, requirements.max_load_ms, load, &ms),
        (CheckName::Memory, requirements.max_memory_bytes, memory, &mib),
    ] {
        let (Some(limit), Some(got)) = (limit, got) else { continue };
        let outcome = if got > limit { Outcome::Failed } else { Outcome::Passed };
        push(check, outcome, format!("{}, and {} is allowed", text(got), text(limit)));
    }
}

/// Where nodes are: `WebNN 23, CPU 2 (Gather 2)`.
pub(super) fn placement_text(arm: &ArmReport) -> String {
    let each = arm.placement.iter().map(|(provider, nodes)| {
        let short = provider.trim_end_matches("ExecutionProvider");
        let operators = arm.operators.get(provider).filter(|_| short == "CPU" && arm.fallback_nodes > 0);
        let detail = operators.map_or_else(String::new, |operators| {
            let mut all: Vec<_> = operators.iter().collect();
            all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let named: Vec<String> =
                all.iter().take(8).map(|(name, count)| format!("{name} {count}")).collect();
            let more = if all.len() > 8 { ", …" } else { "" };
            format!(" ({}{more})", named.join(", "))
        });
        format!("{short} {nodes}{detail}")
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use vocab::BrowserName;

    use super::super::sample::{arm, report};
    use super::*;

    /// The checks that fail for an arm of this status, with these requirements.
    #[track_caller]
    fn check(status: Status, set: impl FnOnce(&mut Requirements), failed: &[CheckName]) {
        let mut requirements = Requirements::default();
        set(&mut requirements);
        let mut report = report(vec![arm(BrowserName::Firefox, status, &[10.0, 11.0])]);
        report.judge(&requirements);
        assert_eq!(
            report.failures().map(|check| check.name).collect::<Vec<_>>(),
            failed,
            "{:?}",
            report.checks
        );
    }

    #[test]
    fn what_fails_is_what_was_asked() {
        use CheckName::{Load, Memory, Numbers, P95, Runs};
        check(Status::Right, |_| {}, &[]);
        check(Status::Wrong, |_| {}, &[Numbers]);
        check(Status::Wrong, |asked| asked.fail_on.clear(), &[]);
        check(Status::Failed, |_| {}, &[Runs]);
        check(Status::Missing, |_| {}, &[]);
        check(Status::Missing, |asked| asked.fail_on.push(Fault::Missing), &[Runs]);
        check(Status::Refused, |asked| asked.fail_on.push(Fault::Refused), &[Runs]);
        check(Status::Unverified, |_| {}, &[]);
        check(Status::Unverified, |asked| asked.fail_on.push(Fault::Unverified), &[Numbers]);
        check(Status::Right, |asked| asked.max_p95_ms = Some(5.0), &[P95]);
        check(Status::Right, |asked| asked.max_p95_ms = Some(50.0), &[]);
        check(Status::Right, |asked| asked.max_load_ms = Some(5.0), &[Load]);
        check(Status::Right, |asked| asked.max_memory_bytes = Some(5.0), &[Memory]);
    }

    #[test]
    fn a_required_arm_must_run_and_be_right() {
        use CheckName::{Numbers, Runs};
        let firefox: ArmName = "firefox/wasm".parse().expect("a name");
        let require = |asked: &mut Requirements| {
            asked.fail_on.clear();
            asked.required = vec![firefox];
        };
        check(Status::Right, require, &[]);
        check(Status::Wrong, require, &[Numbers]);
        check(Status::Unverified, require, &[Numbers]);
        check(Status::Missing, require, &[Runs]);
        let other = |asked: &mut Requirements| asked.required = vec!["edge/webnn".parse().expect("a name")];
        check(Status::Right, other, &[Runs]);
    }

    #[test]
    fn nodes_that_the_cpu_got_are_named() {
        let mut one = arm(BrowserName::Edge, Status::Right, &[1.0]);
        one.placement =
            [("CPUExecutionProvider".to_owned(), 3), ("WebNNExecutionProvider".to_owned(), 9)].into();
        one.operators =
            [("CPUExecutionProvider".to_owned(), [("Gather".to_owned(), 2), ("Shape".to_owned(), 1)].into())]
                .into();
        one.fallback_nodes = 3;
        assert_eq!(placement_text(&one), "CPU 3 (Gather 2, Shape 1), WebNN 9");
        let mut report = report(vec![one]);
        let mut requirements = Requirements::default();
        report.judge(&requirements);
        assert_eq!(report.failures().count(), 0);
        requirements.fail_on.push(Fault::Fallback);
        report.judge(&requirements);
        assert_eq!(report.failures().map(|check| check.name).collect::<Vec<_>>(), [CheckName::Placement]);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(fault));
        }
        let error = "slow".parse::<Fault>().expect_err("no fault").to_string();
        assert!(error.contains("slow") && error.contains("regression"), "{error}");
    }
}
