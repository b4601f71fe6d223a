//! What one hop of a tensor between two worker pages costs: through the bridge, and by ways that lead from page to page
//! without it. All of a pair's ways are measured in one run, in turns, so that what the machine does meanwhile happens to
//! each of them.
//!
//! | way | what is measured | what one hop is |
//! |---|---|---|
//! | `bridge` | `Page::echo`: host to page and back | the whole round trip, because a hop is page to host and host to page; of two browsers, the mean of both echoes |
//! | `broadcast` | ping-pong over a `BroadcastChannel`, which clones the bytes; tabs of one browser only | half of the round trip |
//! | `rtc-64k`, `rtc-256k` | ping-pong over an ordered, reliable `WebRTC` data channel, in chunks of at most that size | half of the round trip |
//! | `rtc-worker` | as `rtc-256k`, from a worker behind one page to one behind the other | half of the round trip |
//!
//! The bridge's connection ends in the worker that computes. A peer connection ends in the page, so `rtc-worker` is what a
//! pool would get of it; the rows before say what the channel itself takes. Messages are echoed when they are whole.
//!
//! Each browser is measured with two tabs of its own, and with a second browser of each engine. `.local` names in the
//! candidates are replaced by addresses of this machine: nobody resolves them in a container.
//!
//! Flags: `--json FILE`, `--rounds N` (default 40; the largest size takes half of them), `--only TEXT` (pairs whose name
//! contains it).

#[path = "support/stats.rs"]
mod stats;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use provision::{Home, Installed, detect, find_runtime};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stats::{Failure, flag, quantile, say, spread, write_json};
use tensor::{DType, NamedTensor, Shape, Tensor};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use vocab::{Backend, BrowserName};
use webnn_bridge::{Bridge, BridgeConfig, LaunchSpec, LaunchedBrowser, Page};

/// A size and how many round trips in a row make one measurement: clocks in pages are coarse.
const SIZES: [(&str, usize, u32); 5] = [
    ("1.5 KiB", 1536, 16),
    ("24 KiB", 24 << 10, 16),
    ("192 KiB", 192 << 10, 4),
    ("1 MiB", 1 << 20, 2),
    ("4 MiB", 4 << 20, 1),
];
/// From here on half of the rounds have to do.
const LARGE: usize = 4 << 20;
const WARM_UP: usize = 5;
/// Rounds of 1 MiB before anything is measured.
const SETTLING: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long two pages may take to connect.
const CONNECT: Duration = Duration::from_secs(20);

const BRIDGE: &str = "bridge";
const BROADCAST: &str = "broadcast";
const THROUGH_WORKER: &str = "rtc-worker";
/// The data channels and the size of their chunks.
const CHANNELS: [(&str, usize); 3] =
    [("rtc-64k", 64 << 10), ("rtc-256k", 256 << 10), (THROUGH_WORKER, 256 << 10)];

const PAGE: &str = "<!doctype html><title>one end</title><script type=module src=/hops.js></script>";
const SCRIPT: &str = include_str!("support/hops.js");

/// What a page is told to do.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Order<'a> {
    Broadcast { name: &'a str, echoes: bool },
    Peer { channels: BTreeMap<&'a str, usize>, through_worker: &'a str, echoes: bool },
    Description { kind: &'a str, sdp: &'a str },
    Measure { way: &'a str, bytes: usize, times: u32, through_worker: bool },
}

/// What a page says.
#[derive(Deserialize, Debug)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Report {
    Hello {
        isolated: bool,
    },
    Ready,
    /// The browser has no such thing.
    Absent {
        what: String,
    },
    Described {
        sdp: String,
    },
    Open {
        max_message_size: f64,
        route: String,
    },
    Measured {
        elapsed: f64,
        hidden: bool,
    },
    Failed {
        what: String,
    },
}

/// A bare page, which is one end of the ways from page to page.
struct End(WebSocket);

impl End {
    async fn order(&mut self, order: &Order<'_>) -> Result<(), Failure> {
        Ok(self.0.send(Message::text(serde_json::to_string(order)?)).await?)
    }

