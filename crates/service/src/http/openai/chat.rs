//! `/v1/chat/completions`

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tensor::oip::Object;
use tokio::time::Instant;

use super::prompt::{Finish, Settings, Writing};
use super::stream::{Words, events, usage};
use super::{Refused, created, new_id, refuse_setting};
use crate::embed::tokenize;
use crate::error::ServiceError;
use crate::http::body;
use crate::http::gate::Caller;
use crate::repository::Served;
use crate::service::Service;

/// Tokens where a request does not say how many; a conversation's answer ends by itself.
const USUAL_TOKENS: usize = 1_024;
/// Steps that a template may take.
const MOST_STEPS: u64 = 5_000_000;

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    messages: Vec<Object<Message>>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    response_format: Option<Object<ResponseFormat>>,
    #[serde(flatten)]
    settings: Settings,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Content,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "content must be a text, or a list of parts of type text")]
enum Content {
    Text(String),
    Parts(Vec<Object<Part>>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

/// A message as templates know it.
#[derive(Debug, Serialize)]
struct Said {
    role: String,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

pub(in crate::http) async fn chat(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let began = caller.trace.arrived().unwrap_or_else(Instant::now);
    let request: Request = body::json(&service, &headers, body).await?;
    let Request { model, messages, logprobs, tools, response_format, settings } = request;
    refuse_setting("logprobs", logprobs == Some(true))?;
    refuse_setting("tools", tools.is_some_and(|tools| !tools.is_empty()))?;
    refuse_setting("response_format", response_format.is_some_and(|Object(format)| format.kind != "text"))?;
    let served = service.repository().find(&model, None)?;
    let messages =
        messages.into_iter().map(|Object(message)| message.said()).collect::<Result<Vec<_>, _>>()?;
    if messages.is_empty() {
        let why = "must hold at least one message".to_owned();
        return Err(ServiceError::BadParameter { name: "messages", why }.into());
    }
    let prompt = rendered(&served, &messages)?;
    // The template writes special tokens itself.
    let mut all = tokenize(served.clone(), vec![prompt], false).await?;
    let tokens = all.pop().ok_or_else(|| ServiceError::Internal("a prompt without tokens".to_owned()))?;
    let mut writing = Writing::begin(&service, &served, tokens, &settings, Some(USUAL_TOKENS)).await?;
    caller.trace.part("parse", began);
    let words = Chat { id: new_id("chatcmpl"), created: created(), model: served.name.clone() };
    if settings.stream == Some(true) {
        return Ok(events(service, writing, words, settings.wants_usage()));
    }
    let mut text = String::new();
    while let Some(piece) = writing.next().await? {
        text.push_str(&piece);
    }
    let message = json!({ "role": "assistant", "content": text, "refusal": null });
    let finish = writing.finish.map(Finish::as_str);
    let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish });
    let whole = json!({
        "id": words.id, "object": "chat.completion", "created": words.created, "model": words.model,
        "choices": [choice], "usage": usage(&writing),
    });
    Ok(Json(whole).into_response())
}

impl Message {
    fn said(self) -> Result<Said, ServiceError> {
        let Self { role, content, name } = self;
        let content = match content {
            Content::Text(text) => text,
            Content::Parts(parts) => {
                let mut whole = String::new();
                for Object(Part { kind, text }) in parts {
                    match (kind.as_str(), text) {
                        ("text", Some(text)) => whole.push_str(&text),
                        _ => {
                            let why = "may hold parts of type text alone".to_owned();
                            return Err(ServiceError::BadParameter { name: "messages", why });
                        }
                    }
                }
                whole
            }
        };
        Ok(Said { role, content, name })
    }
}

/// A conversation as the model's own template writes it.
fn rendered(served: &Served, messages: &[Said]) -> Result<String, ServiceError> {
    let Some(template) = &served.hub.chat_template else {
        let why = "there is no chat template beside it: use /v1/completions".to_owned();
        return Err(ServiceError::Unsuited { name: served.name.clone(), what: "hold a conversation", why });
    };
    let mut environment = Environment::new();
    // As the templates are written for.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| ServiceError::Internal(error.to_string()))?);
    environment.set_fuel(Some(MOST_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    let complain =
        |message: String| -> Result<String, Error> { Err(Error::new(ErrorKind::InvalidOperation, message)) };
    environment.add_function("raise_exception", complain);
    let refused = |error: Error| {
        let why = format!("do not fit the model's chat template: {error}");
        ServiceError::BadParameter { name: "messages", why }
    };
    let mut values = json!({ "messages": messages, "add_generation_prompt": true });
    for (name, text) in &served.hub.special {
        values[*name] = json!(text);
    }
    environment.render_str(template, Serde(&values)).map_err(refused)
}

struct Chat {
    id: String,
    created: u64,
    model: String,
}

impl Chat {
    fn with(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    fn delta(&self, delta: Value, finish: Option<Finish>) -> Value {
        self.with(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish.map(Finish::as_str) }]))
    }
}

impl Words for Chat {
    fn first(&self) -> Option<Value> {
        Some(self.delta(json!({ "role": "assistant", "content": "" }), None))
    }

    fn piece(&self, text: &str) -> Value {
        self.delta(json!({ "content": text }), None)
    }

    fn last(&self, finish: Finish) -> Value {
        self.delta(json!({}), Some(finish))
    }

    fn usage(&self, usage: Value) -> Value {
        let mut last = self.with(json!([]));
        last["usage"] = usage;
        last
    }
}
