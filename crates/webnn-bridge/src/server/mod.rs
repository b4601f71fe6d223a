//! The HTTP and WebSocket endpoint that pages load from and connect to.

mod assets;
mod auth;
mod control;
mod data;
mod join;
mod models;
mod registry;
mod runtime;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use telemetry::GuestRefusal;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::BridgeConfig;
use crate::link::Durations;
use crate::store::ModelStore;
pub use assets::golden_files;
pub(crate) use join::{JoinState, Place};
pub(crate) use registry::{LaunchGuard, Pages, Registry};

/// What every handler sees.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) config: BridgeConfig,
    /// `http://127.0.0.1:40123`: where the pool's own browsers find it.
    pub(crate) origin: String,
    /// The guests, where there may be any.
    pub(crate) join: Option<JoinState>,
    pub(crate) store: Arc<ModelStore>,
    pub(crate) registry: Registry,
    pub(crate) durations: Arc<Durations>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl ServerState {
    /// The origin of ours that a request was sent to; `None` where it was sent to another name.
    fn origin_of(&self, headers: &HeaderMap) -> Option<&str> {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        let public = self.join.as_ref().and_then(|join| join.origin.as_deref());
        let mut ours = [Some(self.origin.as_str()), public].into_iter().flatten();
        ours.find(|origin| origin.split_once("://").is_some_and(|(_, own)| own == host))
    }

    /// Somebody who wanted to join, or a guest, was refused something.
    fn refused(&self, why: GuestRefusal) {
        if let Some(join) = &self.join {
            join.tell_refused(why);
        }
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
    let origin = public.unwrap_or_else(|| format!("http://{}", reachable(address)));
    let join = config.join.clone().map(JoinState::new).transpose()?;
    let state = Arc::new(ServerState {
        config,
        origin,
        join,
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
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the page server ended");
        }
    });
    Ok((state, address))
}

/// Where browsers of this machine reach an address that is listened on.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// An origin as browsers write it: without a final slash, and without a port that goes without saying.
pub(super) fn normal_origin(origin: &str) -> std::io::Result<String> {
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
        .route("/join", get(join::page))
        .route("/join/terms", post(join::terms))
        .route("/join/enter", post(join::enter))
        .route("/join/why", post(join::why))
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
    if state.origin_of(request.headers()).is_some() {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "this server answers to its own name only").into_response()
    }
}
