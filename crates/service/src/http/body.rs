//! Bodies: bounded, in time, and no longer in memory than they are needed.

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tensor::oip::Object;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::service::Service;

/// A body with the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Room that a body takes ahead of its bytes: so little that all connections together leave most of it.
const STEP: u64 = 16 << 10;

/// Reads a body whole.
///
/// A length that was announced and is too large is refused before a byte of it is read; one that was not announced is
/// refused as soon as it gets too long. Room is taken piece by piece, so that announcing costs nobody anything.
pub(super) async fn read(
    service: &Service,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Held, ServiceError> {
    let limits = service.limits();
    let limit = limits.max_body_bytes;
    let too_large = || ServiceError::BodyTooLarge { limit };
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // A compressed body says less than it will be.
    let least = announced.unwrap_or(0).max(body.size_hint().lower());
    if least > limit {
        return Err(too_large());
    }
    let mut room: Option<OwnedSemaphorePermit> = None;
    let mut held = 0_u64;
    // However busily it drips, a body is a part of its request.
    let end = Instant::now() + limits.max_timeout;
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    loop {
        let piece = Instant::now() + limits.body_timeout;
        let after = if piece < end { limits.body_timeout } else { limits.max_timeout };
        let frame = tokio::time::timeout_at(piece.min(end), body.frame()).await;
        let frame = frame.map_err(|_| ServiceError::BodyTimeout { after })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| ServiceError::BodyBroken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() {
            continue;
        }
        length += data.len() as u64;
        if length > limit {
            return Err(too_large());
        }
        if length > held {
            let left = announced.map_or(STEP, |announced| announced.saturating_sub(held));
            let more = (length - held).max(STEP.min(left));
            let taken = service.hold(more)?;
            held += more;
            match &mut room {
                Some(room) => room.merge(taken),
                None => room = Some(taken),
            }
        }
        // A body of one piece is taken as it is.
        match (first.take(), whole.is_empty()) {
            (None, true) => first = Some(data),
            (before, _) => {
                if let Some(before) = before {
                    whole.extend_from_slice(&before);
                }
                whole.extend_from_slice(&data);
            }
        }
    }
    let bytes = first.unwrap_or_else(|| whole.freeze());
    Ok(Held { bytes, _room: room })
}

/// Reads a body that is a JSON object; one that is empty stands for an empty object.
pub(super) async fn json<T: DeserializeOwned>(
    service: &Service,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ServiceError> {
    let held = read(service, headers, body).await?;
    let text = if held.bytes.is_empty() { b"{}".as_slice() } else { &held.bytes };
    let read = serde_json::from_slice(text).map_err(|error| ServiceError::BadRequest(error.to_string()));
    read.map(|Object(read)| read)
}
