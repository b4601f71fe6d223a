//! Drawings of a comparison. Each has its figures as a table behind it, and words for those who do not see it.

use perf_history::report::{Scale, Text, table, words};

use crate::compare::checks::mib;
use crate::compare::regress::{ArmChange, BaselineReport};
use crate::compare::report::{ArmReport, BlockReport, CompareReport};
use crate::compare::stats::{Verdict, median};

const WIDTH: f64 = 720.0;
const LEFT: f64 = 232.0;
const RIGHT: f64 = 646.0;
const TOP: f64 = 12.0;
/// The height of one arm's row.
const ROW: f64 = 30.0;
/// How many colours there are; with more arms they repeat, and marks tell them apart no more.
const COLOURS: usize = 8;

/// What is drawn in a figure.
struct Figure<'a> {
    id: &'a str,
    title: &'a str,
    described: String,
    height: f64,
    body: String,
    note: String,
    figures: String,
}

impl Figure<'_> {
    fn html(self) -> String {
        let Self { id, title, described, height, body, note, figures } = self;
        format!(
            "<figure><figcaption><h3>{title}</h3></figcaption><div class=\"scroll plot\" tabindex=\"0\" role=\"region\" \
             aria-label=\"Drawing: {title}\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"t-{id} \
             d-{id}\"><title id=\"t-{id}\">{title}</title><desc id=\"d-{id}\">{}</desc>{body}</svg></div>{note}\
             <details><summary>The figures</summary>{figures}</details></figure>",
            Text(&described),
        )
    }
}

fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>", Text(text))
}

/// The class of an arm: its place among those that ran, so that few share one.
fn colour(report: &CompareReport, arm: &ArmReport) -> usize {
    let drawn = report.arms.iter().filter(|one| one.in_page_ms.is_some());
    drawn.take_while(|one| one.name() != arm.name()).count() % COLOURS
}

/// Vertical lines at round values, with their labels below.
fn axis(x: &Scale, bottom: f64, label: impl Fn(f64) -> String) -> String {
    let mut svg = String::from("<g class=\"axis\">");
    let mut end = f64::NEG_INFINITY;
    for mark in x.marks() {
        let at = x.place(mark);
        svg += &format!("<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>");
        let text = label(mark);
        let half = 3.6 * text.chars().count() as f64;
        // Labels that would lie upon each other are left out; their lines stay.
        if at - half > end + 6.0 && at + half < WIDTH {
            svg += &format!(
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 18.0,
                Text(&text)
            );
            end = at + half;
        }
    }
    svg += &format!("<line class=\"base\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/></g>");
    svg
}

fn row_at(row: usize) -> f64 {
    TOP + ROW * (row as f64 + 0.5)
}

fn row_label(row: usize, arm: &str) -> String {
    format!(
        "<text class=\"name\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 10.0,
        row_at(row) + 4.5,
        Text(arm)
    )
}

