//! Bodies: bounded, in time, and no longer in memory than they are needed.

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tensor::oip::Object;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ServiceError;
use crate::service::Service;

/// A body with the room that it takes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Vec<OwnedSemaphorePermit>,
}

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
    let mut room = Vec::new();
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0_u64;
    loop {
        let frame = tokio::time::timeout(limits.body_timeout, body.frame()).await;
        let frame = frame.map_err(|_| ServiceError::BodyTimeout { after: limits.body_timeout })?;
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
        room.push(service.hold(data.len() as u64)?);
        // A body of one piece is taken as it is.
        match (first.take(), whole.is_empty()) {
            (None, true) => first = Some(data),
            (before, _) => {
                if let Some(before) = before {
                    // What was announced is at most the limit; what was not grows as it comes.
                    whole.reserve(usize::try_from(announced.unwrap_or(0)).unwrap_or(0).min(1 << 24));
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
