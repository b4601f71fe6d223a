//! What changed since an earlier comparison.

use serde::{Deserialize, Serialize};
use vocab::DeviceKind;

use super::arm::ArmName;
use super::report::{ArmReport, BlockReport, CompareReport, SCHEMA, Status};
use super::stats::{Block, Change, Rule, Verdict, change, judge, median};

/// Why an earlier comparison cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// It is not the JSON of a comparison.
    #[error("the baseline is not what compare --json writes")]
    Json(#[from] serde_json::Error),
    /// It was written by a version with another schema.
    #[error("the baseline has schema {got:?}, and this version reads {SCHEMA:?}: measure it anew")]
    Schema {
        /// The schema that it names.
        got: String,
    },
    /// The inputs have other shapes, so that times and numbers say nothing about each other.
    #[error("the baseline was measured with inputs {before}, and this is {now}: give the same inputs")]
    Inputs {
        /// Then.
        before: String,
        /// Now.
        now: String,
    },
}

/// What is held against an earlier comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// The timed runs in the page.
    Latency,
    /// Loading.
    Load,
    /// The proportional memory of the browser with the model.
    Memory,
}

impl Measure {
    /// The word in tables, checks and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Load => "load",
            Self::Memory => "memory",
        }
    }
}

/// From when on a change counts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RegressionRules {
    /// Of latency. Default: from a ratio of 1.25 on.
    pub latency: Rule,
    /// Of loading. Default: from a ratio of 1.5 on, because each launch loads once, and disks and caches have their part.
    pub load: Rule,
    /// Of memory. Default: from a ratio of 1.25 on, and no less than 16 MiB.
    pub memory: Rule,
    /// The least growth of memory that counts, in bytes.
    pub memory_bytes: f64,
}

impl Default for RegressionRules {
    fn default() -> Self {
        let mut load = Rule::new(1.5);
        load.between_runs = 0.1;
        Self { latency: Rule::new(1.25), load, memory: Rule::new(1.25), memory_bytes: 16.0 * 1_048_576.0 }
    }
}

/// What changed since an earlier comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BaselineReport {
    /// When the earlier one began, in milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// Whether times are held against each other. They are not where the processor is another one.
    pub times_compared: bool,
    /// Whether times were set beside the fixed native work too.
    pub calibrated: bool,
    /// What else differs: versions, model, machine.
    pub differences: Vec<String>,
    /// What was measured twice.
    pub changes: Vec<ArmChange>,
    /// Arms whose status became worse: then and now.
    pub status: Vec<(ArmName, Status, Status)>,
}

/// How one measure of one arm changed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArmChange {
    /// The arm.
    pub arm: ArmName,
    /// What was measured.
    pub measure: Measure,
    /// The middle of the blocks then.
    pub before: f64,
    /// The middle of the blocks now.
    pub after: f64,
    /// The change, and how sure it is.
    pub change: Change,
    /// What it amounts to.
    pub verdict: Verdict,
    /// The probability of so much by chance alone, adjusted for how much was judged.
    pub p: f64,
}

