//! What holds while many ask: the way down, full queues, deadlines, models that come and go.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use pool_core_testing::Step;
use service::Batching;
use support::{Bench, infer, put};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_way_down_what_was_taken_is_answered_and_what_comes_is_told_when_to_come_again() {
    let bench = Bench::start(|_, _| {}).await;
    bench.worker.always_run(Step::Slow(Duration::from_millis(300)));
    let mut taken = bench.ask(20, "{}").await;
    bench.service.close();
    let (status, body, after) = bench.infer("{}").await;
    assert_eq!((status, after.as_deref()), (503, Some("1")), "{body}");
    assert_eq!(
        bench.client.get(bench.url("/v2/health/ready")).send().await.expect("an answer").status(),
        503
    );
    assert_eq!(bench.client.get(bench.url("/v2/health/live")).send().await.expect("an answer").status(), 200);
    assert_eq!(bench.service.drain(Duration::from_secs(30)).await, 0);
    while let Some(answer) = taken.join_next().await {
        assert_eq!(answer.expect("no panic").0, 200);
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_says_how_many_are_left() {
    let bench = Bench::start(|_, _| {}).await;
    bench.worker.always_run(Step::UntilCancelled);
    let mut asked = bench.ask(1, "{}").await;
    assert_eq!(bench.service.drain(Duration::from_millis(50)).await, 1);
    bench.pool.abort();
    assert_eq!(asked.join_next().await.expect("one").expect("no panic").0, 503);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_answers_at_once_with_when_to_come_again() {
    let bench = Bench::start(|_, pool| pool.queue_capacity = 1).await;
    bench.worker.always_run(Step::Slow(Duration::from_millis(400)));
    let mut asked = JoinSet::new();
    for _ in 0..12 {
        let (client, url) = (bench.client.clone(), bench.url("/v2/models/a/infer"));
        asked.spawn(async move { infer(&client, &url, "{}").await });
    }
    let mut statuses = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let (status, body, after) = answer.expect("no panic");
        assert_eq!(after.is_some(), status == 503, "{body}");
        statuses.push(status);
    }
    assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_fires_where_the_request_is() {
    let bench = Bench::start(|_, _| {}).await;
    bench.worker.always_run(Step::Slow(Duration::from_secs(5)));
    // The worker has two slots, and the third gives up first: once a slot is free, it would run.
    let mut asked = bench.ask(2, r#"{"timeout": 600000}"#).await;
    while bench.pool.stats().core.running < 2 {
        tokio::task::yield_now().await;
    }
    let (client, url) = (bench.client.clone(), bench.url("/v2/models/a/infer"));
    asked.spawn(async move { infer(&client, &url, r#"{"timeout": 100000}"#).await });
    let mut bodies = String::new();
    while let Some(answer) = asked.join_next().await {
        let (status, body, _) = answer.expect("no panic");
        assert_eq!(status, 504, "{body}");
        bodies.push_str(&body);
    }
    assert!(bodies.contains("while running") && bodies.contains("while waiting for a worker"), "{bodies}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_server_takes_are_turned_away() {
    let bench = Bench::start(|config, _| config.limits.max_requests = 2).await;
    bench.worker.always_run(Step::Slow(Duration::from_millis(500)));
    let mut asked = bench.ask(2, "{}").await;
    let (status, body, after) = bench.infer("{}").await;
    assert_eq!((status, after.is_some()), (503, true), "{body}");
    // Looks at the server are no work.
    assert_eq!(bench.client.get(bench.url("/metrics")).send().await.expect("an answer").status(), 200);
    while let Some(answer) = asked.join_next().await {
        assert_eq!(answer.expect("no panic").0, 200);
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_replaced_again_and_again_loses_no_request() {
    let bench = Bench::start(|config, _| {
        let mut batching = Batching::default();
        batching.max_batch = 4;
        config.batching = batching;
    })
    .await;
    bench.worker.always_run(Step::Slow(Duration::from_millis(2)));
    let stop = tokio_util::sync::CancellationToken::new();
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (client, url, stop) = (bench.client.clone(), bench.url("/v2/models/a/infer"), stop.clone());
        let answered = Arc::clone(&answered);
        asking.spawn(async move {
            while !stop.is_cancelled() {
                let (status, body, _) = infer(&client, &url, "{}").await;
                assert_eq!(status, 200, "{body}");
                answered.fetch_add(1, Relaxed);
            }
        });
    }
    for round in 0..30 {
        put(bench.folder.path(), "a/model.onnx", &format!("content {round}"));
        bench.service.refresh().await.expect("the folder is there");
        let loaded =
            bench.client.post(bench.url("/v2/repository/models/a/load")).send().await.expect("an answer");
        assert_eq!(loaded.status(), 200);
        // A file that cannot be read changes nothing.
        put(bench.folder.path(), "a/model.onnx", "broken");
        bench.service.refresh().await.expect("the folder is there");
        // Each round is one under load, however slow the machine is.
        let before = answered.load(Relaxed);
        let more = async {
            while answered.load(Relaxed) < before + 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), more).await.expect("requests are answered");
    }
    stop.cancel();
    while let Some(asked) = asking.join_next().await {
        asked.expect("every request was answered");
    }
    assert!(bench.worker.violations().is_empty(), "{:?}", bench.worker.violations());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unloaded_model_says_so_until_it_is_loaded() {
    let bench = Bench::start(|_, _| {}).await;
    let post = async |path: &str| {
        let answer = bench.client.post(bench.url(path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(post("/v2/repository/models/a/unload").await.0, 200);
    bench.service.refresh().await.expect("the folder is there");
    let (status, body, after) = bench.infer("{}").await;
    assert!(status == 503 && body.contains("unloaded") && after.is_some(), "{status} {body}");
    let (_, index) = post("/v2/repository/index").await;
    assert!(index.contains("UNAVAILABLE") && index.contains("unloaded"), "{index}");
    assert_eq!(post("/v2/repository/models/a/load").await.0, 200);
    assert_eq!(bench.infer("{}").await.0, 200);
    assert_eq!(post("/v2/repository/models/nothing/load").await.0, 404);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_long_or_too_many_take_no_memory() {
    let bench = Bench::start(|config, _| {
        (config.limits.max_body_bytes, config.limits.max_buffered_bytes) = (64 << 10, 96 << 10);
    })
    .await;
    let url = bench.url("/v2/models/a/infer");
    let long = bench.client.post(&url).body(vec![b' '; 65 << 10]).send().await.expect("an answer");
    assert_eq!(long.status(), 413);
    // Without an announced length it is noticed when it gets too long.
    let pieces = futures_util::stream::iter((0..80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 10])));
    let long = bench.client.post(&url).body(reqwest::Body::wrap_stream(pieces)).send().await;
    assert!(long.is_err() || long.is_ok_and(|answer| answer.status() == 413));
    assert_eq!(bench.infer("{}").await.0, 200);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_is_counted() {
    let bench = Bench::start(|_, _| {}).await;
    bench.worker.always_run(Step::UntilCancelled);
    let mut asked = bench.ask(1, "{}").await;
    asked.abort_all();
    while bench.service.going() > 0 {
        tokio::task::yield_now().await;
    }
    let stats = bench.client.get(bench.url("/v2/models/a/stats")).send().await.expect("an answer");
    let stats = stats.text().await.expect("text");
    assert!(stats.contains(r#""fail":{"count":1,"#), "{stats}");
    let metrics = bench.client.get(bench.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let line = r#"webnn_pool_http_requests_total{route="/v2/models/{model}/infer",status="499"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    bench.end().await;
}
