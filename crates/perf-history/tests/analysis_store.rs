//! An analysis straight from a database.
#![cfg(feature = "sqlite")]

mod support;

use perf_history::analysis::{AnalysisSettings, Analyzer, analyze, analyze_store};
use perf_history::{HistoryStore, Location, Retention, Rollup, UnixMillis, store};
use support::{DAY, HOUR, MIDNIGHT, mixed, run};

/// Rows in the order that `rollups` promises, to compare them with those in any order.
fn sorted(mut rows: Vec<Rollup>) -> Vec<Rollup> {
    rows.sort_by(|a, b| (&a.model, &a.shape, &a.arm, a.start).cmp(&(&b.model, &b.shape, &b.arm, b.start)));
    rows
}

#[track_caller]
fn check(store: &mut dyn HistoryStore, since: Option<UnixMillis>) {
    let read = store.rollups(since).expect("it reads");
    let mut shown = Vec::new();
    store.visit_rollups(since, &mut |rollup| shown.push(rollup.clone())).expect("it reads");
    assert_eq!(sorted(shown), sorted(read.clone()));
    let mut analyzer = Analyzer::new(AnalysisSettings::default());
    store.visit_rollups(since, &mut |rollup| analyzer.add(rollup)).expect("it reads");
    let now = UnixMillis(MIDNIGHT + 200 * DAY);
    let (shown, read) = (analyzer.finish(now), analyze(&read, now, &AnalysisSettings::default()));
    assert_eq!(shown.history, read.history);
    assert_eq!(shown.model_type_affinities, read.model_type_affinities);
}

#[test]
fn what_is_shown_one_at_a_time_is_what_is_read_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::Sqlite(folder.path().join("history.db"));
    let mut store = store::open(&location).expect("it opens");
    check(&mut *store, None);
    // Every outcome, so that no column is always zero; and plain runs, in which most are.
    store.append(&mixed(4_000, MIDNIGHT)).expect("it has room");
    let plain: Vec<_> = (0..500).map(|i| run(MIDNIGHT + 30 * DAY + i * HOUR / 4, 20.0)).collect();
    store.append(&plain).expect("it has room");
    check(&mut *store, None);
    let now = UnixMillis(MIDNIGHT + 36 * DAY);
    let mut settings = AnalysisSettings::default();
    let runs = |store: &mut dyn HistoryStore, settings: &AnalysisSettings| {
        analyze_store(store, now, settings).expect("it reads").history.runs
    };
    let recent = runs(&mut *store, &settings);
    settings.history_days = 0;
    let all = runs(&mut *store, &settings);
    assert!(recent == 500 && all > recent, "{recent} of {all}");
    check(&mut *store, Some(UnixMillis(MIDNIGHT + 30 * DAY + HOUR)));
    // The hours of the beginning become days.
    store.compact(UnixMillis(MIDNIGHT + 110 * DAY), &Retention::default()).expect("it has room");
    let rows = store.rollups(None).expect("it reads");
    assert!(rows.iter().any(|row| row.period == perf_history::Period::Day));
    check(&mut *store, None);
}
