//! What changed, and what each browser was like, in figures.

use super::html::{Text, table};
use crate::analysis::{Analysis, Measure, words};
use crate::stats::Direction;

pub(super) fn regressions(analysis: &Analysis, most: usize) -> String {
    if analysis.regressions.is_empty() {
        return "<p class=\"note\">No latency changed at once, as far as the runs can tell.</p>".to_owned();
    }
    let rows: Vec<_> = analysis
        .regressions
        .iter()
        .take(most)
        .map(|found| {
            let (class, arrow) = match found.direction {
                Direction::Slower => ("worse", '▲'),
                Direction::Faster => ("better", '▼'),
            };
            let version = found.version_change.as_ref();
            let version =
                version.map_or_else(String::new, |change| format!("{} → {}", change.from, change.to));
            vec![
                words::time(found.at),
                Text(&words::workload(&found.model, &found.shape)).to_string(),
                Text(&words::arm(&found.arm)).to_string(),
                format!("{} → {}", words::ms(found.before_ms), words::ms(found.after_ms)),
                format!(
                    "<span class=\"{class}\">{arrow} {}</span>",
                    words::percent(100.0 * (found.ratio - 1.0))
                ),
                Text(&version).to_string(),
                format!("{} / {}", words::count(found.samples_before), words::count(found.samples_after)),
                Text(&words::probability(found.q_value)).to_string(),
            ]
        })
        .collect();
    let heads = [
        ("since (UTC)", false),
        ("model", false),
        ("arm", false),
        ("latency", true),
        ("change", true),
        ("new version", false),
        ("runs before / after", true),
        ("p", true),
    ];
    table("Changes of latency, the largest first", &heads, &rows)
        + &left_out(analysis.regressions.len(), most)
}

pub(super) fn trends(analysis: &Analysis, most: usize) -> String {
    let trends = &analysis.trends;
    let significant = || trends.series.iter().filter(|trend| trend.significant);
    if trends.significant == 0 {
        return format!(
            "<p class=\"note\">No significant trend in {} series that were tested.</p>",
            words::count(trends.tested)
        );
    }
    let rows: Vec<_> = significant()
        .take(most)
        .map(|trend| {
            let (measure, unit) = match trend.measure {
                Measure::Latency => ("latency", ""),
                Measure::SuccessRate => ("success rate", " points"),
            };
            let figure = |percent: f64| match trend.measure {
                Measure::Latency => words::percent(percent),
                Measure::SuccessRate => words::percent(percent).trim_end_matches(" %").to_owned(),
            };
            let class = if trend.is_worse() { "worse" } else { "better" };
            vec![
                Text(&words::workload(&trend.model, &trend.shape)).to_string(),
                Text(&words::arm(&trend.arm)).to_string(),
                measure.to_owned(),
                format!("<span class=\"{class}\">{}{unit}</span>", figure(trend.percent_per_day)),
                format!("{} – {}", figure(trend.interval.low), figure(trend.interval.high)),
                words::count(trend.samples),
                Text(&words::probability(trend.q_value)).to_string(),
            ]
        })
        .collect();
    let heads = [
        ("model", false),
        ("arm", false),
        ("what", false),
        ("a day", true),
        ("95 % interval", true),
        ("runs", true),
        ("p", true),
    ];
    table("Significant trends, the surest first", &heads, &rows) + &left_out(significant().count(), most)
}

/// What each arm was like with each type of model.
pub(super) fn browsers(analysis: &Analysis, most: usize) -> String {
    let arms = || analysis.browser_performance.values().flat_map(|browser| &browser.arms);
    let all =
        || arms().flat_map(|arm| arm.model_types.iter().map(move |(name, found)| (&arm.arm, name, found)));
    let rows: Vec<_> = all()
        .take(most)
        .map(|(arm, name, found)| {
            let interval = found.success_rate_interval;
            let latency = found.latency.map_or_else(
                || "–".to_owned(),
                |latency| [latency.p50_ms, latency.p95_ms, latency.p99_ms].map(words::ms).join(" / "),
            );
            vec![
                Text(&words::arm(arm)).to_string(),
                Text(&name.replace('_', " ")).to_string(),
                words::count(found.samples),
                found.success_rate.map_or_else(
                    || "–".to_owned(),
                    |rate| {
                        format!(
                            "{} <small>({} – {})</small>",
                            words::share(rate),
                            words::share(interval.low),
                            words::share(interval.high)
                        )
                    },
                ),
                latency,
                found
                    .relative_latency
                    .map_or_else(|| "–".to_owned(), |times| format!("{:.2}×", times.min(9_999.0))),
                format!("{} / {}", words::count(found.loads_ok), words::count(found.loads_failed)),
                format!("{} / {}", words::count(found.recoveries_ok), words::count(found.recoveries_failed)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "<p class=\"note\">Nothing has run yet.</p>".to_owned();
    }
    let heads = [
        ("arm", false),
        ("model type", false),
        ("runs", true),
        ("success (95 %)", true),
        ("p50 / p95 / p99", true),
        ("against the best", true),
        ("loads ok / failed", true),
        ("recoveries ok / failed", true),
    ];
    table("Every arm by model type", &heads, &rows) + &left_out(all().count(), most)
}

fn left_out(count: usize, most: usize) -> String {
    match count.saturating_sub(most) {
        0 => String::new(),
        left => format!("<p class=\"note\">{left} more are in the JSON.</p>"),
    }
}