fn value_label(x: f64, row: usize, text: &str) -> String {
    format!("<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 9.0, row_at(row) + 4.5, Text(text))
}

fn ms_mark(ms: f64) -> String {
    if ms >= 1_000.0 { format!("{} s", tidy(ms / 1e3)) } else { format!("{} ms", tidy(ms)) }
}

fn tidy(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn name(arm: &ArmReport) -> String {
    arm.name().to_string()
}

/// The timed runs of each arm: from the fastest to the 95th percentile, with the middle marked.
pub(super) fn latency(report: &CompareReport) -> String {
    let arms: Vec<_> = report
        .arms
        .iter()
        .filter_map(|arm| Some((colour(report, arm), arm, arm.in_page_ms?, arm.total_ms?)))
        .collect();
    if arms.is_empty() {
        return String::new();
    }
    let least = arms.iter().map(|(_, _, times, _)| times.min).fold(f64::INFINITY, f64::min);
    let most = arms.iter().map(|(_, _, times, total)| times.p95.max(total.p50)).fold(0.0, f64::max);
    let x = Scale::of_latencies(least, most, LEFT, RIGHT);
    let bottom = TOP + ROW * arms.len() as f64;
    let mut body = axis(&x, bottom, ms_mark);
    let mut rows = Vec::new();
    let mut words_of = Vec::new();
    for (row, (at, arm, times, total)) in arms.iter().enumerate() {
        let y = row_at(row);
        let (low, middle, high) = (x.place(times.min), x.place(times.p50), x.place(times.p95));
        body += &row_label(row, &name(arm));
        body += &format!(
            "<g class=\"s{}\"><line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><line \
             class=\"tip\" x1=\"{high:.1}\" x2=\"{high:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><circle cx=\"{middle:.1}\" \
             cy=\"{y:.1}\" r=\"5.5\"/></g><path class=\"total\" d=\"M{:.1} {:.1}l4 6h-8z\"/>",
            at,
            y - 6.0,
            y + 6.0,
            x.place(total.p50),
            y + 5.0,
        );
        body += &value_label(high.max(x.place(total.p50)), row, &words::ms(times.p50));
        words_of.push(format!(
            "{}: {} in the middle, {} for the 95th of 100",
            name(arm),
            words::ms(times.p50),
            words::ms(times.p95)
        ));
        rows.push(vec![
            Text(&name(arm)).to_string(),
            words::count(u64::from(times.count)),
            words::ms(times.min),
            words::ms(times.p50),
            words::ms(times.p95),
            words::ms(times.max),
            words::ms(total.p50),
            words::ms(total.p95),
        ]);
    }
    let heads = [
        ("arm", false),
        ("runs", true),
        ("fastest", true),
        ("p50", true),
        ("p95", true),
        ("slowest", true),
        ("total p50", true),
        ("total p95", true),
    ];
    let log = if x.is_log() { " Logarithmic axis." } else { "" };
    Figure {
        id: "latency",
        title: "Time of a run",
        described: format!("Time of a run in the page by arm. {}.", words_of.join("; ")),
        height: bottom + 26.0,
        body,
        note: note(&format!(
            "In the page: from the fastest run to the 95th of 100, the middle as a dot. The small triangle is the middle of \
             the whole way from call to answer.{log}"
        )),
        figures: table("Time of a run", &heads, &rows),
    }
    .html()
}

/// The class and the name of an arm, with when its launches began, in seconds, and their middle runs, in milliseconds.
type Series = (usize, String, Vec<(f64, f64)>);

/// The middle of each launch, in the order in which they were made, so that drift can be seen.
pub(super) fn over_time(report: &CompareReport) -> String {
    const BOTTOM: f64 = 260.0;
    const START: f64 = 66.0;
    let of_block = |block: &BlockReport| Some((block.at_ms / 1e3, median(&block.in_page_ms)?));
    let series: Vec<Series> = report
        .arms
        .iter()
        .map(|arm| (colour(report, arm), name(arm), arm.blocks.iter().filter_map(of_block).collect()))
        .filter(|(_, _, points): &Series| !points.is_empty())
        .collect();
    let mut kernel: Vec<(f64, f64)> = report
        .arms
        .iter()
        .flat_map(|arm| arm.blocks.iter().filter_map(|block| Some((block.at_ms / 1e3, block.kernel_ms?))))
        .collect();
    kernel.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = || series.iter().flat_map(|(_, _, points)| points).chain(&kernel);
    if series.is_empty() {
        return String::new();
    }
    let least = all().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let most = all().map(|point| point.1).fold(0.0, f64::max);
    let last = all().map(|point| point.0).fold(0.0, f64::max);
    let y = Scale::of_latencies(least, most, BOTTOM, TOP);
    let x = Scale::from_zero(last, START, RIGHT + 58.0);
    let mut body = String::from("<g class=\"axis\">");
    for mark in y.marks() {
        let at = y.place(mark);
        body += &format!(
            "<line x1=\"{START}\" x2=\"{:.0}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            RIGHT + 58.0,
            START - 8.0,
            at + 4.5,
            ms_mark(mark)
        );
    }
    for mark in x.marks() {
        let at = x.place(mark);
        body += &format!(
            "<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{:.0}\"/><text x=\"{at:.1}\" \
             y=\"{:.0}\" text-anchor=\"middle\">{} s</text>",
            BOTTOM + 5.0,
            BOTTOM + 21.0,
            tidy(mark)
        );
    }
    body += "</g>";
    let path = |points: &[(f64, f64)]| -> String {
        let each: Vec<String> =
            points.iter().map(|(at, ms)| format!("{:.1},{:.1}", x.place(*at), y.place(*ms))).collect();
        each.join(" ")
    };
    if !kernel.is_empty() {
        body += &format!("<g class=\"kernel\"><polyline points=\"{}\"/></g>", path(&kernel));
    }
    let mut legend = String::from("<ul class=\"legend\">");
    let mut rows = Vec::new();
    for (at, name, points) in &series {
        body += &format!("<g class=\"s{}\"><polyline points=\"{}\"/>", at, path(points));
        for (at, ms) in points {
            body += &format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/>", x.place(*at), y.place(*ms));
        }
        body += "</g>";
        legend += &format!(
            "<li><svg class=\"s{}\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><polyline points=\"0,5 28,5\"/></svg>{}</li>",
            at,
            Text(name)
        );
        let each: Vec<String> = points.iter().map(|(_, ms)| words::ms(*ms)).collect();
        rows.push(vec![Text(name).to_string(), each.join(", ")]);
    }
    legend += "<li><svg class=\"kernel\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><polyline points=\"0,5 28,5\"/></svg>\
               native work</li></ul>";
    legend += &note(
        "Each dot is the middle run of one launch in a fresh browser. Where all lines rise together with the native work, a \
         fixed computation outside of any browser, the machine became busy.",
    );
    let each: Vec<String> = kernel.iter().map(|(_, ms)| words::ms(*ms)).collect();
    rows.push(vec!["native work".to_owned(), each.join(", ")]);
    let described: Vec<String> = series
        .iter()
        .filter_map(|(_, name, points)| {
            Some(format!(
                "{name}: {} at first, {} at last",
                words::ms(points.first()?.1),
                words::ms(points.last()?.1)
            ))
        })
        .collect();
    Figure {
        id: "rounds",
        title: "Over the rounds",
        described: format!(
            "The middle run of each launch over the time of the comparison. {}.",
            described.join("; ")
        ),
        height: BOTTOM + 28.0,
        body,
        note: legend,
        figures: table(
            "Middle run of each launch",
            &[("arm", false), ("launches in their order", false)],
            &rows,
        ),
    }
    .html()
}

/// Bars of some parts for each arm.
struct Bars<'a> {
    id: &'a str,
    title: &'a str,
    note: &'a str,
    /// The class and the name of each part.
    parts: &'a [(&'a str, &'a str)],
    mark: fn(f64) -> String,
    text: fn(f64) -> String,
}

impl Bars<'_> {
    /// Draws a bar for each arm, from its parts, one behind the other.
    fn html(&self, arms: &[(String, Vec<f64>)]) -> String {
        if arms.is_empty() {
            return String::new();
        }
        let most = arms.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
        let x = Scale::from_zero(most, LEFT, RIGHT);
        let bottom = TOP + ROW * arms.len() as f64;
        let mut body = axis(&x, bottom, self.mark);
        let (mut rows, mut described) = (Vec::new(), Vec::new());
        for (row, (name, parts)) in arms.iter().enumerate() {
            body += &row_label(row, name);
            let mut from = 0.0;
            for (value, (class, _)) in parts.iter().zip(self.parts) {
                let (start, end) = (x.place(from), x.place(from + value));
                body += &format!(
                    "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\"/>",
                    row_at(row) - 8.0,
                    (end - start).max(0.5)
                );
                from += value;
            }
            body += &value_label(x.place(from), row, &(self.text)(from));
            described.push(format!("{name}: {}", (self.text)(from)));
            let cells = std::iter::once(Text(name).to_string());
            rows.push(
                cells
                    .chain(parts.iter().map(|value| (self.text)(*value)))
                    .chain([(self.text)(from)])
                    .collect(),
            );
        }
        let mut heads = vec![("arm", false)];
        heads.extend(self.parts.iter().map(|(_, part)| (*part, true)));
        heads.push(("sum", true));
        let keys = self.parts.iter().map(|(class, part)| {
            format!(
                "<li><svg class=\"key\" viewBox=\"0 0 14 10\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"14\" \
                 height=\"10\"/></svg>{part}</li>"
            )
        });
        Figure {
            id: self.id,
            title: self.title,
            described: format!("{}. {}.", self.title, described.join("; ")),
            height: bottom + 26.0,
            body,
            note: format!("<ul class=\"legend\">{}</ul>{}", keys.collect::<String>(), note(self.note)),
            figures: table(self.title, &heads, &rows),
        }
        .html()
    }
}

