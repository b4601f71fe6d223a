//! `/v1/embeddings`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Refused, refuse_setting};
use crate::embed::{Embedder, tokenize};
use crate::error::ServiceError;
use crate::http::body;
use crate::http::gate::Caller;
use crate::infer::Wishes;
use crate::service::Service;

/// Texts of one request.
const MOST_TEXTS: usize = 2_048;
/// Texts of one request that are computed at the same time.
const AT_ONCE: usize = 64;

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    input: Input,
    #[serde(default)]
    encoding_format: Format,
    #[serde(default)]
    dimensions: Option<u64>,
    /// Read, and of no use here.
    #[serde(default, rename = "user")]
    _user: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "input must be a text, a list of texts, or tokens")]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Float,
    Base64,
}

pub(in crate::http) async fn embeddings(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let began = caller.trace.arrived().unwrap_or_else(Instant::now);
    let request: Request = body::json(&service, &headers, body).await?;
    let Request { model, input, encoding_format, dimensions, _user } = request;
    let served = service.repository().find(&model, None)?;
    let embedder = Arc::new(Embedder::of(&served)?);
    refuse_setting("dimensions", dimensions.is_some_and(|wanted| Some(wanted) != embedder.dimensions()))?;
    let texts = match input {
        Input::Text(text) => Texts::Words(vec![text]),
        Input::Texts(texts) => Texts::Words(texts),
        Input::Tokens(tokens) => Texts::Tokens(vec![tokens]),
        Input::ManyTokens(all) => Texts::Tokens(all),
    };
    let count = match &texts {
        Texts::Words(all) => all.len(),
        Texts::Tokens(all) => all.len(),
    };
    if count == 0 || count > MOST_TEXTS {
        let why = format!("must hold 1 to {MOST_TEXTS} texts, not {count}");
        return Err(ServiceError::BadParameter { name: "input", why }.into());
    }
    let tokens = match texts {
        Texts::Tokens(all) => {
            embedder.known(&all)?;
            all
        }
        Texts::Words(all) => tokenize(Arc::clone(&served), all, true).await?,
    };
    embedder.check(&tokens)?;
    caller.trace.part("parse", began);
    let used: usize = tokens.iter().map(Vec::len).sum();
    let vectors: Vec<Vec<f32>> = futures_util::stream::iter(tokens)
        .map(|tokens| {
            let (service, embedder, served, caller) = (&service, &embedder, &served, &caller);
            async move {
                let inputs = embedder.inputs(&tokens)?;
                let wishes = Wishes {
                    outputs: Some(embedder.outputs()),
                    ..Wishes::usual(service.limits().max_timeout)
                };
                let inferred = service.infer(served, inputs.into(), wishes, &caller.trace).await?;
                embedder.vector(&inferred.outputs, tokens.len())
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": written(vector, encoding_format) }))
        .collect();
    let usage = json!({ "prompt_tokens": used, "total_tokens": used });
    Ok(Json(json!({ "object": "list", "model": served.name, "data": data, "usage": usage })).into_response())
}

enum Texts {
    Words(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

fn written(vector: &[f32], format: Format) -> Value {
    match format {
        Format::Float => json!(vector),
        Format::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        }
    }
}
