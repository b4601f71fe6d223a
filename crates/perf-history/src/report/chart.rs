//! Latency over time, as a drawing.

use std::collections::BTreeMap;

use super::html::{Text, table};
use super::scale::Scale;
use crate::analysis::{Analysis, Regression, Timeline, TimelinePoint, words};
use crate::stats::Direction;
use crate::{Period, UnixMillis};

/// How many arms one drawing shows; more lines than colours could not be told apart.
const MOST_ARMS: usize = 8;
/// How wide a band of every arm may make a drawing: with more arms only the medians are drawn.
const MOST_BANDS: usize = 4;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 704.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 262.0;

/// Drawings of the models and shapes that ran most, each with its figures as a table; and how many there are in all.
pub(super) fn charts(analysis: &Analysis, most: usize) -> (String, usize) {
    let mut contexts: BTreeMap<_, Vec<&Timeline>> = BTreeMap::new();
    for timeline in analysis.timelines.iter().filter(|timeline| !timeline.points.is_empty()) {
        contexts.entry((&timeline.model, &timeline.shape)).or_default().push(timeline);
    }
    let mut contexts: Vec<_> = contexts.into_values().collect();
    let runs = |all: &[&Timeline]| all.iter().map(|timeline| timeline.runs).fold(0, u64::saturating_add);
    contexts.sort_by_key(|all| std::cmp::Reverse(runs(all)));
    let count = contexts.len();
    let drawn = contexts.iter().take(most).enumerate();
    (drawn.map(|(at, timelines)| chart(at, timelines, &analysis.regressions)).collect(), count)
}

fn chart(number: usize, all: &[&Timeline], regressions: &[Regression]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let name = words::workload(&first.model, &first.shape);
    let mut shown: Vec<&Timeline> = all.to_vec();
    shown.sort_by_key(|timeline| std::cmp::Reverse(timeline.runs));
    let left_out = shown.len().saturating_sub(MOST_ARMS);
    shown.truncate(MOST_ARMS);
    let bands = shown.len() <= MOST_BANDS;
    let points = || shown.iter().flat_map(|timeline| timeline.points.iter().map(|point| (*timeline, *point)));
    let fold =
        |values: &mut dyn Iterator<Item = f64>, with: fn(f64, f64) -> f64, from: f64| values.fold(from, with);
    let low = |point: &TimelinePoint| if bands { point.low_ms } else { point.middle_ms };
    let high = |point: &TimelinePoint| if bands { point.high_ms } else { point.middle_ms };
    let least = fold(&mut points().map(|(_, point)| low(&point)), f64::min, f64::INFINITY);
    let most = fold(&mut points().map(|(_, point)| high(&point)), f64::max, 0.0);
    let start = fold(&mut points().map(|(_, point)| point.at.0 as f64), f64::min, f64::INFINITY);
    let end = fold(
        &mut points().map(|(timeline, point)| point.at.0.saturating_add(timeline.period.ms()) as f64),
        f64::max,
        f64::NEG_INFINITY,
    );
    let y = Scale::of_latencies(least, most, BOTTOM, TOP);
    let x = Scale::of_times(start, end, LEFT, RIGHT);
    let marks: Vec<&Regression> = regressions
        .iter()
        .filter(|found| found.model == first.model && found.shape == first.shape)
        .filter(|found| shown.iter().any(|timeline| timeline.arm == found.arm))
        .take(6)
        .collect();
    let mut svg = format!(
        "<figure><figcaption><h3>{}</h3></figcaption><div class=\"scroll plot\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Drawing\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"t{number} \
         d{number}\"><title id=\"t{number}\">Latency of {} over time</title><desc id=\"d{number}\">{}</desc>",
        Text(&name),
        Text(&name),
        Text(&described(&shown, &marks)),
    );
    svg += &axes(&x, &y, start, end);
    for (at, timeline) in shown.iter().enumerate() {
        svg += &line(at, timeline, &x, &y, bands);
    }
    svg += &jumps(&marks, &shown, &x, &y);
    svg += "</svg></div>";
    svg += &legend(&shown, bands, y.is_log(), left_out);
    svg += &format!("<details><summary>The figures</summary>{}</details></figure>", figures(&name, all));
    svg
}

