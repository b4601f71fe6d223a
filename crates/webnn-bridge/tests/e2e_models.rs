//! Real models give the native runtime's numbers, bad ones a typed error, and the page goes on afterwards.
#![allow(clippy::print_stdout, reason = "what was measured belongs in the output")]

mod support;

use std::time::Duration;

use pool_core::{LinkError, WorkerLink as _};
use support::{Backend, BrowserName, FailureKind, Rig, fixture, load_call, max_error, rig, run_call};
use tokio::time::Instant;
use vocab::SessionId;

/// Loads a model and runs its cases against the reference.
async fn check(rig: &Rig, name: &str, backend: Backend, cases: &[&str], dims: &[(&str, u64)]) {
    let fixture = fixture(name);
    let (session, report) = rig.load_static(&fixture.model, backend, dims).await.expect("a session");
    println!("{} {backend} {name}: {report:?}", rig.page.label());
    for case in cases {
        let reply = rig.run(session, fixture.inputs(case)).await.expect("a result");
        let error = max_error(&reply.outputs, &fixture.outputs(case));
        println!("  {case}: {:.1} ms, error {error:.4} of what is allowed", reply.in_page_ms);
        assert!(error <= 1.0, "{name} {case} on {backend}: {error} times what is allowed");
    }
    rig.page.unload(session).await.expect("an unload");
    let gone = rig.run(session, fixture.inputs(cases[0])).await;
    let Err(LinkError::Reported { kind, .. }) = gone else { panic!("{gone:?}") };
    assert_eq!(kind, FailureKind::NoSuchSession);
}

async fn wasm(name: BrowserName) {
    let rig = rig(name, &[Backend::Wasm]).await;
    check(&rig, "minilm", Backend::Wasm, &["s16", "s128", "padded"], &[]).await;
    bad(&rig, Backend::Wasm).await;
    rig.end().await;
}

