//! What a server takes at most.

use std::time::Duration;

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {what}")]
pub struct LimitsError {
    name: &'static str,
    what: &'static str,
}

/// What a server takes at most.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one body, after decompression. Default 256 MiB.
    pub max_body_bytes: u64,
    /// Bytes of all bodies that are being worked on; at least `max_body_bytes`. Default 1 GiB.
    pub max_buffered_bytes: u64,
    /// Requests that are being worked on at the same time, those that wait included. Default 4 096.
    pub max_requests: usize,
    /// Streams of the live page that are open at the same time. Default 32.
    pub max_watchers: usize,
    /// Connections that are open at the same time. Default 16 384.
    pub max_connections: usize,
    /// How long a client may take for the head of a request, and may keep a connection without one. Default 30 s.
    pub header_timeout: Duration,
    /// How long a client may take for the next piece of a body. Default 30 s.
    pub body_timeout: Duration,
    /// How long a request may take at most, whatever it asks for. Default 5 min.
    pub max_timeout: Duration,
    /// Tokens that a text may get at most, whatever is asked for. Default 4 096.
    pub max_new_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 256 << 20,
            max_buffered_bytes: 1 << 30,
            max_requests: 4_096,
            max_watchers: 32,
            max_connections: 16_384,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(300),
            max_new_tokens: 4_096,
        }
    }
}

impl Limits {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first one that makes no sense.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let year = Duration::from_secs(366 * 24 * 3_600);
        let time = |of: Duration| !of.is_zero() && of <= year;
        let checks = [
            ("max_body_bytes", "at least 1024", self.max_body_bytes >= 1_024),
            ("max_buffered_bytes", "at least max_body_bytes", self.max_buffered_bytes >= self.max_body_bytes),
            ("max_requests", "at least 1", self.max_requests > 0),
            ("max_watchers", "at least 1", self.max_watchers > 0),
            ("max_connections", "at least 1", self.max_connections > 0),
            ("header_timeout", "above 0 and at most a year", time(self.header_timeout)),
            ("body_timeout", "above 0 and at most a year", time(self.body_timeout)),
            ("max_timeout", "above 0 and at most a year", time(self.max_timeout)),
            ("max_new_tokens", "at least 1", self.max_new_tokens > 0),
        ];
        match checks.into_iter().find(|(.., right)| !right) {
            Some((name, what, _)) => Err(LimitsError { name, what }),
            None => Ok(()),
        }
    }
}
