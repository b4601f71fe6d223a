//! Model files by content hash.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pool_core::ModelSource;
use telemetry::GuestRefusal;
use vocab::ModelHash;

use super::join::JoinState;
use super::runtime::open;
use super::{ServerState, auth};

/// `GET /models/{hash}`, with the launch token as bearer.
pub(super) async fn file(
    State(state): State<Arc<ServerState>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(launch) = auth::bearer(&headers).and_then(|token| state.registry.find_key(token)) else {
        return (StatusCode::UNAUTHORIZED, "no launch has this token").into_response();
    };
    let hash = hash.parse::<ModelHash>();
    let strange = |join: &JoinState| hash.as_ref().is_ok_and(|&hash| !join.allows(hash));
    if launch.guest.is_some() && state.join.as_ref().is_none_or(strange) {
        // Whether there is such a file is nothing that a guest learns.
        state.refused(GuestRefusal::ModelNotAllowed);
        tracing::warn!(guest = launch.label, "a guest asked for a model that guests do not get");
        return (StatusCode::FORBIDDEN, "guests do not get this model").into_response();
    }
    let Some((source, bytes)) = hash.ok().and_then(|hash| state.store.find(hash)) else {
        return (StatusCode::NOT_FOUND, "no model file with this hash is on offer").into_response();
    };
    let body = match source {
        ModelSource::Memory(contents) => Ok((bytes, Body::from(contents))),
        ModelSource::Path(path) => open(&path).await,
        _ => {
            return (StatusCode::NOT_IMPLEMENTED, "this kind of model source cannot be served")
                .into_response();
        }
    };
    match body {
        Ok((length, body)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_LENGTH, length.to_string()),
                // The page keeps the file in a cache of its own, under the hash; the HTTP cache would keep it twice.
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            (headers, body).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "a model file could not be read");
            (StatusCode::GONE, "the model file is not readable any more").into_response()
        }
    }
}
