//! A day of the live page's feed, made up: for the page's memory, and for names that nobody should have. No pool is behind it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use provision::{Home, find_plots};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fixture::repository;

/// What no page may take for markup.
pub const MARKUP: &str = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";

/// Workers, models and breakers in each frame.
const WORKERS: u64 = 16;
const MODELS: u64 = 48;
const BREAKERS: u64 = 64;
/// When the day begins, in milliseconds since 1970.
const BEGIN: u64 = 1_760_000_000_000;

/// A server of the real page's files, whose feed is made up.
pub struct MadeUp {
    pub address: SocketAddr,
    sent: Arc<AtomicUsize>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
struct Shared {
    frames: u64,
    sent: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl MadeUp {
    /// Streams so many seconds of feed, as fast as whoever reads them takes them, and then one frame a second.
    pub async fn start(frames: u64) -> Self {
        let (sent, stop) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let shared = Shared { frames, sent: Arc::clone(&sent), stop: stop.clone() };
        let app = Router::new()
            .route("/", get(|| async { file(repository().join("crates/service/page/index.html")).await }))
            .route("/live/{file}", get(page))
            .route("/live/plots/{file}", get(plots))
            .route("/v2/events", get(events))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("an address");
        let (tasks, over) = (TaskTracker::new(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                served = axum::serve(listener, app) => served.expect("it serves"),
                () = over.cancelled() => {}
            }
        });
        Self { address, sent, stop, tasks }
    }

