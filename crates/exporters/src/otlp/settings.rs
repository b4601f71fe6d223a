//! How an exporter works, and what is checked about it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{StartError, Value};

/// Settings of an [`Exporter`](super::Exporter). They are checked when it starts.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where the collector is, over `http` or `https`, without `/v1/traces` or `/v1/metrics`, which are put after its
    /// path.
    pub endpoint: Url,
    /// Headers of each request, such as a key of the collector's owner. Their values are never printed. Default: none.
    pub headers: Vec<(String, String)>,
    /// What the service is called in traces and metrics. Default `webnn-pool`.
    pub service_name: Cow<'static, str>,
    /// What else is known about this process: attributes of the OpenTelemetry resource. Default: none.
    pub resource: Vec<(Cow<'static, str>, Value)>,
    /// How often metrics are sent, and how long a span waits for others at most. Default 5 s; must not be zero.
    pub interval: Duration,
    /// How many spans may wait; what comes when so many wait is lost, and counted. Default 2 048; must not be zero.
    pub queue: usize,
    /// How many spans are sent in one request at most. Default 512; must not be zero.
    pub batch: usize,
    /// How long one request may take. Default 10 s; must not be zero.
    pub timeout: Duration,
    /// How long after the first failure a request is repeated, waits that the collector asks for included. What could not
    /// be delivered by then has failed, and is counted. Zero repeats nothing. Default 60 s.
    pub retry: Duration,
    /// How long [`shutdown`](super::Exporter::shutdown) tries to deliver what waits. Default 5 s.
    pub flush: Duration,
    /// What time it is, in nanoseconds since 1970. Default: the system's clock.
    pub clock: fn() -> u64,
    /// Where the randomness of waits comes from; `None` takes it from the system. Default `None`.
    pub seed: Option<u64>,
}

impl Settings {
    /// The defaults, for a collector at `endpoint`.
    #[must_use]
    pub const fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            service_name: Cow::Borrowed("webnn-pool"),
            resource: Vec::new(),
            interval: Duration::from_secs(5),
            queue: 2_048,
            batch: 512,
            timeout: Duration::from_secs(10),
            retry: Duration::from_secs(60),
            flush: Duration::from_secs(5),
            clock: crate::when::unix_nanos,
            seed: None,
        }
    }

    /// Checks what can be checked without a network.
    pub(super) fn validate(&self) -> Result<(), StartError> {
        if !matches!(self.endpoint.scheme(), "http" | "https") || self.endpoint.cannot_be_a_base() {
            return Err(StartError::Endpoint { scheme: self.endpoint.scheme().to_owned() });
        }
        let zero = [
            ("interval", self.interval.is_zero()),
            ("queue", self.queue == 0),
            ("batch", self.batch == 0),
            ("timeout", self.timeout.is_zero()),
        ];
        match zero.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(StartError::Zero { name }),
            None => Ok(()),
        }
    }

    /// The address for one kind of data.
    pub(super) fn address(&self, signal: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", signal]);
        }
        url
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, StartError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let refused = || StartError::Header { name: name.clone() };
            let key = HeaderName::try_from(name).map_err(|_| refused())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| refused())?;
            value.set_sensitive(true);
            map.append(key, value);
        }
        Ok(map)
    }
}

/// Without the values of headers and without credentials in the address.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            headers,
            service_name,
            resource,
            interval,
            queue,
            batch,
            timeout,
            retry,
            flush,
            clock: _,
            seed,
        } = self;
        f.debug_struct("Settings")
            .field("endpoint", &format_args!("{}", endpoint.origin().ascii_serialization()))
            .field("headers", &headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("service_name", service_name)
            .field("resource", resource)
            .field("interval", interval)
            .field("queue", queue)
            .field("batch", batch)
            .field("timeout", timeout)
            .field("retry", retry)
            .field("flush", flush)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> Settings {
        Settings::new(endpoint.parse().expect("an address"))
    }

    #[track_caller]
    fn check(endpoint: &str, traces: &str) {
        let settings = settings(endpoint);
        settings.validate().expect("it is fine");
        assert_eq!(settings.address("traces").as_str(), traces);
    }

    #[test]
    fn the_signal_is_put_after_the_path() {
        check("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces");
        check("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces");
        check("https://collector.example/otlp", "https://collector.example/otlp/v1/traces");
        check(
            "https://collector.example/otlp/?tenant=1",
            "https://collector.example/otlp/v1/traces?tenant=1",
        );
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(matches!(settings("ftp://x/").validate(), Err(StartError::Endpoint { .. })));
        let mut none = settings("http://x/");
        none.batch = 0;
        assert!(matches!(none.validate(), Err(StartError::Zero { name: "batch" })));
        let mut odd = settings("http://x/");
        odd.headers.push(("a b".to_owned(), "c".to_owned()));
        assert!(matches!(odd.header_map(), Err(StartError::Header { .. })));
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = settings("https://user:pass@collector.example/key");
        settings.headers.push(("x-api-key".to_owned(), "secret".to_owned()));
        let text = format!("{settings:?}");
        assert!(text.contains("x-api-key") && text.contains("collector.example"), "{text}");
        assert!(!text.contains("secret") && !text.contains("pass") && !text.contains("/key"), "{text}");
    }
}
