//! `webnn-pool run` against a native runtime's numbers: every browser, every backend, every kind of model.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use support::{Backend, BrowserName, Fixture, PAIRS, Ran, RunArgs, fixture, full, pool};
use tensor::oip::{InferResponse, Limits};

/// The fixtures besides the golden one.
const MODELS: [&str; 9] = [
    "minilm",
    "minilm-static",
    "vit-tiny",
    "vit-tiny-static",
    "resnet-mini",
    "llama-tiny",
    "clip",
    "whisper-tiny-encoder",
    "whisper-tiny-encoder-static",
];

/// Where ONNX Runtime says that a backend's nodes are.
fn provider(backend: Backend) -> &'static str {
    match backend {
        Backend::WebNn => "WebNNExecutionProvider",
        Backend::WebGpu => "WebGpuExecutionProvider",
        Backend::Wasm => "CPUExecutionProvider",
    }
}

/// How a run went that the contract allows: right numbers, or one typed message.
enum Outcome {
    Right { delta: f64, in_page_ms: f64 },
    Refused(String),
}

fn run(fixture: &Fixture, case: &str, (browser, backend): (BrowserName, Backend)) -> Result<Outcome, String> {
    // A software adapter takes minutes for what hardware does in milliseconds.
    let seconds = if backend == Backend::WebGpu { 600 } else { 60 };
    let case = fixture.case(case);
    let (model, input) = (fixture.directory.clone(), fixture.request_path(case));
    let ran = RunArgs { model, input, browser, backend, seconds }.run();
    if ran.status == Some(1) {
        return refusal(&ran, backend).map(Outcome::Refused);
    }
    let response = ran.response()?;
    let delta = fixture.compare(case, &response.outputs)?;
    let told = |key: &str| response.parameters.get(key).cloned().unwrap_or(Value::Null);
    for (key, want) in [("browser", json!(browser)), ("backend", json!(backend)), ("attempts", json!(1))] {
        if told(key) != want {
            return Err(format!("{key} is {}, not {want}", told(key)));
        }
    }
    for key in ["device_effective", "device_requested", "browser_version"] {
        if told(key).as_str().is_none_or(str::is_empty) {
            return Err(format!("{key} is {}", told(key)));
        }
    }
    if told("placement")[provider(backend)].as_u64().is_none_or(|nodes| nodes == 0) {
        return Err(format!("no node on {backend}: {}", told("placement")));
    }
    let in_page_ms = told("in_page_ms").as_f64().filter(|&ms| ms > 0.0).ok_or("no in_page_ms")?;
    Ok(Outcome::Right { delta, in_page_ms })
}

/// The message of a run that a backend could not do. It must name the backend and the kind of failure.
fn refusal(ran: &Ran, backend: Backend) -> Result<String, String> {
    let message = ran.error()?;
    let typed = message.contains(&format!("the model on {backend} ("));
    if typed { Ok(message.to_owned()) } else { Err(format!("not a typed message: {message}")) }
}

/// Runs one case on one pair, and prints how it went.
#[track_caller]
fn check(name: &str, case: &str, pair: (BrowserName, Backend)) {
    let fixture = fixture(name);
    match run(&fixture, case, pair) {
        Ok(Outcome::Right { delta, in_page_ms }) => {
            println!(
                "{name} {case} {} {}: max |Δ| {delta:.1e}, {in_page_ms:.0} ms in the page",
                pair.0, pair.1
            );
        }
        Ok(Outcome::Refused(message)) | Err(message) => {
            panic!("{name} {case} on {} {}: {message}", pair.0, pair.1);
        }
    }
}

#[test]
fn the_golden_model_is_right_on_every_pair() {
    PAIRS.into_iter().for_each(|pair| check("micro/golden-f32", "golden", pair));
}

#[test]
fn minilm_is_right_on_every_pair_that_computes_it_in_seconds() {
    for pair in PAIRS {
        match pair {
            (_, Backend::WebNn | Backend::Wasm) => check("minilm", "s16", pair),
            (BrowserName::Firefox, Backend::WebGpu) => check("minilm", "sentence-0", pair),
            // SwiftShader's turn is in the full table.
            _ => {}
        }
    }
}