/// Every bad model fails with the right kind within a second, and the page still answers.
async fn bad(rig: &Rig, backend: Backend) {
    use FailureKind::{InvalidInput, InvalidModel, OutOfMemory, UnsupportedOperator};
    let kinds = [
        ("allocation", OutOfMemory),
        ("corrupt", InvalidModel),
        ("cyclic", InvalidModel),
        ("empty", InvalidModel),
        ("escaping-path", InvalidModel),
        ("future-opset", UnsupportedOperator),
        ("matmul-at-load", InvalidModel),
        ("matmul-at-run", InvalidInput),
        ("text", InvalidModel),
        ("too-large", InvalidModel),
        ("unknown-domain", UnsupportedOperator),
        ("unknown-operator", UnsupportedOperator),
    ];
    let golden = fixture("micro/golden-f32");
    let mut wrong = Vec::new();
    for (name, wanted) in kinds {
        let fixture = fixture(&format!("bad/{name}"));
        let started = Instant::now();
        let answer = match rig.load(&fixture.model, backend).await {
            Ok((session, _)) => rig.run(session, fixture.inputs("any")).await.map(|reply| reply.outputs),
            Err(error) => Err(error),
        };
        let took = started.elapsed();
        println!("{} {name} after {took:?}: {answer:?}", rig.page.label());
        if !matches!(&answer, Err(LinkError::Reported { kind, .. }) if *kind == wanted) {
            wrong.push(format!("{name}: {wanted}, but {answer:?}"));
        }
        assert!(took < Duration::from_secs(1), "{name} took {took:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (session, _) = rig.load(&golden.model, backend).await.expect("the page still loads");
    let reply = rig.run(session, golden.inputs(&golden.cases()[0])).await.expect("the page still runs");
    assert!(max_error(&reply.outputs, &golden.outputs(&golden.cases()[0])) <= 1.0);
}

#[tokio::test]
async fn chromium() {
    wasm(BrowserName::Chromium).await;
}

#[tokio::test]
async fn firefox() {
    wasm(BrowserName::Firefox).await;
}

#[tokio::test]
async fn webkitgtk() {
    wasm(BrowserName::WebKitGtk).await;
}

#[tokio::test]
async fn headless_shell_on_webnn() {
    let rig = rig(BrowserName::ChromiumHeadlessShell, &[Backend::WebNn, Backend::Wasm]).await;
    check(&rig, "minilm", Backend::WebNn, &["s128"], &[("batch", 1), ("sequence", 128)]).await;
    check(&rig, "minilm", Backend::Wasm, &["s16"], &[]).await;

    // Sizes that nobody fixed are refused before anything is sent.
    let open = fixture("minilm").with_symbols("s16", &["batch", "sequence"]);
    let refused = rig.load_static(&open, Backend::WebNn, &[("batch", 1)]).await;
    let Err(LinkError::Reported { kind, message }) = refused else { panic!("{refused:?}") };
    assert_eq!(kind, FailureKind::UnsupportedByBackend);
    assert!(message.contains("sequence"), "{message}");
    rig.end().await;
}

#[tokio::test]
async fn micro_model_on_webgpu() {
    for name in [BrowserName::Chromium, BrowserName::Firefox] {
        let rig = rig(name, &[Backend::WebGpu]).await;
        let golden = fixture("micro/golden-f32");
        check(&rig, "micro/golden-f32", Backend::WebGpu, &[&golden.cases()[0]], &[]).await;
        bad_but_not_fatal(&rig).await;
        rig.end().await;
    }
}

/// A bad model on the device's backend is typed as well.
async fn bad_but_not_fatal(rig: &Rig) {
    let refused = rig.load(&fixture("bad/corrupt").model, Backend::WebGpu).await;
    let Err(LinkError::Reported { kind, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(kind, FailureKind::InvalidModel);
}

#[tokio::test]
async fn a_model_is_downloaded_once_for_all_reloads() {
    // WebKitGTK's automation sessions keep no cache over a reload; docs/browsers.md says so.
    for name in [BrowserName::Chromium, BrowserName::ChromiumHeadlessShell, BrowserName::Firefox] {
        let mut rig = rig(name, &[Backend::Wasm]).await;
        let fixture = fixture("vit-tiny");
        let (_, first) = rig.load(&fixture.model, Backend::Wasm).await.expect("a session");
        rig.browser.reload().await.expect("a reload");
        let before = std::mem::replace(&mut rig.page, rig.browser.next_page().await.expect("a page"));
        before.ended().await;
        let (_, second) = rig.load(&fixture.model, Backend::Wasm).await.expect("a session");
        println!("{name}: {:?} then {:?}", first.detail, second.detail);
        assert_eq!(first.detail["model_source"], "network", "{name}");
        assert_eq!(second.detail["model_source"], "cache", "{name}");
        rig.end().await;
    }
}

#[tokio::test]
async fn calls_for_what_is_not_there_are_refused() {
    let rig = rig(BrowserName::ChromiumHeadlessShell, &[Backend::Wasm]).await;
    let unknown = rig.page.run(run_call(SessionId(u64::MAX), Vec::new())).await;
    let Err(LinkError::Reported { kind, .. }) = unknown else { panic!("{unknown:?}") };
    assert_eq!(kind, FailureKind::NoSuchSession);

    let fixture = fixture("micro/golden-f32");
    let not_asked_for = rig.page.load(load_call(&fixture.model, Backend::WebGpu)).await;
    let Err(LinkError::Reported { kind, .. }) = not_asked_for else { panic!("{not_asked_for:?}") };
    assert_eq!(kind, FailureKind::BackendUnavailable);

    let (session, _) = rig.load(&fixture.model, Backend::Wasm).await.expect("a session");
    for (what, inputs) in [
        ("no input", Vec::new()),
        ("too many", {
            let mut inputs = fixture.inputs(&fixture.cases()[0]);
            inputs.push(tensor::NamedTensor::new("extra", tensor::Tensor::scalar(1_f32)));
            inputs
        }),
    ] {
        let refused = rig.run(session, inputs).await;
        let Err(LinkError::Reported { kind, message }) = refused else { panic!("{what}: {refused:?}") };
        assert_eq!(kind, FailureKind::InvalidInput, "{what}: {message}");
    }
    rig.end().await;
}
