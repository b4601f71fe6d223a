//! What a link tells of the parts of a run reaches the caller, counted from the acceptance of the request.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{
    LinkError, LoadCall, LoadReport, Marks, Pool, PoolConfig, Preload, Request, RunCall, RunReply, WorkerLink,
};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use tokio::time::Instant;
use vocab::{FailureKind, SequenceId, SessionId};

const LOAD: Duration = Duration::from_millis(300);
const RUN: Duration = Duration::from_millis(40);

/// A worker that takes a millisecond for the way there, and two for the way back.
struct Timed(FakeWorker);

impl WorkerLink for Timed {
    async fn load(&self, call: LoadCall) -> Result<LoadReport, LinkError> {
        self.0.load(call).await
    }

    async fn run(&self, call: RunCall) -> Result<RunReply, LinkError> {
        let ms = Duration::from_millis;
        let sent = Instant::now();
        tokio::time::sleep(ms(1)).await;
        let started = Instant::now();
        let reply = self.0.run(call).await?;
        let ended = Instant::now();
        tokio::time::sleep(ms(2)).await;
        let received = Instant::now();
        let marks = Marks { sent, arrived: started, started, ended, answered: ended, received };
        Ok(RunReply { marks: Some(marks), ..reply })
    }

    async fn unload(&self, session: SessionId) -> Result<(), LinkError> {
        self.0.unload(session).await
    }

    async fn release(&self, session: SessionId, sequence: SequenceId) -> Result<(), LinkError> {
        self.0.release(session, sequence).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_tells_when_the_parts_were() {
    let pool = Pool::new(PoolConfig::default(), Telemetry::new()).expect("the configuration is valid");
    let worker = FakeWorker::new();
    worker.always_load(Step::Slow(LOAD));
    worker.script_run([Step::FailAfter(RUN, FailureKind::DeviceLost)]);
    worker.always_run(Step::Slow(RUN));
    let _member = pool.join(info(), Arc::new(Timed(worker)));
    let request = || Request::new(identity_model("a"), [vector(&[1.0])]);

    let report = pool.run(request()).await.expect("the second attempt is answered").report;
    assert_eq!(report.attempts, 2);
    let timeline = report.timeline.expect("the link told");
    assert_eq!(timeline.dispatched_ms, report.queue_ms, "the attempt that gave the result counts");
    assert_eq!(timeline.received_ms, report.total_ms);

    let report = pool.run(request()).await.expect("it is answered").report;
    let json = serde_json::to_value(report.timeline).expect("it serialises");
    let wanted = serde_json::json!({
        "dispatched_ms": 0.0, "sent_ms": 0.0, "arrived_ms": 1.0, "started_ms": 1.0,
        "ended_ms": 41.0, "answered_ms": 41.0, "received_ms": 43.0,
    });
    assert_eq!(json, wanted);

    let there = pool.preload(Preload::new(identity_model("a"))).await.expect("it is loaded");
    assert_eq!(there.timeline, None);
    let there = serde_json::to_value(there).expect("it serialises");
    assert_eq!(there.get("timeline"), None);
    pool.shutdown().await;
}
