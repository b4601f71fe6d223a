//! What is wrong is said at once, in one message, and harms nobody else.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::path::Path;
use std::time::Duration;

use pool_core::RunError;
use support::{Backend, BrowserName, ENGINES, Fixture, RunArgs, fixture, pool};
use tensor::{InputError, NamedTensor, Tensor};
use tokio::time::Instant;
use vocab::{FailureKind, WorkerId};
use webnn_pool::{AcceleratedModel, Accelerator, ModelError, ModelSpec};

/// How long a message may take.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The golden model's request with other text in some place.
fn golden_with(from: &str, to: &str) -> String {
    let golden = fixture("micro/golden-f32");
    let json = std::fs::read_to_string(golden.request_path(golden.case("golden"))).expect("a request");
    assert!(json.contains(from), "the golden request has no {from}");
    json.replacen(from, to, 1)
}

/// The command fails before it starts any browser, with one message that holds `message`.
#[track_caller]
fn refused(arguments: &[&str], input: &str, message: &str) {
    let ran = pool(arguments, input.as_bytes());
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(!ran.launched(), "a browser was started: {ran:?}");
    assert!(ran.took < AT_ONCE, "{:?}", ran.took);
    let error = ran.error().unwrap_or_else(|error| panic!("{error}"));
    assert!(error.contains(message), "{error}");
    println!("{:>4} ms {error}", ran.took.as_millis());
}

/// A request on standard input that does not do for the golden model.
#[track_caller]
fn bad_request(input: &str, message: &str) {
    let model = fixture("micro/golden-f32").directory;
    refused(&["run", &model.to_string_lossy(), "--input", "-", "--json"], input, message);
}

/// A model that cannot be run, whatever the request.
#[track_caller]
fn bad_model(model: &Path, message: &str) {
    let input = golden_with("", "");
    refused(&["run", &model.to_string_lossy(), "--input", "-", "--json"], &input, message);
}

/// A request on standard input that does not do for the identity of some element type.
#[track_caller]
fn bad_element(dtype: &str, datatype: &str, value: &str, message: &str) {
    let model = fixture(&format!("identity/{dtype}")).directory;
    let input =
        format!(r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"{datatype}","data":[{value}]}}]}}"#);
    refused(&["run", &model.to_string_lossy(), "--input", "-", "--json"], &input, message);
}

