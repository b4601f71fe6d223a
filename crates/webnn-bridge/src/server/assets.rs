//! The page's own files, part of the program.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::ServerState;

const JS: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

macro_rules! page_files {
    ($($name:literal: $type:expr,)+) => {
        /// Name, media type, contents.
        const FILES: &[(&str, &str, &[u8])] = &[
            $(($name, $type, include_bytes!(concat!("../../page/", $name))),)+
        ];
    };
}

page_files! {
    "index.html": "text/html; charset=utf-8",
    "join.css": "text/css; charset=utf-8",
    "join.html": "text/html; charset=utf-8",
    "join.js": JS,
    "page.css": "text/css; charset=utf-8",
    "page.js": JS,
    "engine-worker.js": JS,
    "battery.js": JS,
    "caches.js": JS,
    "engine.js": JS,
    "failure.js": JS,
    "probe.js": JS,
    "protocol.js": JS,
    "runtime.js": JS,
    "store.js": JS,
    "tensors.js": JS,
    "wire.js": JS,
    "worker-page.js": JS,
    "golden/model.onnx": "application/octet-stream",
    "golden/request.json": JSON,
    "golden/response.json": JSON,
}

/// The golden model, an inference request for it, and the response that a native runtime gave: what the page probes its
/// backends with, for a host that wants to see the numbers itself.
#[must_use]
pub fn golden_files() -> [&'static [u8]; 3] {
    let file = |name| {
        FILES.iter().find(|(known, _, _)| *known == name).map_or(&[][..], |(_, _, contents)| *contents)
    };
    [file("golden/model.onnx"), file("golden/request.json"), file("golden/response.json")]
}

/// `GET /page/`
pub(super) async fn index(state: State<Arc<ServerState>>, headers: HeaderMap) -> Response {
    answer(&state, &headers, "index.html", false)
}

/// `GET /page/{path}`
pub(super) async fn asset(
    state: State<Arc<ServerState>>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    // A worker's policy is that of its own script. Only this script, only when asked for, may make code from strings:
    // the runtime's build for WebGPU and WebNN does so when it starts.
    let eval = path == "engine-worker.js" && query.as_deref() == Some("eval=1");
    answer(&state, &headers, &path, eval)
}

pub(super) fn answer(state: &ServerState, headers: &HeaderMap, name: &str, eval: bool) -> Response {
    let Some((_, media_type, contents)) = FILES.iter().find(|(known, _, _)| *known == name) else {
        return (StatusCode::NOT_FOUND, "no such page file").into_response();
    };
    let scripts = if eval { "'self' 'wasm-unsafe-eval' 'unsafe-eval'" } else { "'self' 'wasm-unsafe-eval'" };
    let policy = format!(
        "default-src 'none'; script-src {scripts}; worker-src 'self'; style-src 'self'; connect-src 'self' {}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        // The scheme of WebSockets belongs to the origin that the page was loaded from.
        state.origin_of(headers).unwrap_or(&state.origin).replacen("http", "ws", 1)
    );
    let headers = [
        (header::CONTENT_TYPE, (*media_type).to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, *contents).into_response()
}