/// What a drawing shows, for those who do not see it.
fn described(shown: &[&Timeline], marks: &[&Regression]) -> String {
    let arms: Vec<String> = shown
        .iter()
        .filter_map(|timeline| {
            let (first, last) = (timeline.points.first()?, timeline.points.last()?);
            let (from, to) = (words::ms(first.middle_ms), words::ms(last.middle_ms));
            Some(format!("{}: {from} at first, {to} at last", words::arm(&timeline.arm)))
        })
        .collect();
    let changes: Vec<String> = marks
        .iter()
        .map(|found| format!("{} {} at {}", words::arm(&found.arm), change(found), words::time(found.at)))
        .collect();
    let changes = if changes.is_empty() { "none".to_owned() } else { changes.join("; ") };
    format!(
        "Median latency by arm. {}. Changes: {changes}. The figures are in the table below.",
        arms.join("; ")
    )
}

fn change(found: &Regression) -> String {
    words::percent(100.0 * (found.ratio - 1.0))
}

fn axes(x: &Scale, y: &Scale, start: f64, end: f64) -> String {
    let mut svg = String::from("<g class=\"axis\">");
    for mark in y.marks() {
        let at = y.place(mark);
        let label = if mark == 0.0 { "0".to_owned() } else { round_ms(mark) };
        svg += &format!(
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            at + 4.5
        );
    }
    let short = end - start < 3.0 * Period::Day.ms() as f64;
    let step = if short { Period::Hour } else { Period::Day }.ms();
    let count = ((end - start) / step as f64).max(1.0);
    let every = [1.0, 2.0, 3.0, 6.0, 7.0, 12.0, 14.0, 28.0, 56.0, 91.0, 182.0, 364.0];
    let every = every.into_iter().find(|every| count / every <= 7.0).unwrap_or(count / 6.0) * step as f64;
    let first = (start / every).ceil();
    for i in 0..9 {
        let time = (first + f64::from(i)) * every;
        if time > end {
            break;
        }
        let at = x.place(time);
        let time = UnixMillis(time as i64);
        let label = if short { words::time(time).split_off(11) } else { words::date(time).split_off(5) };
        // Text in the middle of its mark would leave the drawing at its ends.
        let anchor = if at > RIGHT - 18.0 { "end" } else { "middle" };
        svg += &format!(
            "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{:.0}\"/><text x=\"{at:.1}\" \
             y=\"{:.0}\" text-anchor=\"{anchor}\">{label}</text>",
            BOTTOM + 5.0,
            BOTTOM + 21.0
        );
    }
    svg + &format!("<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/></g>")
}

/// A latency on an axis, with no more digits than it needs.
fn round_ms(ms: f64) -> String {
    if ms >= 1_000.0 {
        format!("{} s", (ms / 1e3 * 1e6).round() / 1e6)
    } else {
        format!("{} ms", (ms * 1e6).round() / 1e6)
    }
}

fn line(color: usize, timeline: &Timeline, x: &Scale, y: &Scale, band: bool) -> String {
    let half = timeline.period.ms() as f64 / 2.0;
    let at = |point: &TimelinePoint| x.place(point.at.0 as f64 + half);
    let mut svg = format!("<g class=\"s{color}\">");
    // Where nothing ran for a while there is a gap, not a line that nobody measured.
    let gap = 2.5 * timeline.period.ms() as f64 * if timeline.period == Period::Hour { 4.0 } else { 1.0 };
    let parts = timeline.points.chunk_by(|a, b| b.at.since(a.at) as f64 <= gap);
    for part in parts {
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| -> String {
            points.map(|(x, y)| format!("{x:.1},{y:.1} ")).collect()
        };
        if band {
            let upper = part.iter().map(|point| (at(point), y.place(point.high_ms)));
            let lower = part.iter().rev().map(|point| (at(point), y.place(point.low_ms)));
            svg += &format!("<polygon points=\"{}\"/>", path(&mut upper.chain(lower)).trim_end());
        }
        let middle = path(&mut part.iter().map(|point| (at(point), y.place(point.middle_ms))));
        svg += &match part {
            [one] => format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", at(one), y.place(one.middle_ms)),
            _ => format!("<polyline points=\"{}\"/>", middle.trim_end()),
        };
    }
    svg + "</g>"
}

