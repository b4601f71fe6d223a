//! The page that people look at: whole, safe and self-contained.
#![cfg(feature = "report")]

#[path = "analysis/hours.rs"]
mod hours;

use std::sync::Arc;

use hours::{DAY, Hours, START, arm, model};
use perf_history::analysis::{AnalysisSettings, analyze};
use perf_history::report::{ReportSettings, page};
use perf_history::{ModelId, Rollup, UnixMillis};
use vocab::{Backend, BrowserName, ModelType};

const SCRIPT: &str = "<script>alert(1)</script>\"'&";

/// A history with a regression, and names that would be code if they were not escaped.
fn history() -> Vec<Rollup> {
    let mut hours = Hours::new(1);
    let named = Arc::new(ModelId {
        name: SCRIPT.into(),
        version: SCRIPT.into(),
        ..(*model(1, ModelType::Text)).clone()
    });
    for hour in 0..24 * 20 {
        let (version, ms) = if hour < 240 { ("1", 20.0) } else { (SCRIPT, 30.0) };
        hours.run(&named, SCRIPT, &arm(BrowserName::Firefox, version, Backend::Wasm), hour, 4, ms);
        hours.run(&named, SCRIPT, &arm(BrowserName::Chromium, SCRIPT, Backend::Wasm), hour, 4, 25.0);
    }
    hours.rollups
}

fn report(rollups: &[Rollup]) -> String {
    let mut settings = ReportSettings::default();
    settings.title = SCRIPT.to_owned();
    page(&analyze(rollups, UnixMillis(START + 20 * DAY), &AnalysisSettings::default()), &settings)
}

/// Every element that is opened is closed, in order; attributes are quoted; nothing else is a `<`.
#[track_caller]
fn check_well_formed(html: &str) {
    const EMPTY: &[&str] = &["meta", "br", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    let (_, body) = html.split_once("<!doctype html>").expect("it begins so");
    let (head, rest) = body.split_once("<style>").expect("it has a style");
    let (_, rest) = rest.split_once("</style>").expect("it has a style");
    for part in [head, rest].iter().flat_map(|text| text.split('<').skip(1)) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("no end in {part:?}"));
        let name = tag.split([' ', '\n']).next().unwrap_or_default().trim_end_matches('/');
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !EMPTY.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[track_caller]
fn check(rollups: &[Rollup]) -> String {
    let html = report(rollups);
    check_well_formed(&html);
    let lower = html.to_lowercase();
    for outside in ["<script", "http://", "https://", "url(", "@import", "src=", "href=", "onload", "nan"] {
        assert!(!lower.contains(outside), "{outside}");
    }
    assert!(!html.contains("inf ") && html.contains("prefers-color-scheme: dark"));
    html
}

#[test]
fn names_are_text_whatever_they_hold() {
    let html = check(&history());
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"));
}

#[test]
fn drawings_have_titles_marks_and_figures() {
    let html = check(&history());
    assert_eq!(html.matches("<svg viewBox=\"0 0 720").count(), 1);
    assert_eq!(html.matches("role=\"img\"").count(), html.matches("<title id=").count());
    assert!(
        html.contains("class=\"s1 jump\"")
            || html.contains("class=\"s2 jump\"")
            || html.contains("class=\"s0 jump\"")
    );
    assert!(html.contains("▲ +5") || html.contains("▲ +4"), "the regression is marked");
    assert!(html.contains("<summary>The figures</summary>"));
}

#[test]
fn an_empty_history_has_a_page_too() {
    let html = check(&[]);
    assert!(html.contains("There is no history yet") && html.contains("Assumptions, not measurements"));
}

#[test]
fn a_page_does_not_grow_with_the_number_of_models() {
    let mut hours = Hours::new(2);
    for number in 0..100 {
        for hour in 0..10 {
            hours.run(
                &model(number, ModelType::Vision),
                "",
                &arm(BrowserName::Edge, "1", Backend::Wasm),
                hour,
                2,
                9.0,
            );
        }
    }
    let html = check(&hours.rollups);
    assert_eq!(html.matches("<figure>").count(), ReportSettings::default().most_charts);
    assert!(html.contains("The 24 of 100 that ran most"));
}
