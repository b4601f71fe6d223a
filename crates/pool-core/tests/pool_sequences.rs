//! Requests that name their worker, and steps of sequences whose caches stay there.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Cache, Membership, Model, Pool, PoolConfig, Preload, Request, RunError};
use pool_core_testing::{FakeWorker, identity_model, info_of, vector};
use telemetry::{EvictCause, Telemetry};
use tensor::{InputError, Signature};
use vocab::{Backend, BrowserName, CachesAt, SequenceId, Step};

/// A pool of two workers, whose numbers are checked all the time.
struct Rig {
    pool: Pool<FakeWorker>,
    workers: [(FakeWorker, Membership); 2],
}

fn rig() -> Rig {
    let mut config = PoolConfig::default();
    config.checks.interval = Duration::from_millis(1);
    config.checks.share = 1.0;
    let pool = Pool::new(config, Telemetry::new()).expect("a pool");
    let join = |browser| {
        let worker = FakeWorker::new();
        let membership = pool.join(info_of(browser, &[Backend::Wasm]), Arc::new(worker.clone()));
        (worker, membership)
    };
    let workers = [join(BrowserName::Chromium), join(BrowserName::Firefox)];
    Rig { pool, workers }
}

/// The identity of `x`, with a cache.
fn model() -> Arc<Model> {
    let mut model = Model::clone(&identity_model("stateful"));
    let mut past = model.signature.inputs[0].clone();
    past.name = "past".into();
    model.signature = Signature {
        inputs: model.signature.inputs.iter().cloned().chain([past]).collect(),
        outputs: model.signature.outputs.clone(),
    };
    model.caches = Arc::new([Cache {
        past: "past".into(),
        present: "present".into(),
        axis: Some(0),
        dtype: tensor::DType::F32,
    }]);
    Arc::new(model)
}

fn step(position: u64) -> Step {
    Step { sequence: SequenceId(7), epoch: 1, position }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_where_it_says_and_nowhere_else() {
    let rig = rig();
    let named = rig.workers[1].1.worker();
    for _ in 0..20 {
        let mut request = Request::new(identity_model("a"), [vector(&[1.0])]);
        request.worker = Some(named);
        assert_eq!(rig.pool.run(request).await.expect("an answer").report.worker, named);
    }
    assert_eq!(rig.workers[0].0.counts().runs, 0, "the other one has nothing to do");
    let [(_, stays), (_, leaves)] = rig.workers;
    leaves.leave(pool_core::LeaveCause::Dropped);
    let mut request = Request::new(identity_model("a"), [vector(&[1.0])]);
    request.worker = Some(named);
    let error = rig.pool.run(request).await.expect_err("it is gone");
    assert!(matches!(error, RunError::NoWorker(_)), "{error:?}");
    drop(stays);
}

#[tokio::test(start_paused = true)]
async fn steps_leave_out_what_the_session_keeps_and_are_never_computed_twice() {
    let rig = rig();
    let model = model();
    for (_, membership) in &rig.workers {
        let mut preload = Preload::new(Arc::clone(&model));
        preload.worker = Some(membership.worker());
        rig.pool.preload(preload).await.expect("it loads");
    }
    let mut past = vector(&[0.0]);
    past.name = "past".into();
    let ask = |inputs: Vec<tensor::NamedTensor>, position| {
        let mut request = Request::new(Arc::clone(&model), inputs);
        request.worker = Some(rig.workers[0].1.worker());
        request.step = Some(step(position));
        request
    };
    let first = rig.pool.run(ask(vec![vector(&[1.0]), past.clone()], 0)).await.expect("an answer");
    assert_eq!(first.caches, Some(CachesAt { epoch: 1, position: 1, length: 1 }));
    let missing = rig.pool.run(ask(vec![vector(&[1.0])], 0)).await.expect_err("the first brings its caches");
    assert!(matches!(missing, RunError::InvalidInput(InputError::Missing { .. })), "{missing:?}");
    let twice = rig.pool.run(ask(vec![vector(&[1.0]), past], 1)).await.expect_err("the session has it");
    assert!(matches!(twice, RunError::InvalidInput(InputError::Unexpected { .. })), "{twice:?}");
    for position in 1..30 {
        let done = rig.pool.run(ask(vec![vector(&[1.0])], position)).await.expect("an answer");
        assert_eq!(done.caches.expect("it was a step").position, position + 1);
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    let runs = || rig.workers.each_ref().map(|(worker, _)| worker.counts().runs);
    assert_eq!(runs(), [30, 0]);
    // Requests without a step are computed again, elsewhere, with checks as often as they may be.
    let mut past = vector(&[0.0]);
    past.name = "past".into();
    for _ in 0..30 {
        let mut request = ask(vec![vector(&[1.0]), past.clone()], 0);
        request.step = None;
        rig.pool.run(request).await.expect("an answer");
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    assert!(runs()[1] > 0, "{:?}", runs());
}

#[tokio::test(start_paused = true)]
async fn caches_and_sessions_are_given_up_where_they_are() {
    let rig = rig();
    let model = model();
    let [(first, at_first), (second, at_second)] = &rig.workers;
    for membership in [at_first, at_second] {
        let mut preload = Preload::new(Arc::clone(&model));
        preload.worker = Some(membership.worker());
        rig.pool.preload(preload).await.expect("it loads");
    }
    rig.pool.release(at_first.worker(), model.hash, SequenceId(7)).await.expect("it is released");
    assert_eq!((first.counts().releases, second.counts().releases), (1, 0));
    rig.pool
        .release(at_first.worker(), identity_model("other").hash, SequenceId(7))
        .await
        .expect("nothing to do");
    assert_eq!(first.counts().releases, 1);

    assert!(rig.pool.unload(at_first.worker(), model.hash));
    assert!(!rig.pool.unload(at_first.worker(), model.hash), "it is going already");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((first.counts().loaded, second.counts().loaded), (0, 1));
    let evicted = rig.pool.telemetry().snapshot().counters;
    let evicted = serde_json::to_value(evicted).expect("JSON");
    let name = format!("sessions_evicted.{}", EvictCause::Requested.as_str());
    assert_eq!(evicted[&name], 1, "{evicted}");
}

#[tokio::test(start_paused = true)]
async fn prospects_are_ordered_by_experience_and_know_whose_memory_it_is() {
    let rig = rig();
    let model = identity_model("a");
    let of = |ours: &[&Model]| rig.pool.prospects(&model, &[], ours);
    assert_eq!(of(&[]).len(), 2);
    let budget = of(&[])[0].free_bytes;
    let mut preload = Preload::new(Arc::clone(&model));
    preload.worker = Some(rig.workers[0].1.worker());
    rig.pool.preload(preload).await.expect("it loads");
    let loaded = rig.workers[0].1.worker();
    let free = |ours: &[&Model]| {
        let all = of(ours);
        all.iter().find(|prospect| prospect.worker == loaded).expect("it is there").free_bytes
    };
    assert_eq!(free(&[]), budget, "others would make room");
    assert_eq!(free(&[&model]), budget - model.memory_estimate_bytes);
    assert!(rig.pool.prospects(&model, &[Backend::WebGpu], &[]).is_empty(), "nobody offers it");
}
