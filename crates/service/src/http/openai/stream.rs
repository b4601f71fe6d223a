//! Server-sent events of a text that is being written.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::answer::openai;
use super::prompt::{Finish, Writing};
use crate::error::ServiceError;
use crate::service::{LOG, Service};

/// What an event says, in the words of one of the two routes.
pub(super) trait Words: Send + Sync + 'static {
    /// What comes before the first piece, if anything does.
    fn first(&self) -> Option<Value>;
    /// One piece of text.
    fn piece(&self, text: &str) -> Value;
    /// The end.
    fn last(&self, finish: Finish) -> Value;
    /// How many tokens there were.
    fn usage(&self, usage: Value) -> Value;
}

/// The tokens that a text took.
pub(super) fn usage(writing: &Writing) -> Value {
    let (prompt, completion) = (writing.prompt_tokens, writing.completion_tokens);
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

enum State {
    First,
    Pieces,
    Usage,
    Done,
    Over,
}

/// The events of a text. An error in the middle is an event of its own; what came before it stands.
pub(super) fn events(service: Service, writing: Writing, words: impl Words, wants_usage: bool) -> Response {
    let words = Arc::new(words);
    let begin = (writing, State::First);
    let events = futures_util::stream::unfold(begin, move |(mut writing, mut state)| {
        let (words, service) = (Arc::clone(&words), service.clone());
        async move {
            loop {
                match state {
                    State::First => {
                        state = State::Pieces;
                        if let Some(first) = words.first() {
                            return Some((data(&first), (writing, state)));
                        }
                    }
                    State::Pieces => match writing.next().await {
                        Ok(Some(text)) => return Some((data(&words.piece(&text)), (writing, state))),
                        Ok(None) => {
                            let last = words.last(writing.finish.unwrap_or(Finish::Stop));
                            state = if wants_usage { State::Usage } else { State::Done };
                            return Some((data(&last), (writing, state)));
                        }
                        Err(error) => return Some((failed(&service, &error), (writing, State::Over))),
                    },
                    State::Usage => {
                        let usage = words.usage(usage(&writing));
                        return Some((data(&usage), (writing, State::Done)));
                    }
                    State::Done => {
                        return Some((Ok(Event::default().data("[DONE]")), (writing, State::Over)));
                    }
                    State::Over => return None,
                }
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

fn data(value: &Value) -> Result<Event, Infallible> {
    Ok(Event::default().data(value.to_string()))
}

fn failed(service: &Service, error: &ServiceError) -> Result<Event, Infallible> {
    let message = error.message();
    service.counters().refused(error.reason());
    tracing::warn!(target: LOG, reason = error.reason(), message, "a text broke off");
    data(&openai(error, &message))
}