impl CompareReport {
    /// Reads the JSON of a comparison.
    ///
    /// # Errors
    /// [`BaselineError`], where it is none, or one of another schema.
    pub fn from_json(json: &[u8]) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Named {
            schema: String,
        }
        let Named { schema } = serde_json::from_slice(json)?;
        if schema != SCHEMA {
            return Err(BaselineError::Schema { got: schema });
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// Holds this comparison against an earlier one, and keeps what came of it in [`baseline`](Self::baseline).
    ///
    /// # Errors
    /// [`BaselineError::Inputs`], where the inputs had other shapes.
    pub fn compare_with(&mut self, before: &Self, rules: &RegressionRules) -> Result<(), BaselineError> {
        let inputs = |report: &Self| report.input.tensors.join(", ");
        if inputs(before) != inputs(self) {
            return Err(BaselineError::Inputs { before: inputs(before), now: inputs(self) });
        }
        let times_compared = self.environment.compares_with(&before.environment);
        let calibrated = times_compared && self.method.kernel == before.method.kernel;
        let mut measured = Vec::new();
        let mut status = Vec::new();
        for arm in &self.arms {
            let Some(earlier) = before.arms.iter().find(|earlier| earlier.name() == arm.name()) else {
                continue;
            };
            if worse(earlier.status, arm.status) {
                status.push((arm.name(), earlier.status, arm.status));
            }
            for measure in [Measure::Latency, Measure::Load, Measure::Memory] {
                if measure != Measure::Memory && !times_compared {
                    continue;
                }
                measured.extend(one(earlier, arm, measure, calibrated, rules));
            }
        }
        // Arms that were there and are not even looked at now.
        status.extend(before.arms.iter().filter(|earlier| earlier.status.ran()).filter_map(|earlier| {
            let gone = self.arms.iter().all(|arm| arm.name() != earlier.name());
            let named = self.not_found.iter().any(|missing| missing.browser == earlier.browser);
            (gone && named).then_some((earlier.name(), earlier.status, Status::Missing))
        }));
        let judged: Vec<(Change, Rule)> = measured.iter().map(|one| (one.change, one.rule)).collect();
        let verdicts = judge(&judged);
        let changes = measured.iter().zip(verdicts).map(|(one, (verdict, p))| {
            let grew = one.after - one.before;
            let small = one.measure == Measure::Memory && grew.abs() < rules.memory_bytes;
            ArmChange {
                arm: one.arm,
                measure: one.measure,
                before: one.before,
                after: one.after,
                change: one.change,
                verdict: if small { Verdict::Same } else { verdict },
                p,
            }
        });
        self.baseline = Some(BaselineReport {
            started_unix_ms: before.started_unix_ms,
            times_compared,
            calibrated,
            differences: differences(before, self),
            changes: changes.collect(),
            status,
        });
        Ok(())
    }
}

/// Whether an arm does less than it did.
fn worse(before: Status, now: Status) -> bool {
    match (before, now) {
        (Status::Right, now) => now == Status::Wrong || !now.ran(),
        (Status::Unverified, now) => !now.ran(),
        (Status::Wrong, now) => !now.ran(),
        (Status::Refused, now) => matches!(now, Status::Missing | Status::Failed),
        (Status::Missing | Status::Failed, _) => false,
    }
}

struct Measured {
    arm: ArmName,
    measure: Measure,
    before: f64,
    after: f64,
    change: Change,
    rule: Rule,
}

fn one(
    before: &ArmReport,
    after: &ArmReport,
    measure: Measure,
    calibrated: bool,
    rules: &RegressionRules,
) -> Option<Measured> {
    // What a graphics device takes has little to do with how busy the processor is.
    let on_cpu =
        |arm: &ArmReport| arm.device.as_ref().is_some_and(|device| device.effective == DeviceKind::Cpu);
    let by_kernel = calibrated && on_cpu(before) && on_cpu(after);
    let rule = match measure {
        Measure::Latency => rules.latency,
        Measure::Load => rules.load,
        Measure::Memory => rules.memory,
    };
    let blocks = |arm: &ArmReport| -> Vec<Block> {
        let whole = arm.blocks.iter().filter(|block| block.error.is_none());
        let one = |block: &BlockReport| {
            let beside = match measure {
                // The second look is at resident memory, which does not fall while another browser shares pages.
                Measure::Memory => {
                    block.loaded.map(|reading| reading.pss_bytes as f64 / reading.rss_bytes as f64)
                }
                Measure::Latency | Measure::Load => block.kernel_ms.filter(|_| by_kernel),
            };
            Some(Block { value: value(block, measure)?, beside })
        };
        whole.filter_map(one).collect()
    };
    let (first, second) = (blocks(before), blocks(after));
    let middle = |blocks: &[Block]| median(&blocks.iter().map(|block| block.value).collect::<Vec<_>>());
    Some(Measured {
        arm: after.name(),
        measure,
        before: middle(&first)?,
        after: middle(&second)?,
        change: change(&first, &second, &rule)?,
        rule,
    })
}

/// What a block is summed up as.
fn value(block: &BlockReport, measure: Measure) -> Option<f64> {
    match measure {
        Measure::Latency => median(&block.in_page_ms),
        Measure::Load => block.load_ms,
        Measure::Memory => block.loaded.map(|reading| reading.pss_bytes as f64),
    }
}

fn differences(before: &CompareReport, now: &CompareReport) -> Vec<String> {
    let mut all = Vec::new();
    let mut note = |what: &str, then: &str, now: &str| {
        if then != now {
            all.push(format!("{what}: {then} then, {now} now"));
        }
    };
    note("model", &before.model.hash, &now.model.hash);
    note("webnn-pool", &before.webnn_pool, &now.webnn_pool);
    note("onnxruntime-web", &before.environment.onnxruntime_web, &now.environment.onnxruntime_web);
    note("processor", &before.environment.cpu, &now.environment.cpu);
    note("cores", &before.environment.cores.to_string(), &now.environment.cores.to_string());
    note("system", &before.environment.os, &now.environment.os);
    note("native work", &before.method.kernel, &now.method.kernel);
    for arm in &now.arms {
        let earlier = before.arms.iter().find(|earlier| earlier.name() == arm.name());
        if let Some(earlier) =
            earlier.filter(|earlier| !earlier.version.is_empty() && !arm.version.is_empty())
        {
            note(&arm.name().to_string(), &earlier.version, &arm.version);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use vocab::BrowserName;

    use super::super::checks::Requirements;
    use super::super::report::NotFound;
    use super::super::sample::{arm, report};
    use super::*;

    const STEADY: [f64; 3] = [10.0, 10.2, 10.4];

    fn pair(firefox: &[f64]) -> CompareReport {
        report(vec![
            arm(BrowserName::Chromium, Status::Right, &STEADY),
            arm(BrowserName::Firefox, Status::Right, firefox),
        ])
    }

    /// What is called worse.
    fn worse_ones(before: &CompareReport, now: &mut CompareReport) -> Vec<String> {
        now.compare_with(before, &RegressionRules::default()).expect("the same inputs");
        let baseline = now.baseline.as_ref().expect("a baseline");
        let slow = baseline.changes.iter().filter(|one| one.verdict == Verdict::Worse);
        slow.map(|one| format!("{} {}", one.arm, one.measure.as_str())).collect()
    }

    #[test]
    fn only_what_became_slow_is_worse() {
        assert!(worse_ones(&pair(&STEADY), &mut pair(&STEADY)).is_empty());
        let mut slow = pair(&STEADY.map(|ms| 2.0 * ms));
        assert_eq!(worse_ones(&pair(&STEADY), &mut slow), ["firefox/wasm latency", "firefox/wasm load"]);
        slow.judge(&Requirements::default());
        assert_eq!(slow.failures().count(), 2);
        // Turned round it is better, and no failure.
        let mut fast = pair(&STEADY);
        assert!(worse_ones(&slow, &mut fast).is_empty());
        fast.judge(&Requirements::default());
        assert_eq!(fast.failures().count(), 0);
    }

    #[test]
    fn memory_that_was_shared_before_is_no_growth() {
        let grown = |pss: u64, rss: u64| {
            let mut now = pair(&STEADY);
            for block in &mut now.arms[1].blocks {
                let loaded = block.loaded.as_mut().expect("a reading");
                (loaded.pss_bytes, loaded.rss_bytes) = (loaded.pss_bytes * pss, loaded.rss_bytes * rss);
            }
            now
        };
        assert!(worse_ones(&pair(&STEADY), &mut grown(2, 1)).is_empty());
        assert!(worse_ones(&pair(&STEADY), &mut grown(1, 2)).is_empty());
        assert_eq!(worse_ones(&pair(&STEADY), &mut grown(2, 2)), ["firefox/wasm memory"]);
    }

    #[test]
    fn times_of_another_processor_say_nothing() {
        let mut slow = pair(&STEADY.map(|ms| 2.0 * ms));
        slow.environment.cpu = "slow".to_owned();
        assert!(worse_ones(&pair(&STEADY), &mut slow).is_empty());
        let baseline = slow.baseline.expect("a baseline");
        assert!(!baseline.times_compared && baseline.differences.iter().any(|text| text.contains("slow")));
    }

    /// Whether an arm of the one status that has the other now is a regression.
    #[track_caller]
    fn check(before: Status, now: Status, regression: bool) {
        let one = |status| report(vec![arm(BrowserName::Firefox, status, &STEADY)]);
        let mut after = one(now);
        after.compare_with(&one(before), &RegressionRules::default()).expect("the same inputs");
        let found = after.baseline.expect("a baseline").status;
        assert_eq!(!found.is_empty(), regression, "{before:?} {now:?}");
    }

    #[test]
    fn doing_less_than_before_is_a_regression() {
        check(Status::Right, Status::Right, false);
        check(Status::Right, Status::Wrong, true);
        check(Status::Right, Status::Missing, true);
        check(Status::Right, Status::Unverified, false);
        check(Status::Unverified, Status::Failed, true);
        check(Status::Refused, Status::Failed, true);
        check(Status::Failed, Status::Failed, false);
        check(Status::Missing, Status::Wrong, false);
    }

    #[test]
    fn a_browser_that_is_gone_is_one_too() {
        let mut now = report(vec![arm(BrowserName::Chromium, Status::Right, &STEADY)]);
        now.not_found.push(NotFound {
            browser: BrowserName::Firefox,
            reason: "gone".into(),
            hint: "–".into(),
        });
        worse_ones(&pair(&STEADY), &mut now);
        now.judge(&Requirements::default());
        let failed: Vec<String> = now.failures().map(ToString::to_string).collect();
        assert_eq!(failed, ["firefox/wasm status_since: right then, missing now"]);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let mut now = pair(&STEADY);
        worse_ones(&pair(&STEADY), &mut now);
        now.judge(&Requirements::default());
        let json = serde_json::to_vec(&now).expect("JSON");
        let read = CompareReport::from_json(&json).expect("a report");
        assert_eq!(serde_json::to_vec(&read).expect("JSON"), json);
        let other = String::from_utf8(json).expect("UTF-8").replace(SCHEMA, "webnn-pool/compare/9");
        assert!(matches!(CompareReport::from_json(other.as_bytes()), Err(BaselineError::Schema { .. })));
        assert!(matches!(CompareReport::from_json(b"{}"), Err(BaselineError::Json(_))));
        let mut large = pair(&STEADY);
        large.input.tensors = vec!["x: FP32[2]".to_owned()];
        let error =
            large.compare_with(&pair(&STEADY), &RegressionRules::default()).expect_err("other inputs");
        assert!(error.to_string().contains("FP32[2]"), "{error}");
    }
}
