//! The routes over HTTP, and the gate that every request passes.

mod answer;
mod body;
mod gate;
mod guests;
mod live;
mod metrics;
mod oip;
mod openai;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;

use crate::error::{ServiceError, shortened};
use crate::service::Service;
use answer::{Style, refuse};

pub(crate) use gate::Caller;

/// The description of every route, for people and for programs that make clients.
const OPENAPI: &str = include_str!("openapi.json");

/// Everything that is served.
pub(crate) fn router(service: Service) -> Router {
    let routes = Router::new()
        .route("/v2", get(oip::server))
        .route("/v2/health/live", get(oip::live))
        .route("/v2/health/ready", get(oip::ready))
        .route("/v2/models/stats", get(oip::all_stats))
        .route("/v2/models/{model}", get(oip::metadata))
        .route("/v2/models/{model}/ready", get(oip::model_ready))
        .route("/v2/models/{model}/config", get(oip::config))
        .route("/v2/models/{model}/stats", get(oip::stats))
        .route("/v2/models/{model}/infer", post(oip::infer))
        .route("/v2/models/{model}/versions/{version}", get(oip::version_metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(oip::version_ready))
        .route("/v2/models/{model}/versions/{version}/config", get(oip::version_config))
        .route("/v2/models/{model}/versions/{version}/stats", get(oip::version_stats))
        .route("/v2/models/{model}/versions/{version}/infer", post(oip::version_infer))
        .route("/v2/repository/index", post(oip::index))
        .route("/v2/repository/models/{model}/load", post(oip::load))
        .route("/v2/repository/models/{model}/unload", post(oip::unload))
        .route("/v2/telemetry", get(oip::telemetry))
        .route("/v2/invitations", post(guests::invite))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{model}", get(openai::model))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/chat/completions", post(openai::chat))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi))
        .route("/v2/events", get(live::events))
        .route("/", get(live::index))
        .route("/live/{file}", get(live::file))
        .route("/live/plots/{file}", get(live::plots))
        .route("/join", get(guests::join))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(service.clone())
        .layer(RequestDecompressionLayer::new())
        .layer(CompressionLayer::new());
    // gRPC compresses by itself.
    let grpc = crate::grpc::routes(service.clone());
    routes.merge(grpc).layer(middleware::from_fn_with_state(service, gate::pass))
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn no_route(uri: Uri) -> Response {
    refuse(Style::of(uri.path(), None), &ServiceError::NoRoute(shortened(uri.path())))
}

async fn no_method(State(_): State<Service>, _: Method, uri: Uri) -> Response {
    refuse(Style::of(uri.path(), None), &ServiceError::NoMethod)
}
