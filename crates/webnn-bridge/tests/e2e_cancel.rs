//! A call that nobody wants any more ends on the page too, and one that does not end is ended with its engine.
#![allow(clippy::print_stdout, reason = "what was measured belongs in the output")]

mod support;

use std::time::Duration;

use pool_core::{LinkError, RunCall, WorkerLink as _};
use support::{Backend, BrowserName, ENGINES, FailureKind, Fixture, Rig, fixture, rig, rig_with, run_call};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::SessionId;

/// A model that computes for about a second.
const SLOW: &str = "whisper-tiny-encoder";

/// A browser with the slow model loaded.
async fn slow(name: BrowserName, grace: Duration) -> (Rig, Fixture, SessionId) {
    let rig = rig_with(name, &[Backend::Wasm], |limits| limits.cancel_grace = grace).await;
    let fixture = fixture(SLOW);
    let (session, _) = rig.load(&fixture.model, Backend::Wasm).await.expect("a session");
    (rig, fixture, session)
}

/// A run that is cancelled as soon as `started` fires, and how long it took to end after that.
async fn cancelled(rig: &Rig, call: RunCall, after: Duration) -> (Result<(), LinkError>, Duration) {
    let cancel = call.cancel.clone();
    let run = rig.page.run(call);
    tokio::pin!(run);
    if let Ok(done) = tokio::time::timeout(after, &mut run).await {
        return (done.map(drop), Duration::ZERO);
    }
    cancel.cancel();
    let started = Instant::now();
    let result = run.await.map(drop);
    (result, started.elapsed())
}

#[tokio::test]
async fn a_running_call_and_a_queued_one_are_given_up() {
    for name in [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk] {
        let (rig, fixture, session) = slow(name, Duration::from_secs(20)).await;
        let inputs = fixture.inputs("b1");

        let page = rig.page.clone();
        let running = page.run(run_call(session, inputs.clone()));
        tokio::pin!(running);
        // Lets the first call reach the page before the second.
        let early = tokio::time::timeout(Duration::from_millis(200), &mut running).await;
        assert!(early.is_err(), "the slow model is not slow: {early:?}");

        let queued = run_call(session, inputs.clone());
        let (result, took) = cancelled(&rig, queued, Duration::from_millis(50)).await;
        println!("{name}: the queued call ended after {took:?}: {result:?}");
        assert_eq!(result, Err(LinkError::Cancelled));
        assert_eq!(rig.page.calls_in_flight(), 1, "it did not wait for the call that runs");
        assert!((&mut running).await.is_ok(), "the call before it is untouched");
        // The page passes the queued call over if the cancellation has reached its thread by now, which a busy machine can
        // delay; then it computes for nobody. So this time is printed, and no bound is put on it.
        let started = Instant::now();
        rig.page.echo(Backend::Wasm, &[], Duration::from_secs(20)).await.expect("an echo");
        println!("{name}: the engine was free after {:?}", started.elapsed());

        let (result, took) =
            cancelled(&rig, run_call(session, inputs.clone()), Duration::from_millis(200)).await;
        println!("{name}: the running call ended after {took:?}: {result:?}");
        assert_eq!(result, Err(LinkError::Cancelled));
        assert_eq!(rig.page.calls_in_flight(), 0);

        // A caller who goes away without a word leaves nothing either.
        let abandoned =
            tokio::time::timeout(Duration::from_millis(100), rig.page.run(run_call(session, inputs.clone())));
        assert!(abandoned.await.is_err());
        assert_eq!(rig.page.calls_in_flight(), 0);

        rig.run(session, inputs).await.expect("the session still runs");
        rig.end().await;
    }
}

#[tokio::test]
async fn a_deadline_names_its_phase() {
    let (rig, fixture, session) = slow(BrowserName::ChromiumHeadlessShell, Duration::from_secs(20)).await;
    let deadline = Instant::now() + Duration::from_millis(200);
    let late = rig.page.run(RunCall { deadline, ..run_call(session, fixture.inputs("b1")) }).await;
    assert!(matches!(late, Err(LinkError::TimedOut { phase: "running the model", .. })), "{late:?}");
    rig.end().await;
}

