//! Errors in the words of each protocol.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::{ServiceError, seconds};

/// Whose words an answer is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The Open Inference Protocol's.
    Inference,
    /// OpenAI's.
    OpenAi,
    /// gRPC's.
    Grpc,
}

impl Style {
    /// The words that belong to an address.
    pub(super) fn of(path: &str, content_type: Option<&HeaderValue>) -> Self {
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            return Self::Grpc;
        }
        if path.starts_with("/v1/") { Self::OpenAi } else { Self::Inference }
    }
}

/// Why a request was refused or failed, for counters, logs and traces.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// An error, in the words of the protocol that its request came by.
pub(super) fn refuse(style: Style, error: &ServiceError) -> Response {
    let message = error.message();
    let mut response = match style {
        Style::Grpc => tonic::Status::new(error.code(), message.clone()).into_http::<axum::body::Body>(),
        Style::Inference => (error.status(), Json(json!({ "error": message }))).into_response(),
        Style::OpenAi => (error.status(), Json(openai(error, &message))).into_response(),
    };
    if let Some(after) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
    }
    if error.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response.extensions_mut().insert(Refusal { reason: error.reason(), message });
    response
}

/// An error as OpenAI's clients read it.
pub(super) fn openai(error: &ServiceError, message: &str) -> Value {
    let kind = match error.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    let param = match error {
        ServiceError::BadParameter { name, .. } => Some(*name),
        ServiceError::UnknownModel { .. } => Some("model"),
        _ => None,
    };
    let code = match error {
        ServiceError::UnknownModel { .. } => "model_not_found",
        other => other.reason(),
    };
    json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
}