    /// What the page says next; that it failed is an error.
    async fn report(&mut self, limit: Duration) -> Result<Report, Failure> {
        let text = async {
            loop {
                match self.0.recv().await.ok_or("the bare page closed its connection")?? {
                    Message::Text(text) => return Ok::<_, Failure>(text),
                    _ => continue,
                }
            }
        };
        let text = timeout(limit, text).await.map_err(|_| format!("no answer within {limit:?}"))??;
        match serde_json::from_str(&text)? {
            Report::Failed { what } => Err(what.into()),
            Report::Absent { what } => Err(format!("this browser has no {what}").into()),
            report => Ok(report),
        }
    }
}

/// A way that a pair may have, or why it has not.
struct Way {
    name: &'static str,
    why_not: Option<String>,
    ms: Vec<f64>,
}

/// Where the two pages are.
struct Pair {
    label: String,
    first: Installed,
    /// Another browser for the second page; nothing where both are tabs of the first.
    second: Option<Installed>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let rounds: usize = flag("--rounds").map_or(Ok(40), |rounds| rounds.parse())?;
    let only = flag("--only").unwrap_or_default();
    let home = Home::locate()?;
    let bridge = Bridge::start(BridgeConfig::new(find_runtime(&home)?)).await?;
    let (address, mut ends) = serve_pages().await?;
    let mut rows = Vec::new();
    for pair in pairs(&home).into_iter().filter(|pair| pair.label.contains(&only)) {
        let (first, page) = launch(&bridge, &pair.first).await?;
        let mut pages = vec![page];
        let second = match &pair.second {
            Some(installed) => {
                let (second, page) = launch(&bridge, installed).await?;
                pages.push(page);
                Some(second)
            }
            None => None,
        };
        let url = format!("http://{address}/");
        let ping = open_end(&first, &url, &mut ends).await?;
        let echo = open_end(second.as_ref().unwrap_or(&first), &url, &mut ends).await?;
        let measured = compare(&pair, &pages, ping, echo, rounds).await;
        first.end().await;
        if let Some(second) = second {
            second.end().await;
        }
        rows.extend(measured?);
    }
    bridge.shutdown().await;
    write_json(&json!({ "bench": "hops", "rounds": rounds, "rows": rows }))
}

/// Two tabs of each browser, then each two browsers.
fn pairs(home: &Home) -> Vec<Pair> {
    let found: Vec<Installed> =
        BrowserName::ALL.iter().filter_map(|&name| detect(home, name).found().cloned()).collect();
    let tabs = found.iter().map(|first| Pair {
        label: format!("tabs of {}", first.name),
        first: first.clone(),
        second: None,
    });
    let browsers = found.iter().enumerate().flat_map(|(at, first)| {
        found[at..].iter().map(|second| Pair {
            label: format!("{} and {}", first.name, second.name),
            first: first.clone(),
            second: Some(second.clone()),
        })
    });
    tabs.chain(browsers).collect()
}

async fn launch(bridge: &Bridge, installed: &Installed) -> Result<(LaunchedBrowser, Page), Failure> {
    let mut spec = LaunchSpec::installed(installed.clone());
    spec.backends = vec![Backend::Wasm];
    Ok(bridge.launch(spec).await?)
}

async fn open_end(
    browser: &LaunchedBrowser,
    url: &str,
    ends: &mut mpsc::Receiver<WebSocket>,
) -> Result<End, Failure> {
    browser.open_tab(url).await?;
    let socket = timeout(TIMEOUT, ends.recv()).await?.ok_or("no bare page can connect any more")?;
    let mut end = End(socket);
    match end.report(TIMEOUT).await? {
        Report::Hello { isolated: true } => Ok(end),
        other => Err(format!("a bare page is not isolated as ours are: {other:?}").into()),
    }
}

/// A server with the bare page, which has the headers of ours; each connection of it comes out of the channel.
async fn serve_pages() -> Result<(SocketAddr, mpsc::Receiver<WebSocket>), Failure> {
    let (sender, receiver) = mpsc::channel(1);
    let connect = move |upgrade: WebSocketUpgrade| {
        let sender = sender.clone();
        async move {
            upgrade.on_upgrade(move |socket| async move {
                let _ = sender.send(socket).await;
            })
        }
    };
    let file = |kind: &'static str, text: &'static str| {
        let headers = [
            (CONTENT_TYPE.as_str(), kind),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        get(move || async move { (headers, text).into_response() })
    };
    let app = Router::new()
        .route("/", file("text/html", PAGE))
        .route("/hops.js", file("text/javascript", SCRIPT))
        .route("/end", get(connect));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    // The process ends with the benchmark, and this task with it.
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, receiver))
}

