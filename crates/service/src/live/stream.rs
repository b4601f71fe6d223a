//! What one reader is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::hub::{Told, Watcher};
use crate::error::ServiceError;
use crate::service::Service;
use crate::words;

/// How long a reader who was cut off is asked to wait before it comes again.
const RETRY: Duration = Duration::from_secs(2);
/// After how much silence a comment shows that the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often it is looked at whether the reader's token is still valid.
const RECHECK: Duration = Duration::from_secs(5);

/// Where a stream is.
struct Reading {
    watcher: Watcher,
    /// The reader's `Authorization` header, for as long as the stream lasts.
    authorization: Option<HeaderValue>,
    checked: Instant,
    waiting: VecDeque<Told>,
    /// Messages up to this one are in what was sent already.
    known: u64,
    next: Next,
}

enum Next {
    /// All that there is, with so many messages that were skipped.
    Snapshot(u64),
    Messages,
    Over,
}

impl Service {
    /// The feed, as server-sent events, behind the message with the id `after`.
    ///
    /// # Errors
    /// The server is going down, or as many look as may.
    pub(crate) fn feed(
        &self,
        after: Option<&str>,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, ServiceError> {
        let mut watcher = self.watch(after)?;
        let (waiting, next) = match watcher.missed.take() {
            Some(missed) => (missed.into(), Next::Messages),
            None => (VecDeque::new(), Next::Snapshot(0)),
        };
        let reading = Reading { watcher, authorization, checked: Instant::now(), waiting, known: 0, next };
        let events = futures_util::stream::unfold(reading, step);
        let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("alive");
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        // A proxy that collected the answer would show nothing for minutes.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}

type Sent = Result<Event, Infallible>;

async fn step(mut reading: Reading) -> Option<(Sent, Reading)> {
    let service = reading.watcher.service.clone();
    let hub = service.live();
    loop {
        if hub.closing().is_cancelled() && !matches!(reading.next, Next::Over) {
            return Some(reading.bye("shutdown"));
        }
        if reading.checked.elapsed() >= RECHECK {
            reading.checked = Instant::now();
            let header = reading.authorization.as_ref().map(HeaderValue::as_bytes);
            if !service.tokens().is_valid(header) && !matches!(reading.next, Next::Over) {
                return Some(reading.bye("unauthorized"));
            }
        }
        match reading.next {
            Next::Over => return None,
            Next::Snapshot(skipped) => {
                let Some((event, known)) = snapshot(&service, skipped).await else { continue };
                (reading.next, reading.known) = (Next::Messages, known);
                return Some((Ok(event), reading));
            }
            Next::Messages => {}
        }
        let told = match reading.waiting.pop_front() {
            Some(told) => told,
            None => tokio::select! {
                told = reading.watcher.messages.recv() => match told {
                    Ok(told) => told,
                    Err(RecvError::Lagged(skipped)) => {
                        hub.skipped(skipped);
                        reading.next = Next::Snapshot(skipped);
                        continue;
                    }
                    // The sender lives as long as the service.
                    Err(RecvError::Closed) => return None,
                },
                () = hub.closing().cancelled() => continue,
            },
        };
        if told.number > reading.known {
            reading.known = told.number;
            let event = Event::default().id(hub.id(told.number)).event(told.kind.as_str()).data(&*told.json);
            return Some((Ok(event), reading));
        }
    }
}

impl Reading {
    /// The last message, and why it is.
    fn bye(mut self, reason: &'static str) -> (Sent, Self) {
        self.next = Next::Over;
        (Ok(Event::default().event("bye").data(json!({ "reason": reason }).to_string())), self)
    }
}

/// All that there is, and the number of the message up to which it is told; `None` where the server goes down.
async fn snapshot(service: &Service, skipped: u64) -> Option<(Event, u64)> {
    let hub = service.live();
    let latest = hub.latest().await?;
    let (news, _) = service.parts().news.since(0);
    let about = json!({
        "server": words::server(),
        "boot": hub.boot(),
        "plots": service.parts().plots.is_some(),
        "skipped": skipped,
        "news": news,
    });
    // The frame and the affinities are JSON already.
    let (frame, affinities) = (&*latest.frame, latest.affinities.as_deref().unwrap_or("null"));
    let json = format!(r#"{{"about":{about},"frame":{frame},"affinities":{affinities}}}"#);
    let event = Event::default().id(hub.id(latest.number)).event("snapshot").retry(RETRY).data(json);
    Some((event, latest.number))
}