/// What passes until the first answer is there.
pub(super) fn start(report: &CompareReport) -> String {
    let bars = Bars {
        id: "start",
        title: "Until the first answer",
        note: "Medians over the launches. The model is fetched anew each time, because each browser is a fresh one.",
        parts: &[("p0", "fetch the model"), ("p1", "make the session"), ("p2", "first run")],
        mark: ms_mark,
        text: words::ms,
    };
    let middle = |arm: &ArmReport, of: fn(&BlockReport) -> Option<f64>| {
        median(&arm.blocks.iter().filter_map(of).collect::<Vec<_>>())
    };
    let arms = report.arms.iter().filter_map(|arm| {
        let parts = vec![
            middle(arm, |block| block.fetch_ms)?,
            middle(arm, |block| block.create_ms)?,
            middle(arm, |block| block.first_in_page_ms)?,
        ];
        Some((name(arm), parts))
    });
    bars.html(&arms.collect::<Vec<_>>())
}

/// What a browser takes without the model, and what comes with it.
pub(super) fn memory(report: &CompareReport) -> String {
    let bars = Bars {
        id: "memory",
        title: "Memory",
        note: "Proportional memory (PSS) of all processes of the browser and its driver, as medians over the launches: what \
               processes share counts once.",
        parts: &[("p3", "idle, page ready"), ("p1", "more with the model")],
        mark: |mib| format!("{} MiB", tidy(mib)),
        text: |amount| mib(amount * 1_048_576.0),
    };
    let arms = report.arms.iter().filter_map(|arm| {
        let memory = arm.memory?;
        let [idle, loaded] =
            [memory.idle, memory.loaded].map(|reading| reading.pss_bytes as f64 / 1_048_576.0);
        Some((name(arm), vec![idle.min(loaded), (loaded - idle).max(0.0)]))
    });
    bars.html(&arms.collect::<Vec<_>>())
}

