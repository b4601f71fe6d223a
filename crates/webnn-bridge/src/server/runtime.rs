//! The files of ONNX Runtime Web.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

use super::ServerState;

/// `GET /runtime/{version}/{file}`
pub(super) async fn file(
    State(state): State<Arc<ServerState>>,
    Path((version, file)): Path<(String, String)>,
) -> Response {
    let runtime = &state.config.runtime;
    // Only names of the list are opened, so no path can lead out of the folder.
    if version != runtime.version || !runtime.files.contains(&file) {
        return (StatusCode::NOT_FOUND, "no such runtime file").into_response();
    }
    // The runtime's own threads are workers too, whose policy is that of these files. Only the build for WebGPU and WebNN
    // makes code from strings.
    let scripts = if file.contains(".asyncify.") || file.contains(".jsep.") || file.contains(".jspi.") {
        "'self' 'wasm-unsafe-eval' 'unsafe-eval'"
    } else {
        "'self' 'wasm-unsafe-eval'"
    };
    let media_type =
        if file.ends_with(".wasm") { "application/wasm" } else { "text/javascript; charset=utf-8" };
    match open(&runtime.folder.join(&file)).await {
        Ok((length, body)) => {
            let headers = [
                (header::CONTENT_TYPE, media_type.to_owned()),
                (header::CONTENT_LENGTH, length.to_string()),
                // The version is part of the path, so what is under it never changes.
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
                (
                    header::CONTENT_SECURITY_POLICY,
                    format!("default-src 'none'; script-src {scripts}; connect-src 'self'"),
                ),
            ];
            (headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, file, "could not read a runtime file");
            (StatusCode::INTERNAL_SERVER_ERROR, "the runtime file could not be read; run webnn-pool setup")
                .into_response()
        }
    }
}

/// A file's length and a body that streams it.
pub(super) async fn open(path: &std::path::Path) -> std::io::Result<(u64, Body)> {
    let file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    Ok((length, Body::from_stream(ReaderStream::with_capacity(file, 256 * 1024))))
}
