//! A pool whose workers are drained, warmed and relieved.

use std::sync::Arc;
use std::time::Duration;

use pool_core::core::Stance;
use pool_core::{LeaveCause, Pool, PoolConfig, Preload, Request};
use pool_core_testing::{FakeWorker, Step, identity_model, info, vector};
use telemetry::Telemetry;
use vocab::WorkerId;

fn pool() -> Pool<FakeWorker> {
    Pool::new(PoolConfig::default(), Telemetry::new()).expect("the configuration is valid")
}

fn request(value: f32) -> Request {
    Request::new(identity_model("a"), [vector(&[value])])
}

fn stance(pool: &Pool<FakeWorker>, worker: WorkerId) -> Stance {
    let stats = pool.stats();
    stats.core.workers.iter().find(|known| known.worker == worker).expect("it is there").stance
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_runs_and_for_nothing_else() {
    let pool = pool();
    let slow = FakeWorker::new();
    slow.always_run(Step::Slow(Duration::from_secs(5)));
    let member = pool.join(info(), Arc::new(slow.clone()));
    let running = tokio::spawn({
        let pool = pool.clone();
        async move { pool.run(request(1.0)).await }
    });
    while pool.stats().core.running == 0 {
        tokio::task::yield_now().await;
    }
    let drained = pool.drain_worker(member.worker());
    assert!(tokio::time::timeout(Duration::from_secs(4), drained).await.is_err(), "it still runs");
    assert_eq!(stance(&pool, member.worker()), Stance::Draining, "whoever gives up waiting changes nothing");

    let next = FakeWorker::new();
    let other = pool.join(info(), Arc::new(next.clone()));
    let completed = pool.run(request(2.0)).await.expect("the other one takes it");
    assert_eq!(completed.report.worker, other.worker());
    pool.drain_worker(member.worker()).await;
    let first = running.await.expect("no panic").expect("it ended in its own time");
    assert_eq!((first.report.worker, first.report.attempts), (member.worker(), 1));

    member.put_out(LeaveCause::Recycled);
    member.closed().await;
    pool.drain_worker(member.worker()).await;
    assert!(slow.violations().is_empty() && next.violations().is_empty());
    pool.shutdown().await;
    assert_eq!(pool.stats().tasks, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_warmed_takes_over_with_what_it_was_given() {
    let pool = pool();
    let (old, new) = (FakeWorker::new(), FakeWorker::new());
    let first = pool.join(info(), Arc::new(old.clone()));
    pool.run(request(1.0)).await.expect("it runs");
    let held = pool.held(first.worker());
    assert_eq!(held.iter().map(|held| held.model.name.as_str()).collect::<Vec<_>>(), ["a"]);

    let spare = pool.join_warming(info(), Arc::new(new.clone()));
    let mut preload = Preload::new(Arc::clone(&held[0].model));
    preload.worker = Some(spare.worker());
    pool.preload(preload).await.expect("it loads");
    assert_eq!(pool.run(request(2.0)).await.expect("it runs").report.worker, first.worker());
    pool.serve(spare.worker());
    pool.drain_worker(first.worker()).await;
    let taken = pool.run(request(3.0)).await.expect("it runs").report;
    assert_eq!((taken.worker, taken.load_ms), (spare.worker(), None));
    assert!(pool.relieve(first.worker()).is_some(), "what is drained may be given up");
    assert!(pool.relieve(first.worker()).is_none(), "there was one");
    pool.shutdown().await;
    assert!(old.violations().is_empty() && new.violations().is_empty());
}
