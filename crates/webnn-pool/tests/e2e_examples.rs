//! The examples work as they stand.

mod support;

#[path = "../examples/embed_pool.rs"]
mod embed_pool;
#[path = "../examples/performance_analysis.rs"]
mod performance_analysis;
#[path = "../examples/performance_aware.rs"]
mod performance_aware;
#[path = "../examples/remote_browsers.rs"]
mod remote_browsers;

use std::process::Stdio;
use std::time::Duration;

use provision::{Home, detect};
use support::{BrowserName, Kept, fixture, until};
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

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_an_embedded_pool_all_have_answers() {
    let folder = Kept::new();
    let golden = fixture("micro/golden-f32");
    let request = golden.request_path(golden.case("golden"));
    let browsers = [BrowserName::ChromiumHeadlessShell];
    let answers =
        embed_pool::serve(&browsers, &golden.directory, &request, &folder.path().join("history.db"))
            .await
            .expect("it works");
    assert_eq!(answers.values().sum::<usize>(), 8, "{answers:?}");
    assert!(answers.keys().all(|arm| arm.starts_with("chromium-headless-shell on ")), "{answers:?}");
}

/// A driver that we do not start is all that a Grid is to us.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_of_a_driver_that_runs_elsewhere_computes() {
    let golden = fixture("micro/golden-f32");
    let request = golden.request_path(golden.case("golden"));
    let installed = detect(&Home::locate().expect("a home"), BrowserName::Firefox);
    let driver = &installed.found().expect("Firefox is installed").driver;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut running = tokio::process::Command::new(driver)
        .args(["--port", &port.port().to_string(), "--host", "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the driver starts");
    let listens = || std::net::TcpStream::connect(port).is_ok();
    until("the driver listens", Duration::from_secs(30), listens).await;
    let address = format!("http://{port}");
    let told = remote_browsers::run(&golden.directory, &request, BrowserName::Firefox, &[address]).await;
    running.kill().await.expect("the driver ends");
    assert!(told.expect("it works").starts_with("firefox on "));
}
