//! The control connection: hello, heartbeat, verdicts, the end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use rand::RngExt as _;
use telemetry::GuestRefusal;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use vocab::{Backend, DeviceKind};

use super::registry::{Granted, LaunchRef, Terms};
use super::{ServerState, auth};
use crate::guest::{Wish, plain};
use crate::link::{Page, PageEnd, PageParts, PageState, Presence};
use crate::protocol::{FromPage, Hello, PROTOCOL_VERSION, SUBPROTOCOL, ToPage, Verdict, close_code};

/// How long a page may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Bytes of a control message; the longest is a verdict with an adapter's description.
const MESSAGE: usize = 64 * 1024;
/// The code that a close frame without one stands for (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;
/// Threads that a guest's page may say that it has, where it is free to choose.
const MOST_THREADS: u32 = 64;
/// Control messages that may wait for the socket.
const OUTBOUND: usize = 16;

/// `GET /ws/control`
pub(super) async fn upgrade(
    State(state): State<Arc<ServerState>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let shown = match auth::admit_control(&state, &headers, &upgrade) {
        Ok(shown) => shown,
        Err(refusal) => return refusal.into_response(),
    };
    let tracked = state.tasks.token();
    upgrade.max_message_size(MESSAGE).protocols([SUBPROTOCOL]).on_upgrade(move |socket| async move {
        serve(&state, &shown, socket).await;
        drop(tracked);
    })
}

async fn serve(state: &ServerState, shown: &auth::Shown, mut socket: WebSocket) {
    let launch = &shown.launch;
    let hello = match read_hello(&mut socket).await {
        Ok(hello) => hello,
        Err(what) => {
            tracing::warn!(page = launch.label, what, "refused a page");
            if launch.guest.is_none() {
                launch.ready.send_replace(Some(Err(PageEnd::Protocol { what: what.to_owned() })));
            }
            close(socket, close_code::PROTOCOL, what).await;
            return;
        }
    };
    let (control, outbound) = mpsc::channel(OUTBOUND);
    let known = {
        let current = launch.current.lock();
        let known = current
            .as_ref()
            .filter(|page| page.end_cause().is_none() && hello.resume.as_deref() == Some(page.name()));
        known.map(Arc::clone)
    };
    let granted = match grant(state, shown, known.is_some()) {
        Ok(granted) => granted,
        Err((code, why)) => {
            state.refused(GuestRefusal::ReplayedToken);
            tracing::warn!(page = launch.label, why, "refused a page");
            close(socket, code, why).await;
            return;
        }
    };
    let (page, visit) = match known {
        Some(page) => {
            let number = page.presence().connect(control);
            // For as long as it was away, it could not be heard.
            page.heard();
            tracing::debug!(page = launch.label, "a page is back");
            (page, Visit { number, resumed: true, granted })
        }
        None => {
            let page = Arc::new(PageState::new(page_parts(state, launch, hello, control)));
            if let Some(before) = launch.current.lock().replace(Arc::clone(&page)) {
                before.end(PageEnd::Replaced);
            }
            (page, Visit { number: 1, resumed: false, granted })
        }
    };
    let mut end = converse(state, launch, &page, &mut socket, outbound, &visit).await;
    if let Ended::Page(PageEnd::Disconnected { code: None }) = &end {
        end = if page.presence().disconnect(visit.number) {
            absence(state, launch, &page, &visit).await
        } else {
            Ended::Superseded
        };
    }
    let Ended::Page(end) = end else {
        // Another connection of this page has taken over.
        return;
    };
    tracing::debug!(page = launch.label, %end, "page ended");
    if let PageEnd::Protocol { .. } = &end {
        // Such a page does not come again, so whoever waits for it need not wait any longer.
        launch.ready.send_replace(Some(Err(end.clone())));
    }
    let code = match &end {
        PageEnd::Closed | PageEnd::Replaced | PageEnd::Left => close_code::GOODBYE,
        PageEnd::PutOut { .. } => close_code::PUT_OUT,
        PageEnd::Protocol { .. } => close_code::PROTOCOL,
        _ => close_code::START_AGAIN,
    };
    let reason = end.to_string();
    page.end(end);
    close(socket, code, &reason).await;
}

/// Gives a guest's page what it needs for this connection and the next. `Ok(None)` for a page of a launch.
///
/// A guest has one page at a time: another one that shows a good token, a copy of the first, is refused as long as that is
/// connected.
fn grant(
    state: &ServerState,
    shown: &auth::Shown,
    resumed: bool,
) -> Result<Option<Granted>, (u16, &'static str)> {
    let launch = &shown.launch;
    if launch.guest.is_none() {
        return Ok(None);
    }
    if !resumed && launch.is_connected() {
        return Err((close_code::ANOTHER, "another tab is connected as this guest"));
    }
    let granted = state.registry.grant(launch, &shown.token, resumed);
    granted.map(Some).ok_or((close_code::OVER, "this token has let a tab in already"))
}

/// One connection of a page.
struct Visit {
    number: u64,
    resumed: bool,
    /// What a guest's page is given.
    granted: Option<Granted>,
}

