//! Every element type of ONNX passes through an Identity model unchanged, bit for bit, or is refused with a clear error.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use pool_core::RunError;
use support::{Backend, BrowserName, fixture};
use vocab::FailureKind;
use webnn_pool::{Accelerator, ModelError, ModelSpec};

/// What comes out is what went in. Bytes are compared, so that a NaN or a negative zero that changed is noticed.
const EXACT: [&str; 14] = [
    "bool",
    "float16",
    "float32",
    "float32-scalar",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "string",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
];

/// Types for which the runtime has no kernel of Identity, or which its JavaScript side does not know, and what a page
/// calls that.
const REFUSED: [(&str, FailureKind); 3] = [
    ("bfloat16", FailureKind::UnsupportedDtype),
    ("int4", FailureKind::UnsupportedOperator),
    ("uint4", FailureKind::UnsupportedOperator),
];

/// The runtime's JavaScript side hands text over as C strings, which end at the first NUL character.
const LOSSY: [(&str, &str); 1] = [("string", "nul")];

async fn exact(accelerator: &Accelerator, name: &str) -> usize {
    let fixture = fixture(&format!("identity/{name}"));
    let model = accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await;
    let model = model.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let cases: Vec<_> =
        fixture.cases.iter().filter(|case| !LOSSY.contains(&(name, case.name.as_str()))).collect();
    for case in &cases {
        let inputs = fixture.inputs(&case.name);
        let done = model.run(inputs.clone()).await;
        let done = done.unwrap_or_else(|error| panic!("{name} {}: {error}", case.name));
        let [output] = done.outputs.as_slice() else { panic!("{name}: {:?}", done.outputs) };
        assert_eq!(output.tensor, inputs[0].tensor, "{name} {}", case.name);
        assert_eq!(output.tensor, fixture.outputs(case)[0].tensor, "{name} {} natively", case.name);
    }
    cases.len()
}

/// No case of a type that the runtime does not accept gives a result.
async fn refused(accelerator: &Accelerator, name: &str, kind: &FailureKind) {
    for case in &fixture(&format!("identity/{name}")).cases {
        refused_case(accelerator, name, &case.name, kind).await;
    }
}

async fn refused_case(accelerator: &Accelerator, name: &str, case: &str, wanted: &FailureKind) {
    let fixture = fixture(&format!("identity/{name}"));
    let model = accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await;
    let model = model.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let error = model.run(fixture.inputs(case)).await.map(|done| done.outputs).expect_err(name);
    println!("  {name} {case}: {error}");
    let (RunError::Load { kind, .. } | RunError::Inference { kind, .. }) = &error else {
        panic!("{name} {case}: {error:?}")
    };
    assert_eq!(kind, wanted, "{name} {case}: {error}");
}

async fn every_type(browser: BrowserName) {
    let build = Accelerator::builder().browser(browser).backends([Backend::Wasm]).build();
    let accelerator = build.await.unwrap_or_else(|error| panic!("{browser}: {error:?}"));
    let mut cases = 0;
    for name in EXACT {
        cases += exact(&accelerator, name).await;
    }
    println!("{browser}: {} element types, {cases} tensors, every bit", EXACT.len());
    for (name, kind) in &REFUSED {
        refused(&accelerator, name, kind).await;
    }
    for (name, case) in LOSSY {
        refused_case(&accelerator, name, case, &FailureKind::InvalidInput).await;
    }
    // Complex numbers have no form in the protocol: the model is refused before any browser sees it.
    let complex =
        accelerator.accelerate_model(ModelSpec::path(fixture("identity/complex64").directory)).await;
    assert!(matches!(complex, Err(ModelError::Onnx { .. })), "{complex:?}");
    // After all that was refused the page still computes.
    exact(&accelerator, "float32").await;
    accelerator.shutdown().await;
}

#[tokio::test]
async fn chromium() {
    every_type(BrowserName::Chromium).await;
}

#[tokio::test]
async fn chromium_headless_shell() {
    every_type(BrowserName::ChromiumHeadlessShell).await;
}

#[tokio::test]
async fn firefox() {
    every_type(BrowserName::Firefox).await;
}

#[tokio::test]
async fn webkitgtk() {
    every_type(BrowserName::WebKitGtk).await;
}
