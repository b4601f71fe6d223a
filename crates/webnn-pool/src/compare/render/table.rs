//! A comparison as a table for terminals.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use perf_history::report::words;

use crate::compare::checks::{change_text, mib, placement_text};
use crate::compare::report::{ArmReport, CompareReport, Spread, Status};
use crate::compare::stats::Verdict;

/// The comparison as text: the reference, a row for each arm, and what there is to say about rows. With a baseline, what
/// changed.
#[must_use]
pub fn table(report: &CompareReport) -> String {
    let mut text = about(report);
    text += &rows(report).to_string();
    text.push('\n');
    for arm in &report.arms {
        if let Some(reason) = &arm.reason {
            text += &format!("{} {}: {reason}\n", arm.name(), arm.status.as_str());
        }
        if arm.fallback_nodes > 0 {
            text += &format!(
                "{}: {} nodes ran on the CPU: {}\n",
                arm.name(),
                arm.fallback_nodes,
                placement_text(arm)
            );
        }
    }
    let missing: Vec<&str> = report.not_found.iter().map(|missing| missing.browser.as_str()).collect();
    if !missing.is_empty() {
        text += &format!("not found on this machine: {}\n", missing.join(", "));
    }
    text += &since(report);
    text.trim_end().to_owned()
}

fn about(report: &CompareReport) -> String {
    let environment = &report.environment;
    let load = |load: Option<[f64; 3]>| load.map_or_else(|| "–".to_owned(), |load| format!("{:.1}", load[0]));
    format!(
        "{} on {}\nreference: {}\n{}, {} cores; load {} before, {} after\n",
        report.model.name,
        report.input.tensors.join(", "),
        report.reference.description,
        environment.cpu,
        environment.cores,
        load(environment.load_before),
        load(environment.load_after),
    )
}

const HEADS: [(&str, bool); 12] = [
    ("browser", false),
    ("backend", false),
    ("device", false),
    ("numbers", false),
    ("max |Δ|", true),
    ("load ms", true),
    ("first ms", true),
    ("p50 ms", true),
    ("p95 ms", true),
    ("total p50", true),
    ("memory", true),
    ("nodes", false),
];

fn rows(report: &CompareReport) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    let cell = |text: String, right: bool| {
        Cell::new(text).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
    };
    table.set_header(HEADS.map(|(head, right)| cell(head.to_owned(), right)));
    for arm in &report.arms {
        let cells = row(arm);
        table.add_row(cells.into_iter().zip(HEADS).map(|(text, (_, right))| cell(text, right)));
    }
    table
}

fn row(arm: &ArmReport) -> [String; 12] {
    let none = || "–".to_owned();
    let ms =
        |spread: Option<Spread>, of: fn(Spread) -> f64| spread.map_or_else(none, |spread| figure(of(spread)));
    let off = arm
        .numbers
        .as_ref()
        .map(|numbers| numbers.max_abs.map_or_else(|| "NaN".to_owned(), |off| format!("{off:.1e}")));
    [
        arm.browser.to_string(),
        arm.backend.to_string(),
        arm.device.as_ref().map_or_else(none, |device| {
            format!("{}{}", device.effective, if device.software { " (software)" } else { "" })
        }),
        arm.status.as_str().to_owned(),
        off.unwrap_or_else(none),
        ms(arm.load_ms, |spread| spread.p50),
        ms(arm.first_run_ms, |spread| spread.p50),
        ms(arm.in_page_ms, |spread| spread.p50),
        ms(arm.in_page_ms, |spread| spread.p95),
        ms(arm.total_ms, |spread| spread.p50),
        arm.memory.map_or_else(none, |memory| mib(memory.loaded.pss_bytes as f64)),
        if arm.placement.is_empty() { none() } else { nodes(arm) },
    ]
}

fn nodes(arm: &ArmReport) -> String {
    let all: u32 = arm.placement.values().sum();
    match (arm.status, arm.fallback_nodes) {
        (Status::Missing, _) => "–".to_owned(),
        (_, 0) => format!("all {all}"),
        (_, fallback) => format!("{} of {all}", all - fallback),
    }
}

/// A time with the digits that count, without its unit.
fn figure(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms => format!("{ms:.2}"),
    }
}

/// What changed since the baseline, where there is one.
fn since(report: &CompareReport) -> String {
    let Some(baseline) = &report.baseline else { return String::new() };
    let at = words::time(perf_history::UnixMillis(baseline.started_unix_ms));
    let mut text = format!("\nsince {at} UTC:\n");
    for difference in &baseline.differences {
        text += &format!("  {difference}\n");
    }
    if !baseline.times_compared {
        text += "  times are not compared: they were measured on another processor\n";
    }
    for (arm, before, now) in &baseline.status {
        text += &format!("  WORSE {arm}: {} then, {} now\n", before.as_str(), now.as_str());
    }
    let mut same = 0;
    for found in &baseline.changes {
        let word = match found.verdict {
            Verdict::Worse => "WORSE",
            Verdict::Better => "better",
            Verdict::Same => {
                same += 1;
                continue;
            }
        };
        text += &format!("  {word} {} {}: {}\n", found.arm, found.measure.as_str(), change_text(found));
    }
    text += &format!("  {same} of {} measures show no change\n", baseline.changes.len());
    text
}
