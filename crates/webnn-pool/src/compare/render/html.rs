//! A comparison as one page that needs nothing else.

use perf_history::UnixMillis;
use perf_history::report::{Text, document, table, words};

use super::draw;
use crate::compare::checks::{Outcome, mib, placement_text};
use crate::compare::report::{ArmReport, CompareReport, Status};

const STYLE: &str = include_str!("style.css");

/// The comparison as one HTML page that needs nothing else: no script, no font, no network. It follows the reader's light or
/// dark theme, and every drawing has its figures as a table. Names and messages are escaped, whatever they hold.
#[must_use]
pub fn html(report: &CompareReport) -> String {
    let title = format!("{} in every browser", report.model.name);
    let ran = report.arms.iter().filter(|arm| arm.status.ran()).count();
    let header = format!(
        "<p><b>{ran}</b> of {} arms ran, on {}; {} rounds, {} UTC.</p><p class=\"note\">Numbers are held against: {}.</p>",
        report.arms.len(),
        Text(&report.input.tensors.join(", ")),
        report.method.rounds,
        words::time(UnixMillis(report.started_unix_ms)),
        Text(&report.reference.description),
    );
    let section = |id: &str, title: &str, body: String| match body.is_empty() {
        true => body,
        false => format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>{body}</section>"),
    };
    let main = [
        section("failed", "What failed", failures(report)),
        section("arms", "Every browser and backend", arms(report)),
        section("since", "Since the baseline", since(report)),
        section(
            "plots",
            "Figures",
            [draw::latency(report), draw::over_time(report), draw::start(report), draw::memory(report)]
                .concat(),
        ),
        section("nodes", "Where the nodes ran", placement(report)),
        section("checks", "Checks", checks(report)),
        section("method", "How it was measured", method(report)),
    ]
    .concat();
    let footer = "<p class=\"note\">An arm is a browser with a backend. Each was launched afresh in each round, all in turn; the \
                  first run and warm-up do not count. p is the probability that chance alone does as much, adjusted for how \
                  much was judged.</p>";
    document(&title, STYLE, &header, &main, footer)
}

fn tag(class: &str, word: &str) -> String {
    format!("<span class=\"tag {class}\">{}</span>", Text(word))
}

fn status_tag(status: Status) -> String {
    let class = match status {
        Status::Right => "good",
        Status::Wrong | Status::Failed => "slower",
        Status::Unverified | Status::Missing | Status::Refused => "quiet",
    };
    tag(class, status.as_str())
}

fn failures(report: &CompareReport) -> String {
    let each: String = report
        .failures()
        .map(|check| {
            format!(
                "<li>{}<span><b>{}</b> {}</span></li>",
                tag("slower", check.name.as_str()),
                Text(&check.arm.to_string()),
                Text(&check.message)
            )
        })
        .collect();
    if each.is_empty() { each } else { format!("<ul class=\"todo\">{each}</ul>") }
}

fn arms(report: &CompareReport) -> String {
    let none = || "–".to_owned();
    let row = |arm: &ArmReport| {
        let ms = |value: Option<f64>| value.map_or_else(none, words::ms);
        let device = arm.device.as_ref().map_or_else(none, |device| {
            let adapter = device
                .adapter
                .as_deref()
                .map(|adapter| format!(" <small>{}</small>", Text(adapter)))
                .unwrap_or_default();
            let software = if device.software { " software" } else { "" };
            format!("{}{software}{adapter}", Text(device.effective.as_str()))
        });
        let off = arm
            .numbers
            .as_ref()
            .map(|numbers| numbers.max_abs.map_or_else(|| "NaN".to_owned(), |off| format!("{off:.1e}")));
        vec![
            format!("{}<br><small>{}</small>", Text(&arm.name().to_string()), Text(&arm.version)),
            status_tag(arm.status),
            device,
            off.unwrap_or_else(none),
            ms(arm.load_ms.map(|load| load.p50)),
            ms(arm.first_run_ms.map(|first| first.p50)),
            ms(arm.in_page_ms.map(|times| times.p50)),
            ms(arm.in_page_ms.map(|times| times.p95)),
            arm.memory.map_or_else(none, |memory| mib(memory.loaded.pss_bytes as f64)),
        ]
    };
    let heads = [
        ("arm", false),
        ("numbers", false),
        ("device", false),
        ("max |Δ|", true),
        ("load", true),
        ("first run", true),
        ("p50", true),
        ("p95", true),
        ("memory", true),
    ];
    let rows: Vec<Vec<String>> = report.arms.iter().map(row).collect();
    let reasons = report.arms.iter().filter_map(|arm| {
        let reason = arm.reason.as_ref()?;
        Some(format!(
            "<li>{}<span><b>{}</b> {}</span></li>",
            status_tag(arm.status),
            Text(&arm.name().to_string()),
            Text(reason)
        ))
    });
    let missing = report.not_found.iter().map(|missing| {
        format!(
            "<li>{}<span><b>{}</b> {}: {}</span></li>",
            tag("quiet", "not found"),
            missing.browser,
            Text(&missing.reason),
            Text(&missing.hint)
        )
    });
    let notes: String = reasons.chain(missing).collect();
    let notes = if notes.is_empty() { notes } else { format!("<ul class=\"todo\">{notes}</ul>") };
    [table("Medians over all rounds", &heads, &rows), notes].concat()
}