async fn compare(
    pair: &Pair,
    pages: &[Page],
    mut ping: End,
    mut echo: End,
    rounds: usize,
) -> Result<Vec<Value>, Failure> {
    let label = &pair.label;
    let broadcast = if pair.second.is_none() {
        open_broadcast(label, &mut ping, &mut echo).await.err().map(|why| why.to_string())
    } else {
        Some("two browsers have no channel in common".to_owned())
    };
    let (route, rtc) = match timeout(CONNECT, open_peers(&mut ping, &mut echo)).await {
        Ok(Ok(route)) => (Some(route), None),
        Ok(Err(why)) => (None, Some(why.to_string())),
        Err(_) => (None, Some(format!("not connected within {CONNECT:?}"))),
    };
    say(&format!("{label}: {}", route.as_deref().or(rtc.as_deref()).unwrap_or_default()));
    let mut ways = vec![(BRIDGE, None), (BROADCAST, broadcast)];
    ways.extend(CHANNELS.map(|(name, _)| (name, rtc.clone())));
    let mut rows = Vec::new();
    if ways.iter().all(|(name, why_not)| *name == BRIDGE || why_not.is_some()) {
        // With nothing to compare it with, the bridge alone says nothing.
        let why_not: BTreeMap<_, _> = ways.into_iter().filter(|(name, _)| *name != BRIDGE).collect();
        rows.push(json!({ "pair": label, "why_not": why_not }));
        return Ok(rows);
    }
    // A browser that has just started is busy with itself for some seconds.
    in_turns(pages, &mut ping, &ways, (1 << 20, 1), SETTLING).await?;
    for (size, bytes, times) in SIZES {
        let rounds = if bytes >= LARGE { rounds.div_ceil(2) } else { rounds };
        let (measured, hidden) = in_turns(pages, &mut ping, &ways, (bytes, times), rounds)
            .await
            .map_err(|why| format!("{label}, {size}: {why}"))?;
        let cells: Vec<Value> = measured.iter().map(|way| cell(way, &measured)).collect();
        say(&line(size, &cells));
        rows.push(json!({
            "pair": label, "size": size, "bytes": bytes, "route": route, "tab_hidden": hidden, "ways": cells,
        }));
    }
    Ok(rows)
}

