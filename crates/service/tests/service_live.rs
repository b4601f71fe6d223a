//! The feed of the live page: what comes first, what comes at once, who may read it, and how it ends.

mod support;

use std::time::Duration;

use pool_core_testing::Step;
use serde_json::Value;
use service::TokenSpec;
use support::Bench;
use telemetry::LeaveCause;

/// How long a test waits for what has to come.
const LIMIT: Duration = Duration::from_secs(10);

/// One message.
#[derive(Debug)]
struct Message {
    id: String,
    event: String,
    data: Value,
}

/// A stream that is read.
struct Reader {
    answer: reqwest::Response,
    buffer: String,
}

impl Reader {
    async fn open(bench: &Bench, headers: &[(&'static str, &str)]) -> Self {
        let mut asked = bench.client.get(bench.url("/v2/events"));
        for (name, value) in headers {
            asked = asked.header(*name, *value);
        }
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, buffer: String::new() }
    }

    /// The next message; `None` where the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(at) = self.buffer.find("\n\n") {
                let text: String = self.buffer.drain(..at + 2).collect();
                let field = |name: &str| {
                    text.lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                // Comments have no data.
                if text.lines().any(|line| line.starts_with("data:")) {
                    let data = serde_json::from_str(&field("data:")).expect("JSON");
                    return Some(Message { id: field("id:"), event: field("event:"), data });
                }
                continue;
            }
            let chunk = tokio::time::timeout(LIMIT, self.answer.chunk()).await.expect("something comes");
            let chunk = chunk.expect("the stream is whole")?;
            self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next message of a kind.
    async fn wait(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Message {
        loop {
            let message = self.next().await.expect("the stream goes on");
            if message.event == event && wanted(&message.data) {
                return message;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_first_and_frames_tell_what_was_asked() {
    let bench = Bench::start(|_, _| {}).await;
    let mut reader = Reader::open(&bench, &[]).await;
    let first = reader.next().await.expect("a snapshot");
    assert_eq!(first.event, "snapshot");
    assert_eq!(first.data["about"]["plots"], false);
    assert_eq!(first.data["about"]["news"][0]["event"], "worker_joined");
    let frame = &first.data["frame"];
    assert_eq!((&frame["state"], &frame["models"][0]["model"]), (&"ready".into(), &"a".into()));
    assert_eq!(frame["feed"]["watchers"], 1);
    let metrics = bench.client.get(bench.url("/metrics")).send().await.expect("an answer");
    assert!(metrics.text().await.expect("text").contains("\nwebnn_pool_live_watchers 1\n"));
    bench.worker.always_run(Step::Slow(Duration::from_millis(20)));
    let answers = futures_util::future::join_all((0..4).map(|_| bench.infer("{}"))).await;
    assert!(answers.iter().all(|(status, ..)| *status == 200), "{answers:?}");
    let frame = reader.wait("frame", |frame| frame["traffic"]["answered"] == 4).await.data;
    let model = &frame["models"][0];
    assert!(model["per_second"].as_f64().is_some_and(|rate| rate > 0.1), "{model}");
    assert!(model["p50_ms"].as_f64().is_some_and(|ms| ms > 15.0), "{model}");
    assert!(frame["workers"][0]["served"].as_u64().is_some_and(|served| served > 0), "{frame}");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_is_told_at_once_and_the_state_follows() {
    let bench = Bench::start(|_, _| {}).await;
    let mut reader = Reader::open(&bench, &[]).await;
    reader.next().await.expect("a snapshot");
    bench.membership.put_out(LeaveCause::Crashed);
    let news = reader.wait("news", |_| true).await.data;
    assert_eq!((&news["event"], &news["cause"]), (&"worker_left".into(), &"crashed".into()));
    assert!(news["of_browser"].is_string(), "{news}");
    // The frame behind the news is of the same moment, not of the next second.
    let next = reader.next().await.expect("a frame");
    assert_eq!((next.event.as_str(), &next.data["state"]), ("frame", &"down".into()));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_where_it_was() {
    let bench = Bench::start(|_, _| {}).await;
    let mut reader = Reader::open(&bench, &[]).await;
    let snapshot = reader.next().await.expect("a snapshot");
    let seen = reader.next().await.expect("a frame");
    drop(reader);
    let mut again = Reader::open(&bench, &[("last-event-id", &seen.id)]).await;
    let next = again.next().await.expect("what came behind it");
    let number = |id: &str| id.split_once('-').and_then(|(_, n)| n.parse::<u64>().ok()).expect("an id");
    assert_eq!((next.event.as_str(), number(&next.id)), ("frame", number(&seen.id) + 1));
    // Whose id is of another server gets all that there is.
    let mut other = Reader::open(&bench, &[("last-event-id", "00000000-1")]).await;
    assert_eq!(other.next().await.expect("a snapshot").event, snapshot.event);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_may_look_and_they_do_not_hold_up_the_end() {
    let bench = Bench::start(|config, _| config.limits.max_watchers = 2).await;
    let mut readers = [Reader::open(&bench, &[]).await, Reader::open(&bench, &[]).await];
    let refused = bench.client.get(bench.url("/v2/events")).send().await.expect("an answer");
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().ok()), (503, Some("1")));
    let [first, _] = &mut readers;
    first.next().await.expect("a snapshot");
    bench.service.close();
    let bye = first.wait("bye", |_| true).await;
    assert_eq!(bye.data["reason"], "shutdown");
    assert!(first.next().await.is_none(), "the stream is over");
    assert_eq!(bench.service.drain(Duration::ZERO).await, 0);
    assert_eq!(bench.client.get(bench.url("/v2/events")).send().await.expect("an answer").status(), 503);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_everybody_and_the_feed_for_those_with_a_token() {
    let tokens = |secret: &str| Some(vec![TokenSpec::of_secret("one", secret)]);
    let bench = Bench::start(|config, _| config.tokens = tokens("right")).await;
    let status = async |path: &str| {
        let answer = bench.client.get(bench.url(path)).send().await.expect("an answer");
        (answer.status().as_u16(), answer)
    };
    for (path, want) in [
        ("/", 200),
        ("/live/live.js", 200),
        ("/live/live.css", 200),
        ("/live/nothing.js", 404),
        ("/live/%ff", 404),
        ("/live/..%2f..%2fCargo.toml", 404),
        ("/live/plots/uPlot.esm.js", 404),
        ("/v2/events", 401),
    ] {
        let (status, answer) = status(path).await;
        assert_eq!(status, want, "{path}");
        if status == 200 {
            let policy = answer.headers()["content-security-policy"].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        }
    }
    let mut reader = Reader::open(&bench, &[("authorization", "Bearer right")]).await;
    reader.next().await.expect("a snapshot");
    bench.service.replace_tokens(tokens("another")).expect("they make sense");
    let bye = reader.wait("bye", |_| true).await;
    assert_eq!(bye.data["reason"], "unauthorized");
    assert!(reader.next().await.is_none(), "the stream is over");
    bench.end().await;
}
