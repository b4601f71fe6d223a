//! The HTTP and WebSocket endpoint that pages load from and connect to.

mod assets;
mod auth;
mod control;
mod data;
mod models;
mod registry;
mod runtime;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::BridgeConfig;
use crate::link::Durations;
use crate::store::ModelStore;
pub(crate) use registry::{LaunchGuard, Pages, Registry};

/// What every handler sees.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) config: BridgeConfig,
    /// `http://127.0.0.1:40123`
    pub(crate) origin: String,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) registry: Registry,
    pub(crate) durations: Arc<Durations>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl ServerState {
    /// The origin of the WebSocket connections: the same, with the scheme that belongs to them.
    fn socket_origin(&self) -> String {
        self.origin.replacen("http", "ws", 1)
    }
}

/// Starts serving. The address is bound when this returns; `state.stop` ends it.
pub(crate) async fn serve(
    config: BridgeConfig,
    store: Arc<ModelStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
) -> std::io::Result<(Arc<ServerState>, SocketAddr)> {
    let public = config.public_origin.as_deref().map(normal_origin).transpose()?;
    let listener = TcpListener::bind(config.listen).await?;
    let address = listener.local_addr()?;
    let origin = public.unwrap_or_else(|| format!("http://{address}"));
    let state = Arc::new(ServerState {
        config,
        origin,
        store,
        registry: Registry::default(),
        durations: Arc::default(),
        stop: stop.clone(),
        tasks: tasks.clone(),
    });
    let app = router(Arc::clone(&state));
    tasks.spawn(async move {
        // Small frames must not wait for an acknowledgement of the ones before them.
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "could not switch off Nagle's algorithm");
            }
        });
        let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the page server ended");
        }
    });
    Ok((state, address))
}

/// An origin as browsers write it: without a final slash, and without a port that goes without saying.
fn normal_origin(origin: &str) -> std::io::Result<String> {
    let bad = |why: &dyn std::fmt::Display| {
        let message = format!("the public origin {origin:?} is not an http(s) origin: {why}");
        std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
    };
    let url = url::Url::parse(origin).map_err(|error| bad(&error))?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || url.query().is_some() {
        return Err(bad(&"it has another scheme, or more than a host and a port"));
    }
    Ok(url.origin().ascii_serialization())
}

fn router(state: Arc<ServerState>) -> Router {
    Router::new()
        .route("/page/", get(assets::index))
        .route("/page/{*path}", get(assets::asset))
        .route("/runtime/{version}/{file}", get(runtime::file))
        .route("/models/{hash}", get(models::file))
        .route("/ws/control", get(control::upgrade))
        .route("/ws/data/{backend}", get(data::upgrade))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), check_host))
        // Together these make the page cross-origin isolated, without which WASM has no threads.
        .layer(set("cross-origin-opener-policy", "same-origin"))
        .layer(set("cross-origin-embedder-policy", "require-corp"))
        .layer(set("cross-origin-resource-policy", "same-origin"))
        .layer(set("x-content-type-options", "nosniff"))
        .layer(set("referrer-policy", "no-referrer"))
        .with_state(state)
}

fn set(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// Refuses requests that were addressed to another name: a foreign site whose name was made to point at this machine
/// would otherwise count as ours.
async fn check_host(
    axum::extract::State(state): axum::extract::State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let expected = state.origin.split_once("://").map_or("", |(_, host)| host);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host == Some(expected) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "this server answers to its own name only").into_response()
    }
}
