//! `/v1/completions`

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::prompt::{Finish, Settings, Writing};
use super::stream::{Words, events, usage};
use super::{Refused, created, new_id, refuse_setting};
use crate::embed::tokenize;
use crate::error::ServiceError;
use crate::http::body;
use crate::http::gate::Caller;
use crate::service::Service;

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    prompt: Prompt,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    logprobs: Option<u64>,
    #[serde(default)]
    best_of: Option<u64>,
    #[serde(default)]
    suffix: Option<String>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "prompt must be one text, or the tokens of one")]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    One([String; 1]),
    OneOfTokens([Vec<u32>; 1]),
}

pub(in crate::http) async fn completions(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let began = caller.trace.arrived().unwrap_or_else(Instant::now);
    let request: Request = body::json(&service, &headers, body).await?;
    let Request { model, prompt, echo, logprobs, best_of, suffix, settings } = request;
    refuse_setting("echo", echo == Some(true))?;
    refuse_setting("logprobs", logprobs.is_some())?;
    refuse_setting("best_of", best_of.is_some_and(|best| best != 1))?;
    refuse_setting("suffix", suffix.is_some_and(|suffix| !suffix.is_empty()))?;
    let served = service.repository().find(&model, None)?;
    let tokens = match prompt {
        Prompt::Tokens(tokens) | Prompt::OneOfTokens([tokens]) => tokens,
        Prompt::Text(text) | Prompt::One([text]) => {
            let mut all = tokenize(served.clone(), vec![text], true).await?;
            all.pop().ok_or_else(|| ServiceError::Internal("a text without tokens".to_owned()))?
        }
    };
    let mut writing = Writing::begin(&service, &served, tokens, &settings, None).await?;
    caller.trace.part("parse", began);
    let words = Completion { id: new_id("cmpl"), created: created(), model: served.name.clone() };
    if settings.stream == Some(true) {
        return Ok(events(service, writing, words, settings.wants_usage()));
    }
    let mut text = String::new();
    while let Some(piece) = writing.next().await? {
        text.push_str(&piece);
    }
    let mut whole = words.choice(&text, writing.finish);
    whole["usage"] = usage(&writing);
    Ok(Json(whole).into_response())
}

struct Completion {
    id: String,
    created: u64,
    model: String,
}

impl Completion {
    fn choice(&self, text: &str, finish: Option<Finish>) -> Value {
        let choice = json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish.map(Finish::as_str) });
        self.with(json!([choice]))
    }

    fn with(&self, choices: Value) -> Value {
        json!({ "id": self.id, "object": "text_completion", "created": self.created, "model": self.model, "choices": choices })
    }
}

impl Words for Completion {
    fn first(&self) -> Option<Value> {
        None
    }

    fn piece(&self, text: &str) -> Value {
        self.choice(text, None)
    }

    fn last(&self, finish: Finish) -> Value {
        self.choice("", Some(finish))
    }

    fn usage(&self, usage: Value) -> Value {
        let mut last = self.with(json!([]));
        last["usage"] = usage;
        last
    }
}