#[tokio::test]
async fn an_engine_that_does_not_let_go_is_started_anew() {
    for name in [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk] {
        let (rig, fixture, session) = slow(name, Duration::from_millis(50)).await;
        let inputs = fixture.inputs("b1");
        let other = rig.page.run(run_call(session, inputs.clone()));
        let (other, (given_up, took)) = tokio::join!(
            other,
            cancelled(&rig, run_call(session, inputs.clone()), Duration::from_millis(100)),
        );
        println!("{name}: given up after {took:?}: {given_up:?}; the other: {:?}", other.as_ref().map(drop));
        assert_eq!(given_up, Err(LinkError::Cancelled), "a queued call needs no reset");
        other.expect("the other call is untouched by that");

        let started = Instant::now();
        let (running, took) =
            cancelled(&rig, run_call(session, inputs.clone()), Duration::from_millis(100)).await;
        println!("{name}: the running call was given up after {took:?}");
        assert_eq!(running, Err(LinkError::Cancelled));
        assert!(took < Duration::from_millis(800), "the grace does not end the wait: {took:?}");

        let lost = rig.run(session, inputs.clone()).await;
        let Err(LinkError::Reported { kind, .. }) = lost else { panic!("{lost:?}") };
        assert_eq!(kind, FailureKind::NoSuchSession);

        // Waits for the new engine by itself.
        let (session, _) =
            rig.load(&fixture.model, Backend::Wasm).await.expect("a session on the new engine");
        println!("{name}: the new engine had the model {:?} after the call was begun", started.elapsed());
        rig.run(session, inputs).await.expect("the new engine runs");
        rig.end().await;
    }
}

#[tokio::test]
async fn a_load_that_is_given_up_leaves_no_session() {
    let rig = rig(BrowserName::Chromium, &[Backend::Wasm]).await;
    let fixture = fixture(SLOW);
    for after_ms in [1, 30, 120, 250] {
        let call = support::load_call(&fixture.model, Backend::Wasm);
        let (session, cancel) = (call.session, call.cancel.clone());
        let load = rig.page.load(call);
        tokio::pin!(load);
        let early = tokio::time::timeout(Duration::from_millis(after_ms), &mut load).await;
        cancel.cancel();
        let result = match early {
            Ok(done) => done,
            Err(_) => load.await,
        };
        println!("given up after {after_ms} ms: {:?}", result.as_ref().map(drop));
        // Either it was there in time, and then it is usable, or it is not there.
        let run = rig.run(session, fixture.inputs("b1")).await;
        assert_eq!(run.is_ok(), result.is_ok(), "{run:?}");
        if result.is_err() {
            assert_eq!(result.map(drop), Err(LinkError::Cancelled));
        }
    }
    rig.end().await;
}

#[tokio::test]
async fn pings_are_answered_while_a_model_runs() {
    for name in ENGINES {
        let (rig, fixture, session) = slow(name, Duration::from_secs(20)).await;
        let stop = CancellationToken::new();
        let pings = async {
            let mut took = Vec::new();
            let mut turns = tokio::time::interval(Duration::from_millis(20));
            while !stop.is_cancelled() {
                took.push(rig.page.ping(Duration::from_secs(5)).await.expect("a pong"));
                turns.tick().await;
            }
            took.sort();
            took
        };
        let run = async {
            let reply = rig.run(session, fixture.inputs("b1")).await.expect("a result");
            stop.cancel();
            reply.in_page_ms
        };
        let (took, in_page_ms) = tokio::join!(pings, run);
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "{name}: {} pings during {in_page_ms:.0} ms: median {median:?}, worst {worst:?}",
            took.len()
        );
        assert!(took.len() >= 5, "only {} pings were answered during the run", took.len());
        assert!(worst.as_secs_f64() * 1000.0 < in_page_ms, "a ping waited for the whole run: {worst:?}");
        rig.end().await;
    }
}
