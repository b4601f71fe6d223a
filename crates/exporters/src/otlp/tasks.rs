//! What goes on in the background: one task for spans and one for metrics, so that neither waits for the other.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::counts::Counts;
use super::encode::{self, Queued};
use super::metrics_body::{self, Times};
use super::post::{Ending, Poster, whole};
use crate::Family;

/// What both tasks need.
pub(super) struct Task {
    pub(super) poster: Poster,
    pub(super) ending: Ending,
    pub(super) resource: Resource,
    pub(super) counts: Arc<Counts>,
    pub(super) interval: Duration,
    /// What is sent, for the log.
    pub(super) signal: &'static str,
    /// Whether the last delivery failed, so that a failure is told once and not for each request.
    pub(super) failing: bool,
}

impl Task {
    /// Sends spans, a batch at a time, until the exporter ends and the queue is empty.
    pub(super) async fn spans(mut self, mut queue: mpsc::Receiver<Queued>, batch: usize) {
        let mut spans = Vec::new();
        let mut more = true;
        while more {
            let full = Instant::now() + self.interval;
            while spans.len() < batch {
                let room = batch - spans.len();
                tokio::select! {
                    got = queue.recv_many(&mut spans, room) => {
                        if got == 0 {
                            more = false;
                            break;
                        }
                    }
                    () = tokio::time::sleep_until(full), if !queue.is_closed() => break,
                    // After that, what is in the queue still comes, and then the end.
                    _ = self.ending.changed(), if !queue.is_closed() => queue.close(),
                }
            }
            if !spans.is_empty() {
                self.deliver_spans(std::mem::take(&mut spans)).await;
            }
        }
    }

    async fn deliver_spans(&mut self, spans: Vec<Queued>) {
        let count = spans.len() as u64;
        let body = encode::traces(&self.resource, spans);
        let Some(answer) = self.deliver(&body).await else {
            self.counts.spans(0, count);
            return;
        };
        // An answer that cannot be read says nothing about rejected spans, so none is taken to be.
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let refused = u64::try_from(partial.rejected_spans).unwrap_or(0).min(count);
        if refused > 0 {
            tracing::warn!(refused, message = partial.error_message, "the collector refused spans");
        }
        self.counts.spans(count - refused, refused);
    }

    /// Sends metrics at once, then at each interval, and a last time when the exporter ends.
    pub(super) async fn metrics(mut self, read: impl Fn() -> Vec<Family> + Send + 'static) {
        let clock = self.poster.clock;
        let start = clock();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = false;
        while !last {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.ending.changed() => last = true,
            }
            let mut families = read();
            families.extend(self.counts.read().families());
            let body = metrics_body::metrics(&self.resource, &families, Times { start, now: clock() });
            let counts = Arc::clone(&self.counts);
            let sent = self.deliver(&body).await.is_some();
            let counter = if sent { &counts.metrics_sent } else { &counts.metrics_failed };
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Sends one body; `None` where it was not taken, which is told once.
    async fn deliver(&mut self, body: &Bytes) -> Option<Bytes> {
        let signal = self.signal;
        match self.poster.deliver(body).await {
            Ok(answer) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(signal, "the collector takes what it is sent again");
                }
                Some(answer)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    let error = whole(&error);
                    tracing::warn!(
                        signal,
                        error,
                        "what was to be exported is lost until the collector takes it"
                    );
                }
                None
            }
        }
    }
}
