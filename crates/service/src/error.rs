//! Why a request is refused or fails, and what each protocol says then.

use std::time::Duration;

use axum::http::StatusCode;
use pool_core::RunError;
use tensor::oip::OipError;
use tonic::Code;

use crate::engine::EngineError;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no model of this name.
    #[error("there is no model {name:?}{}", names(.known))]
    UnknownModel {
        /// The name that was asked for, shortened.
        name: String,
        /// Names that there are, as many as fit a message.
        known: Vec<String>,
    },
    /// The model has no such version.
    #[error("model {name:?} has no version {version:?}; it has {}", .known.join(", "))]
    UnknownVersion {
        /// The model.
        name: String,
        /// The version that was asked for, shortened.
        version: String,
        /// The versions that there are.
        known: Vec<String>,
    },
    /// The model is there, and cannot be used now.
    #[error("model {name:?} is not ready: {reason}")]
    NotReady {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// A name that no model can have.
    #[error(
        "{name:?} is no name of a model: use letters, digits, '.', '_' and '-', and begin with a letter, a digit or '_'"
    )]
    BadName {
        /// The name, shortened.
        name: String,
    },
    /// The message of the Open Inference Protocol cannot be read.
    #[error(transparent)]
    Message(#[from] OipError),
    /// A body that is no such request.
    #[error("the request is not valid: {0}")]
    BadRequest(String),
    /// A setting of the request makes no sense.
    #[error("{name} {why}")]
    BadParameter {
        /// Which one.
        name: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The model cannot do what was asked.
    #[error("model {name:?} cannot {what}: {why}")]
    Unsuited {
        /// The model.
        name: String,
        /// What was asked.
        what: &'static str,
        /// What it lacks.
        why: String,
    },
    /// The body is longer than the server takes.
    #[error("the body is longer than {limit} bytes, which is the most that this server takes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body did not come in time.
    #[error("the body did not come within {after:?}")]
    BodyTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// The body broke off.
    #[error("the body could not be read: {0}")]
    BodyBroken(String),
    /// The body is compressed in a way that the server does not read.
    #[error("the body is compressed in a way that is not known: use gzip, deflate or none")]
    UnknownEncoding,
    /// There is no token, or one that is not known.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The token does not allow it.
    #[error("this token may not {0}")]
    Forbidden(&'static str),
    /// No guest can be invited.
    #[error("no guest can be invited: {0}")]
    NoInvitation(String),
    /// There is nothing at this address.
    #[error("there is nothing at {0:?}; /openapi.json lists what there is")]
    NoRoute(String),
    /// The method is not one that the address knows.
    #[error("this address does not know the method; /openapi.json lists what there is")]
    NoMethod,
    /// The token has used up its rate.
    #[error("too many requests with this token: try again in {} s", seconds(*.retry_after))]
    RateLimited {
        /// When a request is allowed again.
        retry_after: Duration,
    },
    /// More requests are being worked on than the server takes.
    #[error("the server works on {limit} requests already, which is the most")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// As many look at the live page as may.
    #[error("{limit} look at the live page already, which is the most")]
    Watched {
        /// The limit.
        limit: usize,
    },
    /// The bodies that are being worked on take all the room that there is.
    #[error("the bodies of other requests take all of the {limit} bytes that there are for them")]
    NoRoom {
        /// Bytes of all bodies together.
        limit: u64,
    },
    /// The server is going down.
    #[error("the server is shutting down")]
    Draining,
    /// The pool refused the request or failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something below the protocols.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What should not happen.
    #[error("internal error: {0}")]
    Internal(String),
}

/// When to come again where nobody knows better.
const SOON: Duration = Duration::from_secs(1);

impl ServiceError {
    /// The status of an HTTP answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownModel { .. } | Self::UnknownVersion { .. } => StatusCode::NOT_FOUND,
            Self::BadName { .. }
            | Self::Message(_)
            | Self::BadRequest(_)
            | Self::BadParameter { .. }
            | Self::Unsuited { .. }
            | Self::BodyBroken(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoInvitation(_) => StatusCode::CONFLICT,
            Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady { .. }
            | Self::Busy { .. }
            | Self::Watched { .. }
            | Self::NoRoom { .. }
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Run(error) | Self::Engine(EngineError::Run(error)) => run_status(error),
            Self::Engine(EngineError::Caller(_)) => StatusCode::BAD_REQUEST,
            Self::Engine(EngineError::Model(_)) => StatusCode::BAD_REQUEST,
            Self::Engine(EngineError::Failed(_)) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status of a gRPC answer.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotReady { .. }
            | Self::Busy { .. }
            | Self::Watched { .. }
            | Self::NoRoom { .. }
            | Self::Draining => Code::Unavailable,
            Self::Run(RunError::Cancelled) => Code::Cancelled,
            other => match other.status() {
                StatusCode::NOT_FOUND => Code::NotFound,
                StatusCode::BAD_REQUEST => Code::InvalidArgument,
                StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
                StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
                StatusCode::UNAUTHORIZED => Code::Unauthenticated,
                StatusCode::FORBIDDEN => Code::PermissionDenied,
                StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
                _ => Code::Internal,
            },
        }
    }

    /// When to try again, where that may help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Run(error) | Self::Engine(EngineError::Run(error)) => match error {
                RunError::ModelTooLarge { .. } => None,
                error => error
                    .retry_after()
                    .or_else(|| (run_status(error) == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON)),
            },
            Self::NotReady { .. }
            | Self::Busy { .. }
            | Self::Watched { .. }
            | Self::NoRoom { .. }
            | Self::Draining => Some(SOON),
            _ => None,
        }
    }

    /// A word for counters and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownModel { .. } => "unknown_model",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::NotReady { .. } => "not_ready",
            Self::BadName { .. } => "bad_name",
            Self::Message(_) => "bad_message",
            Self::BadRequest(_) => "bad_request",
            Self::BadParameter { .. } => "bad_parameter",
            Self::Unsuited { .. } => "unsuited",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::BodyBroken(_) => "body_broken",
            Self::UnknownEncoding => "unknown_encoding",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NoInvitation(_) => "no_invitation",
            Self::NoRoute(_) => "no_route",
            Self::NoMethod => "no_method",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Watched { .. } => "watched",
            Self::NoRoom { .. } => "no_room",
            Self::Draining => "draining",
            Self::Run(error) | Self::Engine(EngineError::Run(error)) => run_reason(error),
            Self::Engine(_) => "engine",
            Self::Internal(_) => "internal",
        }
    }

    /// The error with its causes, on one line.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        // What a page says may have several.
        let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }
}

