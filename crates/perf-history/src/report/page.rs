//! The page as a whole.

use super::cards::{cards, specific};
use super::chart::charts;
use super::heat_map::heat_map;
use super::html::document;
use super::tables::{browsers, regressions, trends};
use crate::analysis::{Analysis, words};

/// How a report looks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportSettings {
    /// Its title. Default `Browser performance`.
    pub title: String,
    /// How many models and shapes are drawn at most; those that ran most come first. Default 24.
    pub most_charts: usize,
    /// How many rows each table has at most. Default 200.
    pub most_rows: usize,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self { title: "Browser performance".to_owned(), most_charts: 24, most_rows: 200 }
    }
}

/// An analysis as one HTML page that needs nothing else: no script, no font, no network. It follows the reader's light
/// or dark theme. Names of models and versions are escaped, so that they are text whatever they hold.
#[must_use]
pub fn page(analysis: &Analysis, settings: &ReportSettings) -> String {
    let history = &analysis.history;
    let over = match (history.from, history.to) {
        (Some(from), Some(to)) => format!(
            "<b>{}</b> runs of <b>{}</b> on <b>{}</b>, {} to {}",
            words::count(history.runs),
            many(history.models, "model"),
            many(history.arms, "arm"),
            words::time(from),
            words::time(to),
        ),
        _ => "There is no history yet: everything below is assumed".to_owned(),
    };
    let (drawings, contexts) = charts(analysis, settings.most_charts);
    let more = if contexts > settings.most_charts {
        format!("<p class=\"note\">The {} of {contexts} that ran most.</p>", settings.most_charts)
    } else {
        String::new()
    };
    let section = |id: &str, title: &str, body: &str| {
        if body.is_empty() {
            return String::new();
        }
        format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2>{body}</section>")
    };
    let body = [
        section("best", "Best browser and backend", &cards(analysis)),
        section("todo", "What to do", &specific(analysis, settings.most_rows.min(20))),
        section("affinities", "Affinities", &heat_map(analysis)),
        section("changes", "Changes", &regressions(analysis, settings.most_rows)),
        section(
            "latency",
            "Latency over time",
            &if contexts == 0 { String::new() } else { drawings + &more },
        ),
        section("trends", "Trends", &trends(analysis, settings.most_rows)),
        section("browsers", "Every browser", &browsers(analysis, settings.most_rows)),
    ]
    .concat();
    let header =
        format!("<p>{over} (UTC).</p><p class=\"note\">Made {} UTC.</p>", words::time(analysis.generated_at));
    let footer = "<p class=\"note\">An arm is a browser in one version with one backend on one device. Arms are compared only \
                  on the same model and input size. p is the probability that chance alone does as much, adjusted for how \
                  many series were tested.</p>";
    document(&settings.title, "", &header, &body, footer)
}

fn many(count: u64, what: &str) -> String {
    format!("{} {what}{}", words::count(count), if count == 1 { "" } else { "s" })
}
