//! The data connections: frames both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tensor::frame::{self, Limits};
use vocab::Backend;

use super::{ServerState, auth};
use crate::config::BridgeLimits;
use crate::link::{Connection, Engine, Outbound, Outgoing, PageEnd, PageState};
use crate::protocol::{SUBPROTOCOL, close_code};

/// Bytes that are read from a socket at once. Frames of a megabyte and more are common.
const READ_BUFFER: usize = 256 * 1024;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// `GET /ws/data/{backend}`
pub(super) async fn upgrade(
    State(state): State<Arc<ServerState>>,
    Path(backend): Path<String>,
    Query(query): Query<DataQuery>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let launch = match auth::admit_data(&state, &headers, &upgrade) {
        Ok(launch) => launch,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(backend) = backend.parse::<Backend>() else {
        return (StatusCode::NOT_FOUND, "no such backend").into_response();
    };
    let Some(page) = launch.current.lock().clone() else {
        return (StatusCode::CONFLICT, "the control connection comes first").into_response();
    };
    let limit = usize::try_from(state.config.limits.frame.max_frame_bytes).unwrap_or(usize::MAX);
    let tracked = state.tasks.token();
    upgrade
        .max_message_size(limit)
        .max_frame_size(limit)
        .read_buffer_size(READ_BUFFER)
        .protocols([SUBPROTOCOL])
        .on_upgrade(move |socket| async move {
            let limits = page.limits().clone();
            serve(&page, backend, query.engine, socket, &limits).await;
            drop(tracked);
        })
}

/// What a page says in the address of a data connection.
#[derive(Debug, Deserialize)]
pub(super) struct DataQuery {
    /// What it calls the engine, so that this is known again when its connection was lost. Empty: it never is.
    #[serde(default)]
    engine: String,
}

/// How a data connection ended.
enum DataEnd {
    /// It broke: the engine may come back over another one.
    Broke,
    /// The page closed it.
    Closed,
    /// The page broke the protocol.
    Violation(String),
    /// The host ended the engine.
    Over,
}

async fn serve(
    page: &Arc<PageState>,
    backend: Backend,
    name: String,
    socket: WebSocket,
    limits: &BridgeLimits,
) {
    let engine = match page.known_engine(backend, &name) {
        Some(engine) => Some(engine),
        // One that was given up does not come back: its sessions are not known any more.
        None if page.is_over(&name) => None,
        None => Some(Engine::new(backend, name)).filter(|engine| page.attach(engine)),
    };
    let connection = engine.as_ref().and_then(|engine| engine.connect());
    let (Some(engine), Some(Connection { outbound, number })) = (engine, connection) else {
        refuse(socket).await;
        return;
    };
    let (sink, stream) = socket.split();
    // Both halves run in this one task: when either ends, the other is dropped, and nothing outlives the connection.
    let end = tokio::select! {
        end = write(sink, outbound, &engine) => end,
        end = read(stream, &engine, &limits.frame) => end,
    };
    let newest = engine.disconnect(number);
    if let DataEnd::Violation(what) = end {
        page.end(PageEnd::Protocol { what });
    } else if !newest {
        // A newer connection of the same engine has taken over.
        return;
    } else if matches!(end, DataEnd::Broke) && !engine.name().is_empty() {
        tokio::select! {
            biased;
            () = engine.closed() => {}
            () = engine.connected_after(number) => return,
            () = tokio::time::sleep(limits.resume_grace) => {}
        }
    }
    page.detach(&engine);
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbound: Outbound, engine: &Engine) -> DataEnd {
    let mut over = false;
    loop {
        let outgoing = tokio::select! {
            outgoing = outbound.recv() => outgoing,
            () = engine.closed() => {
                over = true;
                None
            }
        };
        let Some(Outgoing { id, frame }) = outgoing else { break };
        engine.sending(id);
        if sink.send(Message::Binary(frame)).await.is_err() {
            return DataEnd::Broke;
        }
    }
    // Where a newer connection has taken over, or the engine is over, the page need not try again.
    let _ = tokio::time::timeout(FAREWELL, async {
        let _ = sink.send(farewell("superseded")).await;
        sink.close().await
    })
    .await;
    if over { DataEnd::Over } else { DataEnd::Broke }
}

/// Tells the page that it need not try again.
fn farewell(reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code: close_code::GOODBYE, reason: Utf8Bytes::from_static(reason) }))
}

async fn refuse(mut socket: WebSocket) {
    let _ = tokio::time::timeout(FAREWELL, socket.send(farewell("this engine is over"))).await;
}

/// Reads until the connection ends.
async fn read(mut stream: SplitStream<WebSocket>, engine: &Engine, limits: &Limits) -> DataEnd {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => match frame::decode(bytes, limits) {
                Ok(frame) => {
                    let id = frame.id;
                    if !engine.deliver(frame) {
                        tracing::trace!(id, "an answer that nobody waits for any more");
                    }
                }
                Err(error) => return DataEnd::Violation(format!("unreadable frame: {error}")),
            },
            Ok(Message::Text(_)) => return DataEnd::Violation("text on a data connection".to_owned()),
            Ok(Message::Close(_)) => return DataEnd::Closed,
            Err(_) => return DataEnd::Broke,
            Ok(_) => {}
        }
    }
    DataEnd::Broke
}
