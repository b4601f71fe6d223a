//! What the bridge adds to a bare socket: tensors echoed by the worker page against bytes echoed by a page of three lines
//! over a WebSocket of its own, in the same browser, in turns. `cargo xtask bench transport` runs it.
//!
//! Flags: `--json FILE`, `--rounds N` (default 40; the largest size takes a quarter of them).

#[path = "support/stats.rs"]
mod stats;

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Html;
use axum::routing::get;
use bytes::Bytes;
use provision::{Detection, Home, detect, find_runtime};
use serde_json::{Value, json};
use stats::{Failure, flag, quantile, say, spread, write_json};
use tensor::{DType, NamedTensor, Shape, Tensor};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_bridge::{Bridge, BridgeConfig, LaunchSpec, Page};

const SIZES: [(&str, usize); 4] =
    [("64 B", 64), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("16 MiB", 16 << 20)];
const WARM_UP: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Larger than any message of this benchmark.
const LIMIT: usize = 64 << 20;

/// The bare page, whole.
const BARE_PAGE: &str = "<!doctype html><title>bare echo</title><script>\
    const socket = new WebSocket(`ws://${location.host}/echo`); socket.binaryType = 'arraybuffer';\
    socket.onmessage = (event) => socket.send(event.data);</script>";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds: usize = flag("--rounds").map_or(Ok(40), |rounds| rounds.parse())?;
    let home = Home::locate()?;
    let bridge = Bridge::start(BridgeConfig::new(find_runtime(&home)?)).await?;
    let (address, mut bare_sockets) = serve_bare_page().await?;
    let mut rows = Vec::new();
    for &name in BrowserName::ALL {
        let Detection::Found(installed) = detect(&home, name) else { continue };
        let mut spec = LaunchSpec::installed(installed);
        spec.backends = vec![Backend::Wasm];
        let (browser, page) = bridge.launch(spec).await?;
        browser.open_tab(&format!("http://{address}/")).await?;
        let bare = tokio::time::timeout(TIMEOUT, bare_sockets.recv())
            .await?
            .ok_or("the bare page did not connect")?;
        let measured = compare(name, &page, bare, rounds).await;
        browser.end().await;
        rows.extend(measured?);
    }
    bridge.shutdown().await;
    write_json(&json!({ "bench": "transport", "rounds": rounds, "rows": rows }))
}

/// A server with the bare page; each connection of it comes out of the channel.
async fn serve_bare_page() -> Result<(std::net::SocketAddr, mpsc::Receiver<WebSocket>), Failure> {
    let (sender, receiver) = mpsc::channel(1);
    let echo = move |upgrade: WebSocketUpgrade| {
        let sender = sender.clone();
        async move {
            upgrade.max_message_size(LIMIT).max_frame_size(LIMIT).on_upgrade(move |socket| async move {
                let _ = sender.send(socket).await;
            })
        }
    };
    let app = Router::new().route("/", get(|| async { Html(BARE_PAGE) })).route("/echo", get(echo));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    // The process ends with the benchmark, and this task with it.
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, receiver))
}

async fn compare(
    name: BrowserName,
    page: &Page,
    mut bare: WebSocket,
    rounds: usize,
) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for (label, bytes) in SIZES {
        let payload = Bytes::from((0..bytes).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>());
        let rounds = if bytes > 4 << 20 { rounds.div_ceil(4) } else { rounds };
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds + WARM_UP {
            // In turns, so that whatever the machine does meanwhile happens to both.
            let a = through_bridge(page, &payload).await?;
            let b = through_bare(&mut bare, &payload).await?;
            if round >= WARM_UP {
                ours.push(a);
                theirs.push(b);
                ratios.push(a / b);
            }
        }
        let ratio = quantile(&ours, 0.5) / quantile(&theirs, 0.5);
        say(&format!(
            "{name:24} {label:>7}: bridge {:8.3} ms   bare {:8.3} ms   ratio of medians {ratio:.3}",
            quantile(&ours, 0.5),
            quantile(&theirs, 0.5)
        ));
        rows.push(json!({
            "browser": name, "size": label, "bytes": bytes, "bridge_ms": spread(&ours), "bare_ms": spread(&theirs),
            "ratio_of_medians": ratio, "ratio_quartiles": spread(&ratios),
        }));
    }
    Ok(rows)
}

async fn through_bridge(page: &Page, payload: &Bytes) -> Result<f64, Failure> {
    let tensor = Tensor::new(DType::U8, Shape::from([payload.len() as u64]), payload.clone())?;
    let sent = [NamedTensor { name: "x".into(), tensor }];
    let started = Instant::now();
    let back = page.echo(Backend::Wasm, &sent, TIMEOUT).await?;
    let elapsed = started.elapsed();
    if back.first().map(|named| named.tensor.data()) != Some(payload) {
        return Err("the bridge gave other bytes back".into());
    }
    Ok(elapsed.as_secs_f64() * 1e3)
}

async fn through_bare(socket: &mut WebSocket, payload: &Bytes) -> Result<f64, Failure> {
    let started = Instant::now();
    socket.send(Message::Binary(payload.clone())).await?;
    loop {
        match socket.recv().await.ok_or("the bare page closed its connection")?? {
            Message::Binary(back) => {
                let elapsed = started.elapsed();
                if back != *payload {
                    return Err("the bare socket gave other bytes back".into());
                }
                return Ok(elapsed.as_secs_f64() * 1e3);
            }
            _ => continue,
        }
    }
}
