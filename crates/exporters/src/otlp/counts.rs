//! What became of spans and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Family;

/// What became of what was to be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Spans that the collector took.
    pub spans_sent: u64,
    /// Spans that never left: no room in the queue, or the exporter was closed, or it ended before their turn came.
    pub spans_lost: u64,
    /// Spans that the collector refused, or could not be reached with.
    pub spans_failed: u64,
    /// Sets of metrics that the collector took.
    pub metrics_sent: u64,
    /// Sets of metrics that it refused, or could not be reached with.
    pub metrics_failed: u64,
}

impl Stats {
    /// The same numbers as families: `webnn_pool_otlp_spans_sent_total`, `…_spans_lost_total`, `…_spans_failed_total`,
    /// `webnn_pool_otlp_metrics_sent_total` and `…_metrics_failed_total`.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        let Self { spans_sent, spans_lost, spans_failed, metrics_sent, metrics_failed } = *self;
        let rows = [
            ("webnn_pool_otlp_spans_sent_total", "Spans that the collector took.", spans_sent),
            (
                "webnn_pool_otlp_spans_lost_total",
                "Spans that were dropped for want of room or time.",
                spans_lost,
            ),
            (
                "webnn_pool_otlp_spans_failed_total",
                "Spans that the collector refused or could not be reached with.",
                spans_failed,
            ),
            ("webnn_pool_otlp_metrics_sent_total", "Sets of metrics that the collector took.", metrics_sent),
            (
                "webnn_pool_otlp_metrics_failed_total",
                "Sets of metrics that the collector refused or could not be reached with.",
                metrics_failed,
            ),
        ];
        rows.into_iter().map(|(name, help, value)| Family::counter(name, help, value)).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Spans that are in the queue or on their way.
    pub(super) waiting: AtomicU64,
    pub(super) spans_sent: AtomicU64,
    pub(super) spans_lost: AtomicU64,
    pub(super) spans_failed: AtomicU64,
    pub(super) metrics_sent: AtomicU64,
    pub(super) metrics_failed: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self) -> Stats {
        Stats {
            spans_sent: self.spans_sent.load(Relaxed),
            spans_lost: self.spans_lost.load(Relaxed),
            spans_failed: self.spans_failed.load(Relaxed),
            metrics_sent: self.metrics_sent.load(Relaxed),
            metrics_failed: self.metrics_failed.load(Relaxed),
        }
    }

    /// Takes note of spans whose fate is known: how many the collector took, and how many it did not.
    pub(super) fn spans(&self, sent: u64, failed: u64) {
        self.spans_sent.fetch_add(sent, Relaxed);
        self.spans_failed.fetch_add(failed, Relaxed);
        self.left(sent + failed);
    }

    /// Takes note that so many spans wait no longer.
    pub(super) fn left(&self, spans: u64) {
        // Saturates, because what was given up may still be told about.
        let _ = self.waiting.fetch_update(Relaxed, Relaxed, |waiting| Some(waiting.saturating_sub(spans)));
    }

    /// Gives up what is waiting; says how many spans that were.
    pub(super) fn give_up(&self) -> u64 {
        let lost = self.waiting.swap(0, Relaxed);
        self.spans_lost.fetch_add(lost, Relaxed);
        lost
    }
}
