//! A comparison as JUnit XML, as Jenkins' and Surefire's schemas have it: a suite for each arm, a case for each check.

use std::collections::BTreeMap;

use perf_history::report::{Text, words};

use crate::compare::arm::ArmName;
use crate::compare::checks::{Check, Outcome};
use crate::compare::report::CompareReport;

/// The comparison as one XML document. Times are seconds: a suite's are those of its launches.
#[must_use]
pub fn junit(report: &CompareReport) -> String {
    let mut suites: Vec<(ArmName, Vec<&Check>)> =
        report.arms.iter().map(|arm| (arm.name(), Vec::new())).collect();
    let mut at: BTreeMap<ArmName, usize> =
        suites.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    for check in &report.checks {
        let at = *at.entry(check.arm).or_insert_with(|| {
            suites.push((check.arm, Vec::new()));
            suites.len() - 1
        });
        suites[at].1.push(check);
    }
    let count = |outcome: Outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"webnn-pool compare {}\" tests=\"{}\" failures=\"{}\" \
         errors=\"0\" time=\"{:.3}\">\n",
        Text(&report.model.name),
        report.checks.len(),
        count(Outcome::Failed),
        report.took_ms / 1e3,
    );
    for (name, checks) in &suites {
        xml += &suite(report, *name, checks);
    }
    xml + "</testsuites>\n"
}

fn suite(report: &CompareReport, name: ArmName, checks: &[&Check]) -> String {
    let count = |outcome: Outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let arm = report.arms.iter().find(|arm| arm.name() == name);
    let seconds: f64 = arm.iter().flat_map(|arm| &arm.blocks).fold(0.0, |sum, block| {
        let parts = [block.launch_ms, block.load_ms, block.first_total_ms];
        let parts = parts.into_iter().flatten().chain(block.total_ms.iter().copied());
        parts.fold(sum, |sum, ms| sum + ms / 1e3)
    });
    // `2026-02-16T14:00:00`, in UTC.
    let timestamp = words::time(perf_history::UnixMillis(report.started_unix_ms)).replace(' ', "T") + ":00";
    let mut xml = format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{seconds:.3}\" \
         timestamp=\"{timestamp}\">\n    <properties>\n",
        checks.len(),
        count(Outcome::Failed),
        count(Outcome::Skipped),
    );
    let mut property = |name: &str, value: &str| {
        xml += &format!("      <property name=\"{}\" value=\"{}\"/>\n", Text(name), Text(value));
    };
    property("model", &report.model.name);
    property("model_sha256", &report.model.hash);
    property("reference", &report.reference.description);
    property("webnn_pool", &report.webnn_pool);
    property("onnxruntime_web", &report.environment.onnxruntime_web);
    property("cpu", &report.environment.cpu);
    if let Some(arm) = arm {
        property("browser_version", &arm.version);
        for (name, spread) in [("load", arm.load_ms), ("in_page", arm.in_page_ms), ("total", arm.total_ms)] {
            if let Some(spread) = spread {
                property(&format!("{name}_p50_ms"), &format!("{:.3}", spread.p50));
                property(&format!("{name}_p95_ms"), &format!("{:.3}", spread.p95));
            }
        }
        if let Some(memory) = arm.memory {
            property("pss_bytes", &memory.loaded.pss_bytes.to_string());
        }
    }
    xml += "    </properties>\n";
    for check in checks {
        xml += &case(&report.model.name, check);
    }
    xml + "  </testsuite>\n"
}

fn case(model: &str, check: &Check) -> String {
    let head = format!(
        "    <testcase classname=\"{}.{}.{}\" name=\"{}\" time=\"0\"",
        Text(&model.replace('.', "_")),
        check.arm.browser,
        check.arm.backend,
        check.name.as_str()
    );
    let message = Text(&check.message);
    match check.outcome {
        Outcome::Passed => format!("{head}>\n      <system-out>{message}</system-out>\n    </testcase>\n"),
        Outcome::Skipped => format!("{head}>\n      <skipped message=\"{message}\"/>\n    </testcase>\n"),
        Outcome::Failed => format!(
            "{head}>\n      <failure type=\"{}\" message=\"{message}\">{message}</failure>\n    </testcase>\n",
            check.name.as_str()
        ),
    }
}