/// The ratios to the baseline, with their intervals and what counts.
pub(super) fn changes(baseline: &BaselineReport) -> String {
    let found: Vec<&ArmChange> = baseline.changes.iter().collect();
    if found.is_empty() {
        return String::new();
    }
    let least = found.iter().map(|one| one.change.plain.low).fold(0.8, f64::min).max(0.05);
    let most = found.iter().map(|one| one.change.plain.high).fold(1.25, f64::max).min(20.0);
    let x = Scale::of_ratios(least, most, LEFT + 30.0, RIGHT);
    let bottom = TOP + ROW * found.len() as f64;
    let mut body = axis(&x, bottom, |ratio| format!("×{}", tidy(ratio)));
    let one = x.place(1.0);
    body +=
        &format!("<line class=\"unity\" x1=\"{one:.1}\" x2=\"{one:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>");
    let (mut rows, mut described) = (Vec::new(), Vec::new());
    for (row, found) in found.iter().enumerate() {
        let (plain, y) = (found.change.plain, row_at(row));
        let label = format!("{} {}", found.arm, found.measure.as_str());
        let (class, word) = match found.verdict {
            Verdict::Worse => ("worse", "worse"),
            Verdict::Better => ("better", "better"),
            Verdict::Same => ("same", "no change shown"),
        };
        body += &row_label(row, &label);
        body += &format!(
            "<g class=\"{class}\"><line class=\"range\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><circle \
             cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"/></g>",
            x.place(plain.low),
            x.place(plain.high),
            x.place(plain.ratio)
        );
        body += &value_label(x.place(plain.high), row, &format!("×{:.2}", plain.ratio));
        described.push(format!("{label}: {word}, ×{:.2}", plain.ratio));
        let beside =
            found.change.calibrated.map_or_else(|| "–".to_owned(), |beside| format!("×{:.2}", beside.ratio));
        rows.push(vec![
            Text(&label).to_string(),
            format!("×{:.2} ({:.2} to {:.2})", plain.ratio, plain.low, plain.high),
            beside,
            words::probability(found.p).replace('<', "&lt;"),
            format!("<span class=\"{class}\">{word}</span>"),
        ]);
    }
    let heads = [
        ("what", false),
        ("ratio (95 %)", true),
        ("beside the native work", true),
        ("p", true),
        ("verdict", false),
    ];
    Figure {
        id: "changes",
        title: "Against the baseline",
        described: format!("Ratios of now to then. {}.", described.join("; ")),
        height: bottom + 26.0,
        body,
        note: note(
            "Now over then, with the interval of 95 %. A change counts where it is large enough and surely none of chance, by \
             the clock and beside the native work.",
        ),
        figures: table("Ratios of now to then", &heads, &rows),
    }
    .html()
}
