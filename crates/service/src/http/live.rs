//! The live page and its feed.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::answer::{Style, refuse};
use crate::error::{ServiceError, shortened};
use crate::service::{LOG, Service};

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// What the page may do: run its own scripts, use its own styles, and read from where it came from. No script can make
/// markup or code out of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! page_files {
    ($($name:literal: $type:expr,)+) => {
        /// Name, media type, contents.
        const FILES: &[(&str, &str, &str)] = &[
            $(($name, $type, include_str!(concat!("../../page/", $name))),)+
        ];
    };
}

page_files! {
    "index.html": "text/html; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "live.css": CSS,
    "announce.js": JS,
    "dom.js": JS,
    "feed.js": JS,
    "incidents.js": JS,
    "knowledge.js": JS,
    "live.js": JS,
    "models.js": JS,
    "picture.js": JS,
    "plots.js": JS,
    "rings.js": JS,
    "shards.js": JS,
    "spark.js": JS,
    "tiles.js": JS,
    "token.js": JS,
    "types.js": JS,
    "words.js": JS,
    "workers.js": JS,
}

/// The files of uPlot that may be asked for.
const PLOTS: &[(&str, &str)] =
    &[("uPlot.esm.js", JS), ("uPlot.min.css", CSS), ("LICENSE", "text/plain; charset=utf-8")];

/// What a path names, or why it names nothing.
type Named = Result<Path<String>, PathRejection>;

/// The id of the last message that a reader has seen, as browsers send it.
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /`
pub(super) async fn index() -> Response {
    asset("index.html")
}

/// `GET /live/{file}`
pub(super) async fn file(path: Named) -> Response {
    asset(&named(path))
}

/// `GET /live/plots/{file}`
pub(super) async fn plots(State(service): State<Service>, path: Named) -> Response {
    let file = named(path);
    // Only names of the list are opened, so no path can lead out of the folder.
    let known = PLOTS.iter().find(|(name, _)| *name == file);
    let (Some((name, media_type)), Some(folder)) = (known, &service.parts().plots) else {
        return missing(&format!("/live/plots/{file}"));
    };
    match tokio::fs::read(folder.join(name)).await {
        Ok(contents) => page(media_type, contents),
        Err(error) => {
            tracing::warn!(target: LOG, %error, file = name, "a file of uPlot could not be read");
            refuse(
                Style::Inference,
                &ServiceError::Internal(format!("{name} could not be read; run: webnn-pool setup")),
            )
        }
    }
}

/// `GET /v2/events`
pub(super) async fn events(State(service): State<Service>, headers: HeaderMap) -> Response {
    let after = headers.get(&LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let authorization = headers.get(header::AUTHORIZATION).cloned();
    service.feed(after, authorization).unwrap_or_else(|error| refuse(Style::Inference, &error))
}

/// What a path names; what is no text names nothing that there is.
fn named(path: Named) -> String {
    path.map(|Path(name)| name).unwrap_or_default()
}

fn asset(name: &str) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, contents)) => page(media_type, contents.as_bytes().to_vec()),
        None => missing(&format!("/live/{name}")),
    }
}

fn missing(path: &str) -> Response {
    refuse(Style::Inference, &ServiceError::NoRoute(shortened(path)))
}

fn page(media_type: &'static str, contents: impl IntoResponse) -> Response {
    let mut response = contents.into_response();
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
