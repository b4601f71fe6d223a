//! Histories of which the truth is known, and what is said about them.

#[path = "analysis/hours.rs"]
mod hours;

use hours::{DAY, HOUR, Hours, START, arm, model};
use perf_history::analysis::{AgainstRole, Analysis, AnalysisSettings, Measure, RecommendationKind, analyze};
use perf_history::stats::Direction;
use perf_history::{Rollup, Source, UnixMillis};
use vocab::{Backend, BrowserName, ModelType};

fn analysis(rollups: &[Rollup]) -> Analysis {
    analyze(rollups, UnixMillis(START + 1_000 * DAY), &AnalysisSettings::default())
}

#[test]
fn an_empty_history_has_an_answer_that_says_what_it_rests_on() {
    let analysis = analysis(&[]);
    let json = serde_json::to_value(&analysis).expect("it is JSON");
    assert_eq!(json["model_type_affinities"]["audio"]["optimal_browser"], "firefox");
    assert_eq!(json["model_type_affinities"]["audio"]["source"], "default");
    assert_eq!(json["model_type_affinities"]["text_embedding"]["optimal_backend"], "webnn");
    assert_eq!(
        json["model_type_affinities"].as_object().map(serde_json::Map::len),
        Some(ModelType::ALL.len())
    );
    let sentence = json["recommendations"]["vision"]["recommendation"].as_str().expect("a sentence");
    assert!(sentence.contains("assumption") && sentence.contains("two or more"), "{sentence}");
    assert!(analysis.to_string().contains("There is no history yet"));
}

#[test]
fn thin_data_is_said_to_be_thin() {
    let mut hours = Hours::new(1);
    hours.run(&model(1, ModelType::Audio), "", &arm(BrowserName::Chromium, "156", Backend::Wasm), 0, 3, 40.0);
    let analysis = analysis(&hours.rollups);
    let audio = &analysis.model_type_affinities["audio"];
    assert_eq!((audio.source, audio.samples, audio.score), (Source::Default, 3, None));
    assert!(
        analysis.recommendations["audio"]
            .recommendation
            .contains("No arm has run audio models 10 times yet; 3")
    );
}

#[test]
fn the_faster_of_two_arms_is_recommended_with_what_it_gains() {
    let mut hours = Hours::new(2);
    let minilm = model(1, ModelType::TextEmbedding);
    let webnn = arm(BrowserName::ChromiumHeadlessShell, "147", Backend::WebNn);
    let wasm = arm(BrowserName::Firefox, "153", Backend::Wasm);
    for hour in 0..72 {
        hours.run(&minilm, "s=128", &webnn, hour, 4, 37.0);
        hours.run(&minilm, "s=128", &wasm, hour, 20, 51.0);
    }
    let analysis = analysis(&hours.rollups);
    let found = &analysis.recommendations["text_embedding"];
    assert_eq!((found.optimal_browser, found.optimal_backend), (webnn.browser, webnn.backend));
    assert_eq!((found.source, found.samples), (Source::History, 72 * 24));
    assert!(found.confidence > 0.99);
    let gain = found.expected_gain.as_ref().expect("there are two arms");
    assert_eq!((&gain.against, gain.against_role), (&wasm, AgainstRole::MostUsed));
    let percent = gain.latency_percent.expect("they ran the same model");
    assert!((percent - 100.0 * (37.0 / 51.0 - 1.0)).abs() < 3.0, "{percent}");
    let specific = &analysis.specific_recommendations[0];
    assert_eq!((specific.kind, &specific.arm), (RecommendationKind::Switch, &webnn));
}

#[test]
fn an_arm_is_not_slow_for_having_run_the_large_model() {
    // Firefox is 20 % faster on both models, but ran the large one most.
    let mut hours = Hours::new(3);
    let (small, large) = (model(1, ModelType::Text), model(2, ModelType::Text));
    let firefox = arm(BrowserName::Firefox, "153", Backend::Wasm);
    let chromium = arm(BrowserName::Chromium, "156", Backend::Wasm);
    for hour in 0..48 {
        hours.run(&small, "", &chromium, hour, 40, 10.0);
        hours.run(&small, "", &firefox, hour, 2, 8.0);
        hours.run(&large, "", &chromium, hour, 2, 1_000.0);
        hours.run(&large, "", &firefox, hour, 40, 800.0);
    }
    let analysis = analysis(&hours.rollups);
    let text = &analysis.model_type_affinities["text"];
    assert_eq!(text.optimal_arm, firefox);
    let other = &text.alternatives[0];
    assert!((other.relative_latency / 1.25 - 1.0).abs() < 0.05, "{other:?}");
    assert!(text.confidence > 0.99);
    // In milliseconds, it would have looked fifty times slower.
    let typical = |browser: &str| {
        analysis.browser_performance[browser].arms[0].model_types["text"].latency.expect("it ran").p50_ms
    };
    assert!(typical("firefox") > 50.0 * typical("chromium"));
}

#[test]
fn the_two_best_of_equal_arms_are_not_told_apart() {
    let mut hours = Hours::new(4);
    let arms = ["1", "2", "3"].map(|version| arm(BrowserName::Firefox, version, Backend::Wasm));
    for hour in 0..72 {
        for arm in &arms {
            hours.run(&model(1, ModelType::Text), "", arm, hour, 10, 20.0);
        }
    }
    let confidence = analysis(&hours.rollups).model_type_affinities["text"].confidence;
    assert!((0.1..0.95).contains(&confidence), "{confidence}");
}