fn since(report: &CompareReport) -> String {
    let Some(baseline) = &report.baseline else { return String::new() };
    let mut html = format!("<p>Held against {} UTC.</p>", words::time(UnixMillis(baseline.started_unix_ms)));
    let mut lines: Vec<String> = baseline
        .status
        .iter()
        .map(|(arm, before, now)| {
            let text = format!("{arm}: {} then, {} now", before.as_str(), now.as_str());
            format!("<li>{}<span>{}</span></li>", tag("slower", "status"), Text(&text))
        })
        .collect();
    lines.extend(
        baseline
            .differences
            .iter()
            .map(|text| format!("<li>{}<span>{}</span></li>", tag("quiet", "differs"), Text(text))),
    );
    if !baseline.times_compared {
        let text = "Times are not compared: they were measured on another processor.";
        lines.push(format!("<li>{}<span>{text}</span></li>", tag("quiet", "note")));
    }
    if !lines.is_empty() {
        html += &format!("<ul class=\"todo\">{}</ul>", lines.concat());
    }
    [html, draw::changes(baseline)].concat()
}

fn placement(report: &CompareReport) -> String {
    let rows: Vec<Vec<String>> = report
        .arms
        .iter()
        .filter(|arm| !arm.placement.is_empty())
        .map(|arm| {
            vec![
                Text(&arm.name().to_string()).to_string(),
                arm.fallback_nodes.to_string(),
                Text(&placement_text(arm)).to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    table(
        "Nodes by execution provider",
        &[("arm", false), ("left to the CPU", true), ("nodes", false)],
        &rows,
    )
}

fn checks(report: &CompareReport) -> String {
    if report.checks.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = report
        .checks
        .iter()
        .map(|check| {
            let outcome = match check.outcome {
                Outcome::Passed => tag("good", "passed"),
                Outcome::Failed => tag("slower", "failed"),
                Outcome::Skipped => tag("quiet", "skipped"),
            };
            vec![
                Text(&check.arm.to_string()).to_string(),
                check.name.as_str().to_owned(),
                outcome,
                Text(&check.message).to_string(),
            ]
        })
        .collect();
    let all = table(
        &format!("{} checks", rows.len()),
        &[("arm", false), ("check", false), ("outcome", false), ("what was found", false)],
        &rows,
    );
    format!("<details class=\"assumed wide\"><summary>All {} checks</summary>{all}</details>", rows.len())
}

fn method(report: &CompareReport) -> String {
    let (method, environment) = (&report.method, &report.environment);
    let load = |load: Option<[f64; 3]>| {
        load.map_or_else(|| "–".to_owned(), |load| load.map(|load| format!("{load:.2}")).join(", "))
    };
    let dims: Vec<String> = report.input.dims.iter().map(|(name, size)| format!("{name}={size}")).collect();
    let seed = report
        .input
        .seed
        .map_or_else(|| "as given".to_owned(), |seed| format!("made from the signature, seed {seed}"));
    let facts = [
        (
            "model",
            format!("{}, {}, {}", report.model.name, mib(report.model.bytes as f64), report.model.precision),
        ),
        ("SHA-256", report.model.hash.clone()),
        ("inputs", format!("{} ({seed}) {}", report.input.tensors.join(", "), dims.join(" "))),
        (
            "runs",
            format!(
                "{} launches of each arm; in each a first run, at most {} to warm up and {} timed, within {}",
                method.rounds,
                method.warmup,
                method.repeat,
                words::ms(method.budget_ms)
            ),
        ),
        ("native work", method.kernel.clone()),
        ("system", environment.os.clone()),
        ("processor", format!("{}, {} cores", environment.cpu, environment.cores)),
        ("load before", load(environment.load_before)),
        ("load after", load(environment.load_after)),
        ("onnxruntime-web", environment.onnxruntime_web.clone()),
        ("webnn-pool", report.webnn_pool.clone()),
        ("took", words::ms(report.took_ms)),
    ];
    let rows: Vec<Vec<String>> =
        facts.iter().map(|(what, value)| vec![(*what).to_owned(), Text(value).to_string()]).collect();
    table("Method and machine", &[("what", false), ("value", false)], &rows)
}