/// Marks where something changed: a line down, and above it which way and how much.
fn jumps(marks: &[&Regression], shown: &[&Timeline], x: &Scale, y: &Scale) -> String {
    let mut svg = String::new();
    let mut sorted: Vec<_> = marks.to_vec();
    sorted.sort_by_key(|found| found.at);
    // Labels of changes that are close to each other take turns in two rows.
    let mut ends = [f64::NEG_INFINITY; 2];
    for found in sorted {
        let at = x.place(found.at.0 as f64);
        let color = shown.iter().position(|timeline| timeline.arm == found.arm).unwrap_or(0);
        let arrow = if found.direction == Direction::Slower { '▲' } else { '▼' };
        let version =
            found.version_change.as_ref().map_or_else(String::new, |change| format!(" · {}", change.to));
        let text: String = format!("{arrow} {}{version}", change(found)).chars().take(26).collect();
        let width = 7.5 * text.chars().count() as f64;
        let (place, anchor) = if at + width > RIGHT { (at - 4.0, "end") } else { (at + 4.0, "start") };
        let begin = if anchor == "end" { at - width } else { at };
        let row = if ends[0] <= begin { 0 } else { 1 };
        ends[row] = begin + width;
        svg += &format!(
            "<g class=\"s{color} jump\"><line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.0}\" y2=\"{BOTTOM}\"/><circle \
             cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4.5\"/><text x=\"{place:.1}\" y=\"{:.0}\" \
             text-anchor=\"{anchor}\">{}</text></g>",
            TOP - 20.0,
            y.place(found.after_ms),
            TOP - 18.0 + 15.0 * row as f64,
            Text(&text)
        );
    }
    svg
}

fn legend(shown: &[&Timeline], bands: bool, log: bool, left_out: usize) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for (at, timeline) in shown.iter().enumerate() {
        html += &format!(
            "<li><svg class=\"s{at}\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><polyline points=\"0,5 28,5\"/></svg>{}</li>",
            Text(&words::arm(&timeline.arm))
        );
    }
    html += "</ul><p class=\"note\">";
    let hourly = shown.iter().any(|timeline| timeline.period == Period::Hour);
    html += if hourly { "Hourly geometric means" } else { "Daily medians" };
    html += if bands { "; the band holds eight of ten runs" } else { "" };
    html += if log { ". Logarithmic axis" } else { "" };
    html += ". Times are UTC.";
    if left_out > 0 {
        html += &format!(" {left_out} arms with fewer runs are only in the table.");
    }
    html + "</p>"
}

fn figures(name: &str, all: &[&Timeline]) -> String {
    let mut rows = Vec::new();
    for timeline in all {
        let (Some(first), Some(last)) = (timeline.points.first(), timeline.points.last()) else { continue };
        rows.push(vec![
            Text(&words::arm(&timeline.arm)).to_string(),
            words::date(first.at),
            words::ms(first.middle_ms),
            words::date(last.at),
            words::ms(last.middle_ms),
            format!("{} – {}", words::ms(last.low_ms), words::ms(last.high_ms)),
            words::count(timeline.runs),
        ]);
    }
    let heads = [
        ("arm", false),
        ("first", false),
        ("middle", true),
        ("last", false),
        ("middle", true),
        ("8 of 10 runs", true),
        ("runs", true),
    ];
    table(&format!("Latency of {name}"), &heads, &rows)
}
