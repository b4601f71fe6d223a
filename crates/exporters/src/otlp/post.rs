//! One request after another to the collector, each repeated where that may help.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::pace::Pace;

/// What of an answer's body is read at most.
const ANSWER: usize = 64 * 1_024;

/// Until when to go on trying, where the exporter is to end.
pub(super) type Ending = watch::Receiver<Option<Instant>>;

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("the collector answered {status}")]
    Status { status: StatusCode },
    #[error("the collector cannot be reached")]
    Transport { source: reqwest::Error },
}

/// How one try ended.
enum Try {
    Taken(Bytes),
    /// It may work later; after that long, if the collector says so.
    Later(PostError, Option<Duration>),
    Never(PostError),
}

#[derive(Debug)]
pub(super) struct Poster {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) pace: Pace,
    pub(super) ending: Ending,
    pub(super) clock: fn() -> u64,
}

impl Poster {
    /// Sends one body, as often as it may be sent; answers with the body of the collector's answer.
    pub(super) async fn deliver(&mut self, body: &Bytes) -> Result<Bytes, PostError> {
        let mut failed_first = None;
        let mut repetition = 0;
        loop {
            repetition += 1;
            let (error, asked) = match self.attempt(body.clone()).await {
                Try::Taken(answer) => return Ok(answer),
                Try::Never(error) => return Err(error),
                Try::Later(error, asked) => (error, asked),
            };
            let now = Instant::now();
            let since = now - *failed_first.get_or_insert(now);
            let Some(wait) = self.pace.wait(repetition, since, asked) else { return Err(error) };
            if !self.pause(now + wait).await {
                return Err(error);
            }
        }
    }

    /// Waits; answers `false` at once where the exporter ends before that.
    async fn pause(&mut self, until: Instant) -> bool {
        loop {
            if self.ending.borrow_and_update().is_some_and(|end| until > end) {
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return true,
                changed = self.ending.changed() => if changed.is_err() { return false },
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Try {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/x-protobuf");
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(source) => {
                // What is wrong with the request itself stays wrong.
                let forever = source.is_builder() || source.is_redirect();
                let error = PostError::Transport { source: source.without_url() };
                return if forever { Try::Never(error) } else { Try::Later(error, None) };
            }
        };
        let status = response.status();
        if status.is_success() {
            return Try::Taken(head(response).await);
        }
        let error = PostError::Status { status };
        // Those four are what the protocol's specification calls retryable.
        if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            Try::Later(error, asked.and_then(|text| retry_after(text, (self.clock)())))
        } else {
            Try::Never(error)
        }
    }
}

/// The beginning of an answer; a part where the rest does not come, because it was taken all the same.
async fn head(mut response: Response) -> Bytes {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let room = ANSWER - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if body.len() == ANSWER {
            break;
        }
    }
    body.into()
}

/// How long a `Retry-After` asks to wait: seconds, or a date.
fn retry_after(text: &str, now_unix_nanos: u64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH + Duration::from_nanos(now_unix_nanos);
    Some(date.duration_since(now).unwrap_or_default())
}

/// An error with its causes, for a line in a log.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        // 784111777 is the date of RFC 9110's examples.
        assert_eq!(retry_after(text, 784_111_770_000_000_000), seconds.map(Duration::from_secs));
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        check("120", Some(120));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }
}