/// Measures every way there is, in turns, and tells whether the page that measured was hidden.
async fn in_turns(
    pages: &[Page],
    ping: &mut End,
    ways: &[(&'static str, Option<String>)],
    (bytes, times): (usize, u32),
    rounds: usize,
) -> Result<(Vec<Way>, bool), Failure> {
    let tensor = Tensor::new(DType::U8, Shape::from([bytes as u64]), payload(bytes))?;
    let sent = [NamedTensor { name: "x".into(), tensor }];
    let mut measured: Vec<Way> =
        ways.iter().map(|(name, why_not)| Way { name, why_not: why_not.clone(), ms: Vec::new() }).collect();
    let mut hidden = false;
    for round in 0..rounds + WARM_UP {
        for way in measured.iter_mut().filter(|way| way.why_not.is_none()) {
            let ms = if way.name == BRIDGE {
                through_bridge(pages, &sent, times).await?
            } else {
                let (ms, was_hidden) = between_pages(ping, way.name, bytes, times)
                    .await
                    .map_err(|why| format!("{}: {why}", way.name))?;
                hidden |= was_hidden;
                ms
            };
            if round >= WARM_UP {
                way.ms.push(ms);
            }
        }
    }
    Ok((measured, hidden))
}

async fn open_broadcast(name: &str, ping: &mut End, echo: &mut End) -> Result<(), Failure> {
    for (end, echoes) in [(ping, false), (echo, true)] {
        end.order(&Order::Broadcast { name, echoes }).await?;
        end.report(TIMEOUT).await?;
    }
    Ok(())
}

/// Connects the two pages, and gives the route that they found.
async fn open_peers(ping: &mut End, echo: &mut End) -> Result<String, Failure> {
    let peer =
        |echoes| Order::Peer { channels: BTreeMap::from(CHANNELS), through_worker: THROUGH_WORKER, echoes };
    echo.order(&peer(true)).await?;
    echo.report(CONNECT).await?;
    ping.order(&peer(false)).await?;
    let offer = description(ping).await?;
    echo.order(&Order::Description { kind: "offer", sdp: &offer }).await?;
    let answer = description(echo).await?;
    ping.order(&Order::Description { kind: "answer", sdp: &answer }).await?;
    let mut routes = Vec::new();
    for end in [ping, echo] {
        match end.report(CONNECT).await? {
            Report::Open { max_message_size, route } => {
                routes.push(format!("{route} (messages up to {max_message_size:.0} bytes)"));
            }
            other => return Err(format!("instead of a connection: {other:?}").into()),
        }
    }
    Ok(routes.join("; other end: "))
}

async fn description(end: &mut End) -> Result<String, Failure> {
    match end.report(CONNECT).await? {
        Report::Described { sdp } => Ok(with_addresses(&sdp)),
        other => Err(format!("instead of a description: {other:?}").into()),
    }
}

/// The description with addresses of this machine for each `.local` name, behind which a browser hides which one it uses.
fn with_addresses(sdp: &str) -> String {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    // Nothing is sent: connecting a datagram socket only chooses the address that would send.
    let outward = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| {
        socket.connect(("198.51.100.1", 9))?;
        socket.local_addr()
    });
    addresses.extend(outward.ok().map(|address| address.ip()));
    let mut rewritten = String::new();
    for line in sdp.lines() {
        let name = line
            .split(' ')
            .nth(4)
            .filter(|name| line.starts_with("a=candidate:") && name.ends_with(".local"));
        match name {
            Some(name) => rewritten
                .extend(addresses.iter().map(|address| line.replace(name, &address.to_string()) + "\r\n")),
            None => rewritten.extend([line, "\r\n"]),
        }
    }
    rewritten
}

fn payload(bytes: usize) -> Bytes {
    (0..bytes).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>().into()
}

/// One hop through the bridge, in milliseconds.
async fn through_bridge(pages: &[Page], sent: &[NamedTensor], times: u32) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for page in pages {
        let started = Instant::now();
        let mut back = Vec::new();
        for _ in 0..times {
            back = page.echo(Backend::Wasm, sent, TIMEOUT).await?;
        }
        sum += started.elapsed().as_secs_f64() * 1e3;
        if back.first().map(|named| named.tensor.data()) != sent.first().map(|named| named.tensor.data()) {
            return Err("the bridge gave other bytes back".into());
        }
    }
    Ok(sum / f64::from(times) / pages.len() as f64)
}

/// One hop from page to page, in milliseconds, and whether the tab was hidden.
async fn between_pages(ping: &mut End, way: &str, bytes: usize, times: u32) -> Result<(f64, bool), Failure> {
    ping.order(&Order::Measure { way, bytes, times, through_worker: way == THROUGH_WORKER }).await?;
    match ping.report(TIMEOUT).await? {
        Report::Measured { elapsed, hidden } => Ok((elapsed / f64::from(2 * times), hidden)),
        other => Err(format!("instead of a measurement: {other:?}").into()),
    }
}

/// A way's figures, compared with the bridge's of the same rounds.
fn cell(way: &Way, all: &[Way]) -> Value {
    if let Some(why_not) = &way.why_not {
        return json!({ "way": way.name, "why_not": why_not });
    }
    let bridge = all.iter().find(|way| way.name == BRIDGE).map_or(&[][..], |way| &way.ms);
    let ratios: Vec<f64> = way.ms.iter().zip(bridge).map(|(ours, bridge)| ours / bridge).collect();
    json!({
        "way": way.name,
        "ms": spread(&way.ms),
        "ratio_of_medians": quantile(&way.ms, 0.5) / quantile(bridge, 0.5),
        "ratio_quartiles": spread(&ratios),
    })
}

/// A line for people: each way's median, and its ratio to the bridge's.
fn line(size: &str, cells: &[Value]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| {
            let name = cell["way"].as_str().unwrap_or_default();
            match (cell["ms"][1].as_f64(), cell["ratio_of_medians"].as_f64()) {
                (Some(ms), Some(ratio)) => format!("{name} {ms:8.3} ms ×{ratio:5.2}"),
                _ => format!("{name} {:>18}", "none"),
            }
        })
        .collect();
    format!("  {size:>7}: {}", cells.join("   "))
}
