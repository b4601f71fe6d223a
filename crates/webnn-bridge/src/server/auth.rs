//! How a page proves itself: by the token of its launch, from our own origin.

use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode, header};

use super::ServerState;
use super::registry::LaunchRef;
use crate::protocol::{SUBPROTOCOL, TOKEN_PREFIX};

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Checks a WebSocket request before it is accepted: its origin, its protocol, its token. Browsers cannot set headers on
/// a WebSocket, so the token travels as a second subprotocol, which, unlike a query, no proxy writes into its log.
pub(super) fn admit(
    state: &ServerState,
    headers: &HeaderMap,
    upgrade: &WebSocketUpgrade,
) -> Result<LaunchRef, (StatusCode, &'static str)> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin != Some(state.origin.as_str()) {
        return Err((StatusCode::FORBIDDEN, "connections are accepted from this server's own pages only"));
    }
    let offered: Vec<&str> = upgrade.requested_protocols().filter_map(|value| value.to_str().ok()).collect();
    if !offered.contains(&SUBPROTOCOL) {
        return Err((StatusCode::BAD_REQUEST, "the subprotocol webnn-pool.1 is required"));
    }
    offered
        .iter()
        .find_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX))
        .and_then(|token| state.registry.find(token))
        .ok_or((StatusCode::UNAUTHORIZED, "no launch has this token"))
}
