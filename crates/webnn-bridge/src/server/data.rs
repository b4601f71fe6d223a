//! The data connections: frames both ways.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tensor::frame::{self, Limits};
use vocab::Backend;

use super::{ServerState, auth};
use crate::link::{Engine, Outbound, PageEnd, PageState};
use crate::protocol::SUBPROTOCOL;

/// Bytes that are read from a socket at once. Frames of a megabyte and more are common.
const READ_BUFFER: usize = 256 * 1024;

/// `GET /ws/data/{backend}`
pub(super) async fn upgrade(
    State(state): State<Arc<ServerState>>,
    Path(backend): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let launch = match auth::admit(&state, &headers, &upgrade) {
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
            serve(&page, backend, socket, &state.config.limits.frame).await;
            drop(tracked);
        })
}

async fn serve(page: &Arc<PageState>, backend: Backend, socket: WebSocket, limits: &Limits) {
    let (engine, outbound) = Engine::new(backend);
    if !page.attach(&engine) {
        return;
    }
    let (sink, stream) = socket.split();
    // Both halves run in this one task: when either ends, the other is dropped, and nothing outlives the connection.
    tokio::select! {
        () = write(sink, outbound, &engine) => {}
        violation = read(stream, &engine, limits) => if let Some(what) = violation {
            page.end(PageEnd::Protocol { what });
        },
    }
    page.detach(&engine);
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut outbound: Outbound, engine: &Engine) {
    loop {
        let frame = tokio::select! {
            frame = outbound.recv() => frame,
            () = engine.closed() => None,
        };
        let Some(frame) = frame else { break };
        if sink.send(Message::Binary(frame)).await.is_err() {
            return;
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.close()).await;
}

/// Reads until the connection ends. Returns what was wrong, if the page broke the protocol.
async fn read(mut stream: SplitStream<WebSocket>, engine: &Engine, limits: &Limits) -> Option<String> {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => match frame::decode(bytes, limits) {
                Ok(frame) => {
                    let id = frame.id;
                    if !engine.deliver(frame) {
                        tracing::trace!(id, "an answer that nobody waits for any more");
                    }
                }
                Err(error) => return Some(format!("unreadable frame: {error}")),
            },
            Ok(Message::Text(_)) => return Some("text on a data connection".to_owned()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    None
}
