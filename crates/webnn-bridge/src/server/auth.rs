//! How a page proves itself: by the token of its launch or guest, from our own origin.

use axum::extract::ws::WebSocketUpgrade;
use axum::http::{HeaderMap, StatusCode, header};
use telemetry::GuestRefusal;

use super::ServerState;
use super::registry::LaunchRef;
use crate::protocol::{SUBPROTOCOL, TOKEN_PREFIX};

/// What was shown, and whose it is.
pub(super) struct Shown {
    pub(super) launch: LaunchRef,
    pub(super) token: String,
}

type Refusal = (StatusCode, &'static str);

/// The token of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Checks that a request comes from a page of the origin that it was sent to.
pub(super) fn same_origin(state: &ServerState, headers: &HeaderMap) -> Result<(), Refusal> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_some() && origin == state.origin_of(headers) {
        return Ok(());
    }
    if state.join.is_some() {
        state.refused(GuestRefusal::ForeignOrigin);
    }
    Err((StatusCode::FORBIDDEN, "connections are accepted from this server's own pages only"))
}

/// Checks a WebSocket request before it is accepted: its origin, its protocol, its token. Browsers cannot set headers on
/// a WebSocket, so the token travels as a second subprotocol, which, unlike a query, no proxy writes into its log.
fn admit<'a>(
    state: &ServerState,
    headers: &HeaderMap,
    upgrade: &'a WebSocketUpgrade,
) -> Result<&'a str, Refusal> {
    same_origin(state, headers)?;
    let offered: Vec<&str> = upgrade.requested_protocols().filter_map(|value| value.to_str().ok()).collect();
    if !offered.contains(&SUBPROTOCOL) {
        return Err((StatusCode::BAD_REQUEST, "the subprotocol webnn-pool.1 is required"));
    }
    offered.iter().find_map(|protocol| protocol.strip_prefix(TOKEN_PREFIX)).ok_or(UNKNOWN)
}

const UNKNOWN: Refusal = (StatusCode::UNAUTHORIZED, "no launch has this token");

/// Checks a control connection.
pub(super) fn admit_control(
    state: &ServerState,
    headers: &HeaderMap,
    upgrade: &WebSocketUpgrade,
) -> Result<Shown, Refusal> {
    let token = admit(state, headers, upgrade)?;
    match state.registry.find(token) {
        Some(launch) => Ok(Shown { launch, token: token.to_owned() }),
        None => {
            if state.registry.why_over(token).is_some() {
                state.refused(GuestRefusal::ReplayedToken);
            }
            Err(UNKNOWN)
        }
    }
}

/// Checks a data connection.
pub(super) fn admit_data(
    state: &ServerState,
    headers: &HeaderMap,
    upgrade: &WebSocketUpgrade,
) -> Result<LaunchRef, Refusal> {
    let key = admit(state, headers, upgrade)?;
    state.registry.find_key(key).ok_or_else(|| {
        if state.registry.why_over(key).is_some() || state.registry.find(key).is_some() {
            // The token of a guest's control connection opens nothing else.
            state.refused(GuestRefusal::ReplayedToken);
        }
        UNKNOWN
    })
}