#[test]
fn a_planted_regression_is_found_at_its_hour_with_its_version() {
    for seed in 0..20 {
        let mut hours = Hours::new(seed);
        let minilm = model(1, ModelType::TextEmbedding);
        for hour in 0..24 * 14 {
            let (version, ms) = if hour < 200 { ("153.0", 50.0) } else { ("154.0", 65.0) };
            hours.run(&minilm, "s=128", &arm(BrowserName::Firefox, version, Backend::Wasm), hour, 8, ms);
            hours.run(&minilm, "s=128", &arm(BrowserName::Chromium, "156", Backend::Wasm), hour, 8, 55.0);
        }
        let analysis = analysis(&hours.rollups);
        let [found] = &analysis.regressions[..] else { panic!("{:?}", analysis.regressions) };
        assert_eq!((found.direction, found.arm.browser), (Direction::Slower, BrowserName::Firefox));
        let off = (found.at.0 - (START + 200 * HOUR)) / HOUR;
        assert!(off.abs() <= 2, "{off} hours off");
        assert!((found.ratio / 1.3 - 1.0).abs() < 0.05, "{}", found.ratio);
        let change = found.version_change.as_ref().expect("a version came then");
        assert_eq!((&*change.from, &*change.to), ("153.0", "154.0"));
        // What is recommended is what is fastest now.
        assert_eq!(analysis.model_type_affinities["text_embedding"].optimal_browser, BrowserName::Chromium);
        assert!(
            analysis
                .specific_recommendations
                .iter()
                .any(|found| found.kind == RecommendationKind::Regression
                    && found.recommendation.contains("version 154.0 followed 153.0"))
        );
    }
}

#[test]
fn a_slow_down_that_passed_is_two_changes_and_no_version_is_blamed() {
    let mut hours = Hours::new(5);
    let firefox = arm(BrowserName::Firefox, "153", Backend::Wasm);
    for hour in 0..400 {
        let ms = if (150..250).contains(&hour) { 80.0 } else { 50.0 };
        hours.run(&model(1, ModelType::Text), "", &firefox, hour, 8, ms);
    }
    let analysis = analysis(&hours.rollups);
    let mut found: Vec<_> = analysis.regressions.iter().collect();
    found.sort_by_key(|found| found.at);
    let directions: Vec<_> = found.iter().map(|found| (found.direction, found.lasts)).collect();
    assert_eq!(directions, [(Direction::Slower, false), (Direction::Faster, true)]);
    assert!(found.iter().all(|found| found.version_change.is_none()));
    assert!(analysis.specific_recommendations.is_empty(), "{:?}", analysis.specific_recommendations);
}

#[test]
fn a_planted_slope_is_a_trend_and_no_regression() {
    let mut hours = Hours::new(6);
    let firefox = arm(BrowserName::Firefox, "153", Backend::Wasm);
    for hour in 0..24 * 30 {
        let ms = 50.0 * (0.02 * f64::from(hour) / 24.0).exp();
        hours.run(&model(1, ModelType::Text), "", &firefox, hour, 6, ms);
    }
    let analysis = analysis(&hours.rollups);
    assert!(analysis.regressions.is_empty(), "{:?}", analysis.regressions);
    let found =
        analysis.trends.series.iter().find(|trend| trend.measure == Measure::Latency).expect("a trend");
    assert!(found.significant && found.interval.low < 2.02 && 2.02 < found.interval.high, "{found:?}");
}

#[test]
fn what_fails_more_and_more_often_is_noticed() {
    let mut hours = Hours::new(7);
    let firefox = arm(BrowserName::Firefox, "153", Backend::Wasm);
    for hour in 0..24 * 20 {
        hours.run(&model(1, ModelType::Text), "", &firefox, hour, 20, 50.0);
        hours.fail_last((f64::from(hour) / 480.0 * 6.0).round() as u64);
    }
    let analysis = analysis(&hours.rollups);
    let found =
        analysis.trends.series.iter().find(|trend| trend.measure == Measure::SuccessRate).expect("it fails");
    assert!(found.significant && found.is_worse() && found.percent_per_day < -0.5, "{found:?}");
}

#[test]
fn noise_is_hardly_ever_news() {
    let mut news = 0;
    for seed in 0..5 {
        let mut hours = Hours::new(1_000 + seed);
        // Hours differ, and one is much like the next: 200 series of 20 days in which nothing ever changes.
        for series in 0..200_u8 {
            let arm =
                arm(BrowserName::ALL[usize::from(series) % 7], "1", Backend::ALL[usize::from(series) % 3]);
            let mut mood = 0.0;
            for hour in 0..24 * 20 {
                mood = 0.8 * mood + 0.05 * hours.normal();
                hours.run(&model(series, ModelType::Text), "", &arm, hour, 5, 50.0 * f64::exp(mood));
            }
        }
        let analysis = analysis(&hours.rollups);
        assert!(analysis.trends.tested >= 200);
        news += analysis.trends.significant as usize + analysis.regressions.len();
    }
    assert!(news <= 10, "{news} trends and changes in 1 000 series of noise");
}

#[test]
fn the_same_history_has_the_same_answer_in_any_order() {
    let mut hours = Hours::new(8);
    for hour in 0..300 {
        for version in ["1", "2"] {
            hours.run(
                &model(1, ModelType::Text),
                "",
                &arm(BrowserName::Edge, version, Backend::Wasm),
                hour,
                3,
                9.0,
            );
        }
    }
    let forward = serde_json::to_string(&analysis(&hours.rollups)).expect("it is JSON");
    assert_eq!(forward, serde_json::to_string(&analysis(&hours.rollups)).expect("it is JSON"));
    hours.rollups.reverse();
    assert_eq!(forward, serde_json::to_string(&analysis(&hours.rollups)).expect("it is JSON"));
}
