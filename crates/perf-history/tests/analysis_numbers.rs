//! Whatever the roll-ups hold, an analysis is made of numbers.

#[path = "analysis/hours.rs"]
mod hours;

use hours::{START, arm, model};
use perf_history::analysis::{AnalysisSettings, analyze};
use perf_history::stats::LatencySketch;
use perf_history::{Period, Rollup, Totals, UnixMillis};
use proptest::prelude::*;
use serde_json::Value;
use vocab::{Backend, BrowserName, ModelType};

fn sums() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(f64::NAN), Just(f64::INFINITY), Just(-1e308), any::<f64>(), -100.0..100.0_f64]
}

fn counts() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..50_u64]
}

fn starts() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        any::<i64>(),
        (0..200_i64).prop_map(|hour| START + hour * Period::Hour.ms())
    ]
}

prop_compose! {
    fn rollup()(
        which in (1..4_u8, 0..3_usize, 0..3_usize, 0..7_usize, any::<bool>()),
        start in starts(),
        counts in prop::array::uniform12(counts()),
        sums in prop::array::uniform3(sums()),
        latencies in prop::collection::vec((sums(), sums()), 0..5),
    ) -> Rollup {
        let [ok, failed, wrong, vanished, timed_out, out_of_memory, neutral, loads_ok, loads_failed,
             recoveries_ok, recoveries_failed, n] = counts;
        let [load_ms, ln_sum, ln_square_sum] = sums;
        let mut sketch = LatencySketch::default();
        latencies.into_iter().for_each(|(ms, weight)| sketch.add(ms, weight));
        let (number, version, backend, browser, day) = which;
        Rollup {
            model: model(number, ModelType::ALL[usize::from(number)]),
            shape: "".into(),
            arm: arm(BrowserName::ALL[browser], ["", "1", "2"][version], Backend::ALL[backend]),
            period: if day { Period::Day } else { Period::Hour },
            start: UnixMillis(start),
            totals: Totals {
                ok, failed, wrong, vanished, timed_out, out_of_memory, neutral, loads_ok, loads_failed, load_ms,
                recoveries_ok, recoveries_failed, latencies: n, ln_sum, ln_square_sum, sketch,
            },
        }
    }
}

/// What is no number is written as null, and so is what an arm does not have.
fn check(path: &str, value: &Value) {
    match value {
        Value::Null => {
            assert!(
                ["device_requested", "adapter", "model_type"].iter().any(|key| path.ends_with(key)),
                "{path} is null"
            );
        }
        Value::Array(values) => values.iter().for_each(|value| check(path, value)),
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| check(&format!("{path}.{key}"), value))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[track_caller]
fn check_all(rollups: &[Rollup], settings: &AnalysisSettings) {
    let analysis = analyze(rollups, UnixMillis(0), settings);
    let json = serde_json::to_value(&analysis).expect("it is JSON");
    check("", &json);
    for affinity in analysis.model_type_affinities.values() {
        assert!((0.0..=1.0).contains(&affinity.confidence));
        assert!(affinity.alternatives.is_sorted_by(|a, b| a.source != b.source || a.score >= b.score));
    }
    assert!(analysis.regressions.iter().all(|found| (0.0..=1.0).contains(&found.q_value)));
    let text = analysis.to_string();
    assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    let points = || analysis.timelines.iter().flat_map(|timeline| &timeline.points);
    assert!(
        points().all(|point| [point.low_ms, point.middle_ms, point.high_ms].iter().all(|ms| ms.is_finite()))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn numbers_are_numbers(rollups in prop::collection::vec(rollup(), 0..60), q in sums(), least in sums()) {
        let mut settings = AnalysisSettings::default();
        check_all(&rollups, &settings);
        (settings.q, settings.least_change) = (q, least);
        (settings.sample_floor, settings.recent_days) = (0, 0);
        check_all(&rollups, &settings);
    }

    /// The same, where everything is of one series, so that there is enough to look for changes in.
    #[test]
    fn numbers_of_one_series_are_numbers(rollups in prop::collection::vec(rollup(), 20..80)) {
        let same: Vec<_> = rollups.into_iter().enumerate().map(|(hour, rollup)| Rollup {
            model: model(1, ModelType::Text),
            arm: arm(BrowserName::Edge, "1", Backend::Wasm),
            start: UnixMillis(START + hour as i64 * 4 * Period::Hour.ms()),
            ..rollup
        }).collect();
        check_all(&same, &AnalysisSettings::default());
    }
}
