//! Each engine is admitted on the backends that docs/browsers.md names, says what it ran on, and leaves nothing behind.
#![allow(clippy::print_stdout, reason = "what was measured belongs in the output")]

mod support;

use std::time::Duration;

use pool_core::{LinkError, WorkerLink as _};
use support::{Backend, BrowserName, FailureKind, engine, fixture, load_call, rig, rig_with, runtime, until};
use vocab::DeviceKind;
use webnn_bridge::{Admission, Bridge, BridgeConfig, LaunchSpec, PageEnd, Verdict};

#[track_caller]
fn check(name: BrowserName, verdicts: &[(Backend, Verdict)], admitted: &[Backend]) {
    assert_eq!(verdicts.len(), Backend::ALL.len(), "{name}: {verdicts:?}");
    for (backend, verdict) in verdicts {
        println!("{name} {backend}: {verdict:?}");
        let wanted = if admitted.contains(backend) { Admission::Admitted } else { Admission::Rejected };
        assert_eq!(verdict.verdict, wanted, "{name} {backend}: {verdict:?}");
        if wanted == Admission::Rejected {
            assert!(verdict.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{name} {backend}");
            assert_eq!(
                (verdict.device_effective.clone(), verdict.max_abs_error),
                (None, None),
                "{name} {backend}"
            );
            continue;
        }
        let error = verdict.max_abs_error.expect("an executed model has an error");
        assert!(error < 1e-5, "{name} {backend}: off by {error}");
        assert!(verdict.device_effective.is_some(), "{name} {backend}");
        if *backend == Backend::WebGpu {
            assert_eq!(verdict.device_requested, DeviceKind::Gpu);
            assert!(verdict.adapter.as_ref().is_some_and(|adapter| !adapter.is_empty()), "{name}");
        }
    }
}

/// Every backend of one engine, and that nothing is left of it.
async fn check_engine(name: BrowserName, admitted: &[Backend]) {
    let rig = rig(name, Backend::ALL).await;
    let hello = rig.page.hello();
    assert!(hello.secure_context && hello.cross_origin_isolated, "{hello:?}");
    assert!(rig.page.browser_version().starts_with(|first: char| first.is_ascii_digit()));
    check(name, &rig.page.verdicts(), admitted);
    let info = rig.page.worker_info();
    assert_eq!(info.backends.iter().map(|backend| backend.backend).collect::<Vec<_>>(), admitted);
    for backend in Backend::ALL.iter().filter(|backend| !admitted.contains(backend)) {
        let refused = rig.page.load(load_call(&fixture("micro/golden-f32").model, *backend)).await;
        let Err(LinkError::Reported { kind, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(kind, FailureKind::BackendUnavailable);
    }
    rig.end().await;
}

#[tokio::test]
async fn chromium() {
    check_engine(BrowserName::Chromium, &[Backend::WebGpu, Backend::Wasm]).await;
}

#[tokio::test]
async fn chromium_headless_shell() {
    check_engine(BrowserName::ChromiumHeadlessShell, &[Backend::WebNn, Backend::WebGpu, Backend::Wasm]).await;
}

#[tokio::test]
async fn firefox() {
    check_engine(BrowserName::Firefox, &[Backend::WebGpu, Backend::Wasm]).await;
}

#[tokio::test]
async fn webkitgtk() {
    check_engine(BrowserName::WebKitGtk, &[Backend::Wasm]).await;
}

#[tokio::test]
async fn a_launch_that_is_dropped_at_any_point_leaves_nothing() {
    for name in [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk] {
        for after_ms in [10, 150, 600, 1200] {
            let bridge = Bridge::start(BridgeConfig::new(runtime())).await.expect("a bridge");
            let mark = bridge.mark().to_owned();
            let mut spec = LaunchSpec::installed(engine(name));
            spec.backends = vec![Backend::Wasm];
            let finished = tokio::time::timeout(Duration::from_millis(after_ms), bridge.launch(spec)).await;
            println!("{name} after {after_ms} ms: {}", if finished.is_ok() { "ready" } else { "given up" });
            drop(finished);
            // The display serves the whole bridge and stays until it ends.
            let browsers = || {
                webnn_bridge::marked_processes(Some(&mark)).into_iter().filter(|id| {
                    !std::fs::read_to_string(format!("/proc/{id}/comm"))
                        .is_ok_and(|name| name.trim() == "Xvfb")
                })
            };
            let took =
                until("the browser's processes end", Duration::from_secs(5), || browsers().count() == 0)
                    .await;
            println!("  gone after {took:?}");
            until("the browser's directory is deleted", Duration::from_secs(5), || {
                let entries = std::fs::read_dir(std::env::temp_dir().join(&mark)).expect("the run directory");
                entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir())).count() == 0
            })
            .await;
            bridge.shutdown().await;
            assert_eq!(webnn_bridge::marked_processes(Some(&mark)), Vec::<i32>::new());
        }
    }
}

#[tokio::test]
async fn a_stopped_browser_counts_as_silent() {
    let rig = rig_with(BrowserName::Chromium, &[Backend::Wasm], |limits| {
        limits.heartbeat = Duration::from_millis(300);
        limits.heartbeat_timeout = Duration::from_secs(2);
    })
    .await;
    for id in webnn_bridge::marked_processes(Some(rig.bridge.mark())) {
        let pid = rustix::process::Pid::from_raw(id).expect("an id");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::STOP);
    }
    let end = tokio::time::timeout(Duration::from_secs(6), rig.page.ended()).await.expect("the page ends");
    assert_eq!(end, PageEnd::Silent { after_ms: 2000 });
    rig.end().await;
}

#[tokio::test]
async fn a_page_that_is_loaded_anew_replaces_the_one_before_it() {
    let rig = rig(BrowserName::Firefox, &[Backend::Wasm]).await;
    for _ in 0..3 {
        rig.browser.reload().await.expect("a reload");
        let next =
            tokio::time::timeout(Duration::from_secs(20), rig.browser.next_page()).await.expect("in time");
        let next = next.expect("a page");
        let end = rig.page.ended().await;
        assert!(matches!(end, PageEnd::Disconnected { .. } | PageEnd::Replaced), "{end}");
        assert_eq!(next.echo(Backend::Wasm, &[], Duration::from_secs(5)).await, Ok(Vec::new()));
    }
    rig.end().await;
}