#[test]
fn each_kind_of_model_is_right_somewhere() {
    use BrowserName::{Chromium, ChromiumHeadlessShell as Shell, Firefox, WebKitGtk};
    check("minilm-static", "sentence-1", (Shell, Backend::WebNn));
    check("vit-tiny", "b2", (Firefox, Backend::Wasm));
    check("vit-tiny-static", "b1", (Shell, Backend::WebNn));
    check("whisper-tiny-encoder", "b1", (Chromium, Backend::Wasm));
    check("whisper-tiny-encoder-static", "b1", (Shell, Backend::Wasm));
    check("clip", "t3-i2", (WebKitGtk, Backend::Wasm));
    check("llama-tiny", "prefill-b2-padded", (Chromium, Backend::Wasm));
    check("llama-tiny", "decode-p8", (Firefox, Backend::Wasm));
    check("resnet-mini", "b3", (Firefox, Backend::WebGpu));
}

/// Runs a small model with a list of backends. Gives the backend that did it, and what the response says about that.
fn with_backends(
    (name, case): (&str, &str),
    browser: BrowserName,
    backends: &str,
) -> Result<(String, Option<bool>), String> {
    let fixture = fixture(name);
    let case = fixture.case(case);
    let (model, input) = (fixture.directory.to_string_lossy(), fixture.request_path(case));
    let (input, browser) = (input.to_string_lossy(), browser.to_string());
    let ran = pool(
        &["run", &model, "--input", &input, "--browser", &browser, "--backend", backends, "--json"],
        b"",
    );
    if ran.status == Some(1) {
        return Err(ran.error().unwrap_or_else(|why| panic!("{why}")).to_owned());
    }
    let response = ran.response().unwrap_or_else(|why| panic!("{why}"));
    let listed =
        response.parameters.get("backends_requested").map(|list| list.as_array().expect("a list").len());
    assert_eq!(listed, backends.contains(',').then_some(2));
    let told = |key: &str| response.parameters.get(key).cloned().unwrap_or(Value::Null);
    Ok((told("backend").as_str().expect("a name").to_owned(), told("fallback").as_bool()))
}

const GOLDEN: (&str, &str) = ("micro/golden-f32", "golden");

/// No WebNN computes on text, so ONNX Runtime itself would quietly take another provider.
const TEXT: (&str, &str) = ("identity/string", "values");

#[test]
fn a_fallback_that_was_asked_for_is_named() {
    let shell = BrowserName::ChromiumHeadlessShell;
    let on = |backend: &str, fallback| Ok((backend.to_owned(), fallback));
    assert_eq!(with_backends(GOLDEN, shell, "webnn,wasm"), on("webnn", Some(false)));
    assert_eq!(with_backends(TEXT, shell, "webnn,wasm"), on("wasm", Some(true)));
    assert_eq!(with_backends(GOLDEN, BrowserName::Firefox, "webnn,wasm"), on("wasm", Some(true)));
    assert_eq!(with_backends(GOLDEN, BrowserName::Firefox, "wasm"), on("wasm", None));
}

#[test]
fn a_backend_that_cannot_is_an_error_and_no_other_is_used() {
    let error = with_backends(GOLDEN, BrowserName::Firefox, "webnn").expect_err("Firefox has no WebNN");
    assert!(
        error.contains("firefox offers none of the backends asked for: webnn: navigator.ml is absent"),
        "{error}"
    );
    let error = with_backends(TEXT, BrowserName::ChromiumHeadlessShell, "webnn").expect_err("text on WebNN");
    println!("{error}");
    assert!(error.contains("could not load the model on webnn (unsupported"), "{error}");
}