fn run_status(error: &RunError) -> StatusCode {
    match error {
        RunError::QueueFull { .. }
        | RunError::NoWorker(_)
        | RunError::WorkersLost { .. }
        | RunError::ModelTooLarge { .. }
        | RunError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        RunError::InvalidInput(_) | RunError::UnknownOutput(_) => StatusCode::BAD_REQUEST,
        RunError::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
        // nginx's number for a client that went away; nobody is there to read it.
        RunError::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        error if error.is_callers_fault() => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn run_reason(error: &RunError) -> &'static str {
    match error {
        RunError::QueueFull { .. } => "queue_full",
        RunError::InvalidInput(_) => "invalid_input",
        RunError::UnknownOutput(_) => "unknown_output",
        RunError::NoWorker(_) => "no_worker",
        RunError::ModelTooLarge { .. } => "model_too_large",
        RunError::DeadlineExceeded { .. } => "deadline_exceeded",
        RunError::Cancelled => "cancelled",
        RunError::WorkersLost { .. } => "workers_lost",
        RunError::Load { .. } => "load_failed",
        RunError::Inference { .. } => "inference_failed",
        RunError::ShuttingDown => "draining",
        _ => "run_failed",
    }
}

/// Whole seconds, at least one: what `Retry-After` takes.
pub(crate) fn seconds(duration: Duration) -> u64 {
    (duration.as_secs_f64().ceil() as u64).max(1)
}

fn names(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}

/// What came from outside, cut to what a message may hold.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 128;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let error = ServiceError::BadRequest("one\r\n  two\n\nthree\n".to_owned());
        assert_eq!(error.message(), "the request is not valid: one two three");
    }
}
