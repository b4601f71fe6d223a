//! Who starts and ends the tasks, and where spans are handed over.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::counts::Counts;
use super::encode::{Queued, resource};
use super::pace::Pace;
use super::post::Poster;
use super::tasks::Task;
use super::{Settings, ShutdownError, Span, StartError, Stats, tls};
use crate::Family;

/// Sends spans and metrics to an OpenTelemetry collector, over OTLP/HTTP as binary protobuf.
///
/// Handing over a span never waits. Metrics are read from the function that was given to [`start`](Self::start) and sent
/// as cumulative sums, gauges and summaries under the names that Prometheus sees; sums count from the exporter's start.
/// Answers 429, 502, 503 and 504 and failed connections are repeated after growing waits, or after the time that the
/// collector asks for, within [`Settings::retry`]; everything else fails at once. Failures are counted, and told to
/// `tracing` once until it works again.
///
/// Dropping the exporter ends it without delivering what waits; [`shutdown`](Self::shutdown) delivers.
pub struct Exporter {
    queue: mpsc::Sender<Queued>,
    counts: Arc<Counts>,
    ending: watch::Sender<Option<Instant>>,
    /// Dropping it ends the tasks.
    tasks: Mutex<Option<JoinSet<()>>>,
    flush: Duration,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Starts to send. `metrics` is called at once, at each interval, and when the exporter ends; what it answers is
    /// sent together with [the exporter's own families](Self::families), which it must not hold.
    ///
    /// # Errors
    /// A setting that cannot work, no HTTP client, or no tokio runtime. Whether the collector can be reached is not
    /// tried.
    pub fn start(
        settings: Settings,
        metrics: impl Fn() -> Vec<Family> + Send + 'static,
    ) -> Result<Self, StartError> {
        settings.validate()?;
        let runtime = Handle::try_current().map_err(|source| StartError::Runtime { source })?;
        tls::ensure_provider();
        // A collector that sends us elsewhere could send the headers elsewhere.
        let client = Client::builder().redirect(Policy::none()).timeout(settings.timeout);
        let client = client.user_agent(concat!("webnn-pool/", env!("CARGO_PKG_VERSION")));
        let client = client.default_headers(settings.header_map()?).build();
        let client = client.map_err(|source| StartError::Client { source })?;

        let (queue, spans) = mpsc::channel(settings.queue.min(tokio::sync::Semaphore::MAX_PERMITS));
        let (ending, ended) = watch::channel(None);
        let counts = Arc::new(Counts::default());
        let seed = settings.seed.unwrap_or_else(rand::random);
        let task = |signal: &'static str, seed: u64| Task {
            poster: Poster {
                client: client.clone(),
                url: settings.address(signal),
                pace: Pace::new(settings.retry, seed),
                ending: ended.clone(),
                clock: settings.clock,
            },
            ending: ended.clone(),
            resource: resource(&settings),
            counts: Arc::clone(&counts),
            interval: settings.interval,
            signal,
            failing: false,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn_on(task("traces", seed).spans(spans, settings.batch), &runtime);
        tasks.spawn_on(task("metrics", seed.wrapping_add(1)).metrics(metrics), &runtime);
        Ok(Self { queue, counts, ending, tasks: Mutex::new(Some(tasks)), flush: settings.flush })
    }

    /// Hands over a span. Never waits: where the queue is full, or the exporter closed, the span is lost and counted.
    /// A span whose context is not sampled is dropped without being counted, because nobody wants it.
    pub fn span(&self, mut span: Span) {
        if !span.context.sampled {
            return;
        }
        let dropped = span.cut();
        self.counts.waiting.fetch_add(1, Relaxed);
        if self.queue.try_send(Queued { span, dropped }).is_err() {
            self.counts.left(1);
            self.counts.spans_lost.fetch_add(1, Relaxed);
        }
    }

    /// Hands over several spans, each like [`Self::span`].
    pub fn spans(&self, spans: Vec<Span>) {
        for span in spans {
            self.span(span);
        }
    }

    /// What became of spans and metrics so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    /// The same as metric families, for those who read metrics elsewhere; what is sent over OTLP holds them already.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.stats().families()
    }

    /// Takes no more spans, and has what waits delivered within [`Settings::flush`] from now. Returns at once.
    pub fn close(&self) {
        self.ending.send_if_modified(|end| {
            let first = end.is_none();
            if first {
                *end = Some(Instant::now() + self.flush);
            }
            first
        });
    }

    /// Closes the exporter, waits until what waits is delivered or the time for that is over, and ends the tasks. Does
    /// nothing where that was done already.
    ///
    /// # Errors
    /// Some spans were not delivered.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let failed_before = self.stats().spans_failed;
        self.close();
        let end = (*self.ending.borrow()).unwrap_or_else(Instant::now);
        // Cancellation safety: the tasks are in this future's hands from here on; dropping it ends them.
        let Some(mut tasks) = self.tasks.lock().take() else { return Ok(()) };
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(end, all).await.is_err() {
            tasks.shutdown().await;
        }
        let spans = self.counts.give_up() + (self.stats().spans_failed - failed_before);
        if spans == 0 { Ok(()) } else { Err(ShutdownError::Unflushed { spans, limit: self.flush }) }
    }

    /// Ends the tasks without delivering what waits, which counts as lost.
    pub fn abort(&self) {
        self.close();
        drop(self.tasks.lock().take());
        self.counts.give_up();
    }
}
