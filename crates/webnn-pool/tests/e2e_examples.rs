//! The examples work as they stand.

mod support;

#[path = "../examples/performance_analysis.rs"]
mod performance_analysis;
#[path = "../examples/performance_aware.rs"]
mod performance_aware;

use support::{BrowserName, Kept, fixture};
use webnn_pool::Source;

#[tokio::test(flavor = "multi_thread")]
async fn audio_models_are_recommended_an_assumption_and_then_what_was_observed() {
    let folder = Kept::new();
    let database = folder.path().join("history.db");
    let whisper = fixture("whisper-tiny-encoder");
    let request = whisper.request_path(whisper.case("b1"));

    let first = performance_aware::select(&whisper.directory, &request, &database).await.expect("it works");
    let audio = &first.model_type_affinities["audio"];
    // Eight runs over several arms are fewer than ten on any one.
    assert_eq!((audio.source, audio.optimal_browser), (Source::Default, BrowserName::Firefox));
    assert!((5..10).contains(&audio.samples) && audio.confidence < 0.6, "{audio:?}");

    let second = performance_aware::select(&whisper.directory, &request, &database).await.expect("it works");
    let later = &second.model_type_affinities["audio"];
    assert!(later.samples > audio.samples, "the second process adds to what the first one knew: {later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_accelerator_tells_has_the_keys_that_are_promised() {
    let folder = Kept::new();
    let golden = fixture("micro/golden-f32");
    let request = golden.request_path(golden.case("golden"));
    let export =
        performance_analysis::analyze(&golden.directory, &request, &folder.path().join("history.db"))
            .await
            .expect("it works");
    let json = serde_json::to_value(&export).expect("it is JSON");
    assert_eq!(json["connections"][0]["browser"], "firefox");
    assert_eq!(json["models"]["core"]["workers"].as_array().map(Vec::len), Some(1));
    let performance = &json["performance"];
    assert_eq!(performance["browser_performance"]["firefox"]["samples"], 1);
    let text = &performance["recommendations"]["text"];
    assert_eq!(text["source"], "default");
    assert_eq!(text["samples"], 0);
    assert!(text["recommendation"].as_str().is_some_and(|text| text.len() > 20), "{text}");
}