/// How a connection of a page ended.
enum Ended {
    /// The page is over.
    Page(PageEnd),
    /// It goes on over a newer connection.
    Superseded,
}

/// Waits for a page that lost its connection to come back.
async fn absence(state: &ServerState, launch: &LaunchRef, page: &PageState, visit: &Visit) -> Ended {
    let grace = state.config.limits.resume_grace;
    tracing::debug!(page = launch.label, ?grace, "a page has lost its connection");
    tokio::select! {
        biased;
        () = state.stop.cancelled() => Ended::Page(PageEnd::Closed),
        end = page.ended() => Ended::Page(end),
        () = page.presence().after(visit.number) => Ended::Superseded,
        () = tokio::time::sleep(grace) => Ended::Page(PageEnd::Disconnected { code: None }),
    }
}

fn page_parts(
    state: &ServerState,
    launch: &LaunchRef,
    hello: Hello,
    control: mpsc::Sender<ToPage>,
) -> PageParts {
    let told = launch.version.lock().clone();
    let (mut limits, mut memory_budget_bytes) =
        (state.config.limits.clone(), state.config.memory_budget_bytes);
    let mut hello = hello;
    if let (Some(_), Some(join)) = (&launch.guest, &state.join) {
        memory_budget_bytes = memory_budget_bytes.min(join.config.memory_bytes);
        limits.wasm_heap_bytes = limits.wasm_heap_bytes.min(join.config.memory_bytes);
        hello.user_agent = plain(&hello.user_agent, 200);
    }
    let durations = launch.guest.as_ref().map_or(&state.durations, |guest| &guest.durations);
    PageParts {
        label: launch.label.clone(),
        browser: launch.terms.browser,
        browser_version: if told.is_empty() { hello.user_agent.clone() } else { told },
        hello,
        name: rand::rng().random::<[u8; 16]>().iter().map(|byte| format!("{byte:02x}")).collect(),
        presence: Presence::new(control),
        limits,
        store: Arc::clone(&state.store),
        durations: Arc::clone(durations),
        memory_budget_bytes,
        slots: state.config.slots,
    }
}

async fn read_hello(socket: &mut WebSocket) -> Result<Hello, &'static str> {
    let message = tokio::time::timeout(HELLO, socket.recv()).await.map_err(|_| "no hello in time")?;
    let Some(Ok(Message::Text(text))) = message else { return Err("the first message is not a hello") };
    match serde_json::from_str(&text) {
        Ok(FromPage::Hello(hello)) if hello.protocol == PROTOCOL_VERSION => Ok(hello),
        Ok(FromPage::Hello(_)) => Err("the page speaks another version of the protocol: reload it"),
        _ => Err("the first message is not a hello"),
    }
}