#[test]
fn many_runs_tell_how_long_they_took_and_the_response_goes_to_a_file() {
    let golden = fixture("micro/golden-f32");
    let (model, input) = (golden.directory.to_string_lossy(), golden.request_path(golden.case("golden")));
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("response.json");
    let (input, to) = (input.to_string_lossy(), output.to_string_lossy());
    let ran = pool(
        &[
            "run",
            &model,
            "--input",
            &input,
            "--output",
            &to,
            "--browser",
            "firefox",
            "--backend",
            "wasm",
            "--repeat",
            "50",
        ],
        b"",
    );
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("golden-f32") && ran.stdout.contains("firefox"), "a summary: {}", ran.stdout);
    let written = std::fs::read(output).expect("a response");
    let response = InferResponse::from_json(&written, &Limits::default()).expect("a response");
    golden.compare(golden.case("golden"), &response.outputs).expect("right numbers");
    let repeat = &response.parameters["repeat"];
    assert_eq!((&repeat["count"], &repeat["failures"]), (&json!(50), &json!(0)), "{repeat}");
    let ms = |key: &str| repeat[key].as_f64().unwrap_or_else(|| panic!("{key} of {repeat}"));
    assert!(0.0 < ms("in_page_p50") && ms("in_page_p50") <= ms("p50") && ms("p50") <= ms("p95"), "{repeat}");
}

#[test]
fn a_model_is_run_over_shards() {
    let clip = fixture("clip");
    let case = &clip.cases[0];
    let (model, input) = (clip.directory.to_string_lossy(), clip.request_path(case));
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("plan.svg");
    let (input, svg) = (input.to_string_lossy(), picture.to_string_lossy());
    let mut arguments =
        vec!["run", &model, "--input", &input, "--browser", "chromium,firefox", "--backend", "wasm"];
    arguments.extend(["--shards", "2", "--strategy", "component", "--repeat", "3", "--svg", &svg, "--json"]);
    let ran = pool(&arguments, b"");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let response = InferResponse::from_json(ran.stdout.as_bytes(), &Limits::default()).expect("JSON alone");
    clip.compare(case, &response.outputs).expect("right numbers");
    let parameters = &response.parameters;
    assert_eq!(parameters["component_count"], parameters["successful_components"]);
    assert!(parameters["inference_time_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{parameters:?}");
    assert_eq!(parameters["repeat"]["count"], json!(3));
    let components = parameters["components"].as_array().expect("components");
    let browsers: BTreeSet<&str> =
        components.iter().filter_map(|component| component["browser"].as_str()).collect();
    assert_eq!(browsers.into_iter().collect::<Vec<_>>(), ["chromium", "firefox"]);
    let picture = std::fs::read_to_string(&picture).expect("a picture");
    assert!(picture.contains("chromium/wasm") && picture.contains("firefox/wasm"), "{picture}");

    // Without --json, a person sees who computed what; a strategy that does not fit says which ones do.
    arguments.pop();
    let shown = pool(&arguments, b"").stdout;
    assert!(shown.contains("weight_bytes") && shown.contains("pixel_values"), "{shown}");
    let misfit = pool(
        &[
            "run",
            &fixture("resnet-mini").directory.to_string_lossy(),
            "--input",
            &fixture("resnet-mini").request_path(&fixture("resnet-mini").cases[0]).to_string_lossy(),
            "--shards",
            "2",
            "--strategy",
            "component",
            "--browser",
            "chromium",
        ],
        b"",
    );
    assert_eq!(misfit.status, Some(1), "{misfit:?}");
    let error = misfit.error().expect("one message");
    assert!(error.contains("component") && error.contains("layer"), "{error}");
}

#[test]
fn every_model_is_right_or_refused_on_every_pair() {
    if !full() {
        println!("every model on every pair: only with cargo xtask e2e --full");
        return;
    }
    let mut wrong = Vec::new();
    let mut table = String::from("| fixture | case |");
    PAIRS.iter().for_each(|(browser, backend)| _ = write!(table, " {browser} {backend} |"));
    for name in ["micro/golden-f32"].iter().chain(&MODELS) {
        let fixture = fixture(name);
        for case in &fixture.cases {
            _ = write!(table, "\n| {name} | {} |", case.name);
            for pair in PAIRS {
                let cell = match run(&fixture, &case.name, pair) {
                    Ok(Outcome::Right { delta, in_page_ms }) => format!("{delta:.1e} ({in_page_ms:.0} ms)"),
                    Ok(Outcome::Refused(message)) => message,
                    Err(why) => {
                        wrong.push(format!("{name} {} on {} {}: {why}", case.name, pair.0, pair.1));
                        format!("WRONG {why}")
                    }
                };
                println!("{name} {} {} {}: {cell}", case.name, pair.0, pair.1);
                _ = write!(table, " {cell} |");
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
