//! OpenAI's routes: embeddings, completions, chat.

mod chat;
mod completions;
mod embeddings;
mod prompt;
mod stream;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Style, refuse};
use crate::error::ServiceError;
use crate::repository::Served;
use crate::service::Service;

pub(super) use chat::chat;
pub(super) use completions::completions;
pub(super) use embeddings::embeddings;

/// An error in OpenAI's words.
pub(super) struct Refused(ServiceError);

impl<E: Into<ServiceError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refuse(Style::OpenAi, &self.0)
    }
}

fn described(served: &Served) -> Value {
    json!({ "id": served.name, "object": "model", "created": 0, "owned_by": "webnn-pool" })
}

pub(super) async fn models(State(service): State<Service>) -> Response {
    let all: Vec<Value> = service.repository().served().iter().map(|served| described(served)).collect();
    Json(json!({ "object": "list", "data": all })).into_response()
}

pub(super) async fn model(
    State(service): State<Service>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let Path(name) = path.map_err(|error| ServiceError::BadRequest(error.body_text()))?;
    Ok(Json(described(&*service.repository().find(&name, None)?)).into_response())
}

/// A setting that OpenAI's API has and this server does not, unless it says what happens anyway.
fn refuse_setting(name: &'static str, given: bool) -> Result<(), ServiceError> {
    if !given {
        return Ok(());
    }
    Err(ServiceError::BadParameter { name, why: "is not supported: leave it out".to_owned() })
}

/// Seconds since 1970.
fn created() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A name for an answer that nobody else has.
fn new_id(prefix: &str) -> String {
    format!("{prefix}-{:032x}", rand::random::<u128>())
}