/// Speaks with the page until something ends it.
async fn converse(
    state: &ServerState,
    launch: &LaunchRef,
    page: &Arc<PageState>,
    socket: &mut WebSocket,
    mut outbound: mpsc::Receiver<ToPage>,
    visit: &Visit,
) -> Ended {
    let disconnected = |code| Ended::Page(PageEnd::Disconnected { code });
    let limits = page.limits();
    let Terms { browser: _, backends, devices, threads, software_graphics } = &launch.terms;
    let welcome = ToPage::Welcome {
        worker: launch.label.clone(),
        page: page.name().to_owned(),
        resumed: visit.resumed,
        backends: backends.clone(),
        devices: devices.clone(),
        threads: *threads,
        software_graphics: *software_graphics,
        max_frame_bytes: limits.frame.max_frame_bytes,
        wasm_heap_bytes: limits.wasm_heap_bytes,
        silence_ms: u64::try_from(limits.heartbeat_timeout.as_millis()).unwrap_or(u64::MAX),
        runtime: format!("/runtime/{}/", state.config.runtime.version),
        token: visit.granted.as_ref().map(|granted| granted.token.clone()),
        key: visit.granted.as_ref().map(|granted| granted.key.clone()),
    };
    if !send(socket, &welcome).await {
        return disconnected(None);
    }
    let mut ticks = tokio::time::interval(limits.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_answer = Instant::now();
    let mut last_tick = last_answer;
    loop {
        tokio::select! {
            biased;
            () = state.stop.cancelled() => return Ended::Page(PageEnd::Closed),
            end = page.ended() => return Ended::Page(end),
            () = page.presence().after(visit.number) => return Ended::Superseded,
            // Before the clock: after a pause of ours an answer may lie here already.
            message = socket.recv() => {
                // Whatever the page says shows that it is there.
                last_answer = Instant::now();
                page.heard();
                state.registry.arrived(launch);
                match message {
                    Some(Ok(Message::Text(text))) => if let Some(end) = receive(launch, page, &text) { return Ended::Page(end) },
                    Some(Ok(Message::Close(frame))) => return disconnected(code_of(frame)),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return disconnected(None),
                }
            }
            Some(message) = outbound.recv() => if !send(socket, &message).await {
                return disconnected(None);
            },
            _ = ticks.tick() => {
                let now = Instant::now();
                let late = now.saturating_duration_since(last_tick).saturating_sub(limits.heartbeat);
                last_tick = now;
                if late > limits.heartbeat {
                    // We were stopped, or the whole machine was suspended: nobody asked meanwhile, and nobody listened.
                    last_answer = (last_answer + late).min(now);
                }
                if last_answer.elapsed() > limits.heartbeat_timeout {
                    let after_ms = u64::try_from(limits.heartbeat_timeout.as_millis()).unwrap_or(u64::MAX);
                    return Ended::Page(PageEnd::Silent { after_ms });
                }
                if !send(socket, &ToPage::Ping { n: page.pings().next() }).await {
                    return disconnected(None);
                }
            }
        }
    }
}

/// The code that says why the page closed a connection; `None` where it is going to try another one.
fn code_of(frame: Option<CloseFrame>) -> Option<u16> {
    Some(frame.map_or(NO_CODE, |frame| frame.code)).filter(|&code| code != close_code::TRY_ANOTHER)
}

/// Takes one message in. Returns how the page ends, if the message ends it.
fn receive(launch: &LaunchRef, page: &Arc<PageState>, text: &Utf8Bytes) -> Option<PageEnd> {
    tracing::trace!(page = launch.label, %text, "received");
    let message = match serde_json::from_str(text) {
        Ok(message) => message,
        Err(error) => {
            return Some(PageEnd::Protocol { what: format!("unreadable control message: {error}") });
        }
    };
    match message {
        FromPage::Hello(_) => return Some(PageEnd::Protocol { what: "a second hello".to_owned() }),
        FromPage::Pong { n } => page.pings().answered(n),
        FromPage::Engine { backend, verdict } => {
            tracing::debug!(page = launch.label, %backend, ?verdict, "probed");
            let Some(verdict) = believable(launch, backend, verdict) else { return None };
            page.record_verdict(backend, verdict);
        }
        FromPage::Ready => {
            // A page that is back says it again, in case it was lost; it is no other page for that.
            launch.ready.send_if_modified(|ready| {
                let known = matches!(ready, Some(Ok(known)) if Arc::ptr_eq(&known.state, page));
                if !known {
                    *ready = Some(Ok(Page { state: Arc::clone(page) }));
                }
                !known
            });
        }
        FromPage::Memory { heaps, page_bytes } => page.memory().told(&heaps, page_bytes),
        FromPage::EngineReset { backend, reason } => {
            page.memory().anew(backend);
            tracing::warn!(page = launch.label, %backend, reason, "an engine was ended and is started anew");
            page.drop_engine(backend);
        }
        FromPage::EngineLost { backend, reason } => {
            return Some(PageEnd::EngineLost { reason: format!("{backend}: {reason}") });
        }
        FromPage::Fault { message } => {
            let message = plain(&message, 300);
            tracing::warn!(page = launch.label, message, "the page reports a fault")
        }
        FromPage::Pause { cause } => wish(launch, Wish::Pause(cause)),
        FromPage::Work => wish(launch, Wish::Work),
        FromPage::Leave => wish(launch, Wish::Leave),
        FromPage::Unknown => tracing::debug!(page = launch.label, %text, "unknown control message"),
    }
    None
}

/// A guest says what it wants. A page of our own has no wishes.
fn wish(launch: &LaunchRef, wish: Wish) {
    let Some(guest) = &launch.guest else { return };
    guest.wish.send_if_modified(|known| {
        // Who has said goodbye has said it.
        let news = *known != wish && *known != Wish::Leave;
        if news {
            *known = wish;
        }
        news
    });
}

/// What counts of a verdict. Of a guest's, only what was asked for, and its texts are a stranger's.
fn believable(launch: &LaunchRef, backend: Backend, verdict: Verdict) -> Option<Verdict> {
    if launch.guest.is_none() {
        return Some(verdict);
    }
    if !launch.terms.backends.contains(&backend) {
        return None;
    }
    let most = if launch.terms.threads == 0 { MOST_THREADS } else { launch.terms.threads };
    let device = |device: DeviceKind| match device {
        DeviceKind::Unknown(text) => DeviceKind::Unknown(plain(&text, 40)),
        known => known,
    };
    Some(Verdict {
        reason: verdict.reason.map(|reason| plain(&reason, 300)),
        adapter: verdict.adapter.map(|adapter| plain(&adapter, 80)),
        threads: verdict.threads.min(most),
        device_requested: device(verdict.device_requested),
        device_effective: verdict.device_effective.map(device),
        ..verdict
    })
}

async fn send(socket: &mut WebSocket, message: &ToPage) -> bool {
    match serde_json::to_string(message) {
        Ok(text) => socket.send(Message::Text(text.into())).await.is_ok(),
        Err(error) => {
            tracing::error!(%error, "a control message could not be written");
            false
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &str) {
    // A close frame carries at most 123 bytes of reason.
    let reason: String = reason.chars().take(100).collect();
    let farewell = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
}