    /// Bytes that were sent.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn page(Path(name): Path<String>) -> Response {
    file(repository().join("crates/service/page").join(name)).await
}

async fn plots(Path(name): Path<String>) -> Response {
    let folder = find_plots(&Home::locate().expect("a home")).expect("run cargo xtask setup");
    file(folder.join(name)).await
}

async fn file(path: PathBuf) -> Response {
    let kind = match path.extension().and_then(|end| end.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    let contents = tokio::fs::read(&path).await.expect("a file of the page");
    ([(header::CONTENT_TYPE, kind)], contents).into_response()
}

async fn events(State(shared): State<Shared>) -> Response {
    let body = futures_util::stream::unfold((0_u64, shared), |(second, shared)| async move {
        if second >= shared.frames {
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
                () = shared.stop.cancelled() => return None,
            }
        }
        let text = message(second);
        shared.sent.fetch_add(text.len(), Ordering::Relaxed);
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), (second + 1, shared)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

/// What comes in one second.
fn message(second: u64) -> String {
    let event =
        |name: &str, number: u64, data: &Value| format!("id: 1-{number}\nevent: {name}\ndata: {data}\n\n");
    let frame = frame(second);
    if second == 0 {
        let about = json!({ "server": { "name": "webnn-pool", "version": "0" }, "plots": true, "skipped": 0, "news": [] });
        return event("snapshot", 1, &json!({ "about": about, "frame": frame, "affinities": affinities() }));
    }
    let mut text = String::new();
    if second % 20 == 0 {
        for news in troubles(second) {
            text += &event("news", second, &news);
        }
    }
    text += &event("frame", second, &frame);
    text
}

fn wave(second: u64, of: u64) -> f64 {
    let at = second as f64 / 600.0 + of as f64;
    40.0 + 30.0 * at.sin() + 8.0 * (at * 37.0).sin()
}

/// Every 20 seconds a worker dies and is replaced, so that its number never stays.
fn generation(second: u64, worker: u64) -> u64 {
    worker + WORKERS * ((second / 20 + WORKERS - worker) / WORKERS)
}

fn model(number: u64) -> String {
    if number == 0 { MARKUP.to_owned() } else { format!("model-{number}-of-a-name-that-is-not-short") }
}

fn frame(second: u64) -> Value {
    let sessions: Vec<Value> = (0..6)
        .map(|n| json!({ "model": model(n), "backend": "wasm", "phase": "ready", "running": 0, "uses": second, "memory_bytes": 9_000_000 }))
        .collect();
    let workers: Vec<Value> = (0..WORKERS)
        .map(|worker| {
            json!({
                "worker": generation(second, worker), "browser": "chromium", "version": "156.0.8078.79", "stance": "serving",
                "breaker": "closed", "pressure": "normal", "running": 1, "slots": 2, "served": second * 7,
                "per_second": wave(second, worker), "memory_bytes": 54_000_000, "memory_budget_bytes": 2_000_000_000_u64,
                "resident_bytes": 400_000_000, "sessions_left_out": 0, "sessions": sessions,
                "backends": [{ "backend": "wasm", "device": "cpu", "adapter": null, "software": false, "threads": 2 }],
            })
        })
        .collect();
    let models: Vec<Value> = (0..MODELS)
        .map(|number| {
            json!({
                "model": model(number), "version": "1", "per_second": wave(second, number), "failed_per_second": 0.0,
                "p50_ms": wave(second, number), "p95_ms": wave(second, number) * 2.0, "answered": second * 40, "failed": 3,
            })
        })
        .collect();
    let breakers: Vec<Value> = (0..BREAKERS)
        .map(|number| json!({ "of": "arm", "model": model(number % MODELS), "browser": if number < MODELS { "firefox" } else { "chromium" }, "backend": "wasm", "state": if (second + number) % 50 == 0 { "open" } else { "closed" }, "health": 0.9 }))
        .collect();
    json!({
        "unix_ms": BEGIN + second * 1_000, "state": "ready", "reasons": [MARKUP],
        "traffic": {
            "going": 3, "queued": second % 5, "running": 4, "per_second": wave(second, 0) * 10.0, "failed_per_second": 0.2,
            "refused_per_second": 0.0, "p50_ms": wave(second, 1), "p95_ms": wave(second, 1) * 2.0,
            "answered": second * 400, "failed": second, "refused": 2,
        },
        "workers": workers, "recoveries": [], "models": models, "breakers": breakers, "shards": [flow(second)],
        "left_out": { "workers": 0, "models": 0, "breakers": 0, "shards": 0 },
        "feed": { "watchers": 1, "skipped": 0, "lost": 0 },
    })
}

fn flow(second: u64) -> Value {
    let stage = |number: u64| json!({ "stage": number, "label": if number == 1 { MARKUP } else { "layers" }, "shard": number, "weight_bytes": 9_000_000, "worker": 3, "browser": "firefox", "backend": "wasm", "run_ms": wave(second, number), "transfer_ms": 1.5 });
    json!({
        "model": "llama", "strategy": "layer", "stages": (0..4).map(stage).collect::<Vec<_>>(), "answers": second, "errors": 0,
        "recovered": 0, "last_ms": 20.0, "per_second": 4.0,
        "hops": [{ "from": null, "to": 0, "bytes": 24 }, { "from": 0, "to": 1, "bytes": 4_096 + second % 9 },
            { "from": 1, "to": 2, "bytes": 4_096 }, { "from": 2, "to": 3, "bytes": 4_096 }, { "from": 3, "to": null, "bytes": 2_048 }],
    })
}

fn affinities() -> Value {
    let row = |name: &str| json!({ "model_type": name, "browser": "firefox", "backend": "wasm", "confidence": 0.93, "score": 0.8, "samples": 4_000, "observed": true });
    json!({ "runs": 12_000, "rows": [row("text"), row("vision"), row(MARKUP)] })
}

fn troubles(second: u64) -> Vec<Value> {
    let lost = generation(second - 1, (second / 20) % WORKERS);
    let first = second / 20 * 5;
    let news = |n: u64, event: &str, rest: Value| {
        let mut whole = json!({ "seq": first + n, "unix_ms": BEGIN + second * 1_000, "event": event, "of_browser": "chromium", "worker": lost });
        if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
            whole.extend(rest);
        }
        whole
    };
    vec![
        news(0, "worker_left", json!({ "cause": "crashed" })),
        news(1, "recovery_started", json!({ "browser": "chromium", "fault": "process_dead" })),
        news(
            2,
            "rung_tried",
            json!({ "fault": "process_dead", "rung": "restart", "outcome": "worked", "took_ms": 900.0 }),
        ),
        news(
            3,
            "recovery_ended",
            json!({ "fault": "process_dead", "end": "recovered", "rung": "restart", "took_ms": 950.0 }),
        ),
        news(4, "orphan", json!({ "operation": "unload", "detail": MARKUP })),
    ]
}