#[test]
fn requests_that_are_none() {
    bad_request("", "not valid Open Inference Protocol JSON: EOF while parsing");
    bad_request("{", "not valid Open Inference Protocol JSON: EOF while parsing");
    let whole = golden_with("", "");
    bad_request(&whole[..whole.len() / 2], "not valid Open Inference Protocol JSON: EOF while parsing");
    bad_request("[]", "not valid Open Inference Protocol JSON");
    bad_request("\u{0}\u{1}", "not valid Open Inference Protocol JSON");
    bad_request(r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FLOAT","data":[1]}]}"#, "unknown datatype");
}

#[test]
fn inputs_that_do_not_fit_the_model() {
    bad_request(r#"{"inputs":[]}"#, r#"input "x" is missing"#);
    bad_request(&golden_with(r#""name":"x""#, r#""name":"X""#), r#"the model has no input "X""#);
    let extra = r#"{"inputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[1]},"#;
    bad_request(&golden_with(r#"{"inputs":["#, extra), r#"the model has no input "y""#);
    bad_request(&golden_with("FP32", "FP64"), "convert them first");
    bad_request(&golden_with("[1,6,16]", "[1,16,6]"), "reshape");
    bad_request(&golden_with("[1,6,16]", "[6,16]"), "takes 3 dimensions");
    bad_request(&golden_with("[1,6,16]", "[1,6,17]"), "but \"data\" has 96");
    bad_request(
        &golden_with(r#"{"inputs""#, r#"{"outputs":[{"name":"z"}],"inputs""#),
        r#"has no output "z""#,
    );
}

#[test]
fn values_that_are_not_of_their_type() {
    bad_element("int64", "INT64", "null", "element 0 is null, expected an integer");
    bad_element("int64", "INT64", "NaN", "not valid Open Inference Protocol JSON");
    bad_element("int64", "INT64", r#""NaN""#, "expected an integer");
    bad_element("int64", "INT64", "1.5", "element 0 is 1.5, expected an integer");
    bad_element("int64", "INT64", "9223372036854775808", "outside of the range of INT64");
    bad_element("int8", "INT8", "128", "outside of the range of INT8");
    bad_element("uint32", "UINT32", "-1", "outside of the range of UINT32");
    bad_element("bool", "BOOL", "1", "expected true or false");
    bad_element("string", "BYTES", "1", "expected a string");
}

#[test]
fn models_that_can_be_seen_to_be_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    bad_model(&folder.path().join("none.onnx"), "could not read");
    bad_model(folder.path(), "holds no model: looked for model.onnx, onnx/model.onnx");
    let bad = |name: &str| fixture(&format!("bad/{name}")).directory;
    bad_model(&bad("corrupt"), "is not a usable ONNX model");
    bad_model(&bad("empty"), "is not a usable ONNX model");
    bad_model(&bad("text"), "is not a usable ONNX model");
    bad_model(&bad("truncated-minilm"), "is not a usable ONNX model");
    bad_model(&bad("cyclic"), "is not a usable ONNX model");
    bad_model(&bad("escaping-path"), "is not a usable ONNX model");
    bad_model(&bad("future-opset"), "is not a usable ONNX model");
    bad_model(&bad("unknown-operator"), "is not a usable ONNX model");
    bad_model(&bad("unknown-domain"), "is not a usable ONNX model");
    bad_model(&bad("too-large"), "a worker may take");
}

/// An input file that is not there, and a browser that is not.
#[test]
fn what_is_missing() {
    let model = fixture("micro/golden-f32").directory;
    let model = model.to_string_lossy();
    refused(&["run", &model, "--input", "/nowhere.json"], "", "could not read /nowhere.json");
    let golden = golden_with("", "");
    let nowhere = ["run", &model, "--input", "-", "--output", "/nowhere/response.json"];
    refused(&nowhere, &golden, "could not write /nowhere/response.json");
    let safari = pool(&["run", &model, "--input", "-", "--browser", "safari"], golden.as_bytes());
    assert_eq!(safari.status, Some(1), "{safari:?}");
    assert!(safari.error().expect("one message").contains("safari does not exist for"), "{safari:?}");
    assert!(safari.took < AT_ONCE, "{:?}", safari.took);
}

/// What only a browser finds is one message on one line too.
#[test]
fn what_a_browser_finds() {
    let bad = fixture("bad/allocation");
    let (model, input) = (bad.directory.clone(), bad.request_path(bad.case("any")));
    let ran =
        RunArgs { model, input, browser: BrowserName::Chromium, backend: Backend::Wasm, seconds: 60 }.run();
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let error = ran.error().unwrap_or_else(|error| panic!("{error}"));
    assert!(error.contains("could not run the model on wasm (out_of_memory)"), "{error}");
}

/// A worker, a good request for it, and which worker it is.
struct Page {
    accelerator: Accelerator,
    golden: AcceleratedModel,
    fixture: Fixture,
    worker: WorkerId,
}

impl Page {
    async fn open(browser: BrowserName, backend: Backend) -> Self {
        let build = Accelerator::builder().browser(browser).backends([backend]).build();
        let accelerator = build.await.unwrap_or_else(|error| panic!("{browser}: {error:?}"));
        let fixture = fixture("micro/golden-f32");
        let golden = accelerator
            .accelerate_model(ModelSpec::path(&fixture.directory))
            .await
            .expect("the golden model");
        let worker = golden.run(fixture.inputs("golden")).await.expect("a result").report.worker;
        Self { accelerator, golden, fixture, worker }
    }

    /// The bad request fails at once, and the same worker goes on.
    #[track_caller]
    fn fails(
        &self,
        what: &str,
        model: &AcceleratedModel,
        inputs: Vec<NamedTensor>,
        right: impl Fn(&RunError) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let started = Instant::now();
            let result = model.run(inputs).await;
            let took = started.elapsed();
            let error = result.map(|done| done.report).expect_err(what);
            println!("  {what}: {} ms, {error}", took.as_millis());
            assert!(right(&error), "{caller}: {what}: {error:?}");
            assert!(took < AT_ONCE, "{caller}: {what}: {took:?}");
            let next =
                self.golden.run(self.fixture.inputs("golden")).await.expect("the next request is answered");
            assert_eq!(next.report.worker, self.worker, "{caller}: after {what} another worker answered");
            self.fixture.compare(self.fixture.case("golden"), &next.outputs).expect("right numbers");
        }
    }

    async fn bad_model(&self, name: &str, right: impl Fn(&RunError) -> bool) {
        let fixture = fixture(name);
        let model = self.accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await;
        let model = model.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        self.fails(name, &model, fixture.inputs("any"), right).await;
    }
}

fn kind(error: &RunError) -> Option<&FailureKind> {
    match error {
        RunError::Load { kind, .. } | RunError::Inference { kind, .. } => Some(kind),
        _ => None,
    }
}

async fn one_page_takes_it_all(browser: BrowserName, backend: Backend) {
    println!("{browser} {backend}");
    let page = Page::open(browser, backend).await;
    let x = |shape: &[u64], value: f32| {
        let count = shape.iter().product::<u64>();
        let values = vec![value; usize::try_from(count).expect("small")];
        NamedTensor::new("x", Tensor::from_vec(shape, values).expect("a tensor"))
    };
    let named = |name: &str| NamedTensor { name: name.into(), ..x(&[1, 6, 16], 1.0) };
    let doubles = NamedTensor::new("x", Tensor::from_vec([1, 6, 16], vec![1.0_f64; 96]).expect("a tensor"));
    let golden = page.golden.clone();
    let input = |wanted: fn(&InputError) -> bool| move |error: &RunError| matches!(error, RunError::InvalidInput(why) if wanted(why));
    page.fails("missing", &golden, vec![], input(|why| matches!(why, InputError::Missing { .. }))).await;
    let unexpected = input(|why| matches!(why, InputError::Unexpected { .. }));
    page.fails("misnamed", &golden, vec![named("X")], unexpected).await;
    page.fails("extra", &golden, vec![named("x"), named("z")], unexpected).await;
    let duplicate = input(|why| matches!(why, InputError::Duplicate { .. }));
    page.fails("twice", &golden, vec![named("x"), named("x")], duplicate).await;
    page.fails("dtype", &golden, vec![doubles], input(|why| matches!(why, InputError::WrongDtype { .. })))
        .await;
    let shape = input(|why| matches!(why, InputError::WrongShape { .. }));
    page.fails("shape", &golden, vec![x(&[1, 16, 6], 1.0)], shape).await;
    page.fails(
        "rank",
        &golden,
        vec![x(&[96], 1.0)],
        input(|why| matches!(why, InputError::WrongRank { .. })),
    )
    .await;

    page.bad_model("bad/matmul-at-load", |error| kind(error) == Some(&FailureKind::InvalidModel)).await;
    // WebNN is loaded for the request's shapes, so there it is the model that does not fit itself.
    let at_run =
        if backend == Backend::WebNn { FailureKind::InvalidModel } else { FailureKind::InvalidInput };
    page.bad_model("bad/matmul-at-run", |error| kind(error) == Some(&at_run)).await;
    page.bad_model("bad/allocation", |error| kind(error) == Some(&FailureKind::OutOfMemory)).await;

    let too_large =
        page.accelerator.accelerate_model(ModelSpec::path(fixture("bad/too-large").directory)).await;
    assert!(matches!(too_large, Err(ModelError::TooLarge { .. })), "{too_large:?}");
    page.accelerator.shutdown().await;
}

#[tokio::test]
async fn one_page_of_each_engine_takes_it_all() {
    for browser in ENGINES {
        one_page_takes_it_all(browser, Backend::Wasm).await;
    }
    one_page_takes_it_all(BrowserName::ChromiumHeadlessShell, Backend::WebNn).await;
}
