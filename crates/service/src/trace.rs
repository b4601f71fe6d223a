//! The spans of one request: from its arrival over queue, lease and socket to the page's `session.run` and back.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use exporters::otlp::Exporter;
use exporters::{Span, SpanKind, TraceContext, Value};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::infer::Inferred;
use crate::repository::Served;

/// Children that one request's trace has at most: a request may hold many texts.
const MOST: usize = 64;

/// What is known of one request's trace. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Traced>>);

struct Traced {
    exporter: Arc<Exporter>,
    context: TraceContext,
    parent: Option<[u8; 8]>,
    /// One moment by both clocks.
    arrived: (Instant, SystemTime),
    spans: Mutex<Vec<Span>>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Trace").field(&self.0.as_ref().map(|traced| traced.context)).finish()
    }
}

impl Trace {
    /// The trace of a request that arrives now: the one that its `traceparent` names, or a new one. Nothing where there is
    /// no exporter, or whoever began the trace does not record it.
    pub(crate) fn begin(exporter: Option<&Arc<Exporter>>, traceparent: Option<&str>) -> Self {
        let Some(exporter) = exporter else { return Self(None) };
        let outer = traceparent.and_then(TraceContext::parse);
        let context = match &outer {
            Some(outer) => outer.child(rand::random::<u64>),
            None => TraceContext::root(true, rand::random::<u64>),
        };
        if !context.sampled {
            return Self(None);
        }
        Self(Some(Arc::new(Traced {
            exporter: Arc::clone(exporter),
            context,
            parent: outer.map(|outer| outer.span_id),
            arrived: (Instant::now(), SystemTime::now()),
            spans: Mutex::default(),
        })))
    }

    /// Adds the spans of one run that was asked for at `began` and has just ended.
    pub(crate) fn ran(&self, served: &Served, began: Instant, inferred: &Inferred) {
        let Some(traced) = &self.0 else { return };
        let Inferred { report, asked, batch, outputs: _ } = inferred;
        let ms = |ms: f64| *asked + Duration::try_from_secs_f64(ms.max(0.0) / 1e3).unwrap_or_default();
        let mut spans = Vec::new();
        let root = traced.context.span_id;
        if *asked > began && batch.is_some() {
            spans.push(traced.span("batch", root, began, *asked));
        }
        let dispatched = report.timeline.as_ref().map_or(report.queue_ms, |timeline| timeline.dispatched_ms);
        let received = report.timeline.as_ref().map_or(report.total_ms, |timeline| timeline.received_ms);
        spans.push(traced.span("queue", root, *asked, ms(dispatched)));
        let mut lease = traced
            .span("lease", root, ms(dispatched), ms(received))
            .with("webnn_pool.worker", report.worker.0)
            .with("webnn_pool.browser", report.browser.as_str())
            .with("webnn_pool.browser_version", report.browser_version.to_string())
            .with("webnn_pool.backend", report.backend.as_str())
            .with("webnn_pool.device", report.device_effective.to_string())
            .with("webnn_pool.model", served.name.clone())
            .with("webnn_pool.model_version", served.version.clone())
            .with("webnn_pool.attempts", u64::from(report.attempts));
        if let Some(batch) = batch {
            lease = lease
                .with("webnn_pool.batch_rows", batch.rows)
                .with("webnn_pool.batch_requests", batch.requests as u64);
        }
        if let Some(load_ms) = report.load_ms {
            lease = lease.with("webnn_pool.load_ms", load_ms);
        }
        if let Some(timeline) = &report.timeline {
            let within = lease.context.span_id;
            let page = traced.span("page", within, ms(timeline.arrived_ms), ms(timeline.answered_ms));
            let inside = page.context.span_id;
            spans.push(traced.span("send", within, ms(dispatched), ms(timeline.sent_ms)));
            spans.push(traced.span("socket out", within, ms(timeline.sent_ms), ms(timeline.arrived_ms)));
            spans.push(traced.span("turn", inside, ms(timeline.arrived_ms), ms(timeline.started_ms)));
            spans.push(traced.span("session.run", inside, ms(timeline.started_ms), ms(timeline.ended_ms)));
            spans.push(traced.span("outputs", inside, ms(timeline.ended_ms), ms(timeline.answered_ms)));
            spans.push(page);
            spans.push(traced.span(
                "socket back",
                within,
                ms(timeline.answered_ms),
                ms(timeline.received_ms),
            ));
        }
        spans.push(lease);
        let mut all = traced.spans.lock();
        if all.len() + spans.len() <= MOST {
            all.append(&mut spans);
        }
    }

    /// Adds a part of the request's own work, which began then and ends now.
    pub(crate) fn part(&self, name: &'static str, began: Instant) {
        if let Some(traced) = &self.0 {
            let span = traced.span(name, traced.context.span_id, began, Instant::now());
            traced.spans.lock().push(span);
        }
    }

    /// When the request arrived.
    pub(crate) fn arrived(&self) -> Option<Instant> {
        self.0.as_ref().map(|traced| traced.arrived.0)
    }

    /// The header for the answer, by which its receiver finds the trace.
    pub(crate) fn header(&self) -> Option<String> {
        self.0.as_ref().map(|traced| traced.context.to_header())
    }

    /// Hands the spans over; the request has ended.
    pub(crate) fn end(
        &self,
        name: String,
        status: u16,
        attributes: Vec<(&'static str, Value)>,
        error: Option<String>,
    ) {
        let Some(traced) = &self.0 else { return };
        let (start, end) = (traced.unix(traced.arrived.0), traced.unix(Instant::now()));
        let mut root = Span::new(traced.context, name, SpanKind::Server, start, end)
            .with("http.response.status_code", u64::from(status));
        root.parent = traced.parent;
        root.error = error;
        for (name, value) in attributes {
            root = root.with(name, value);
        }
        let mut spans = std::mem::take(&mut *traced.spans.lock());
        // What comes behind the last part is answering.
        let last = spans
            .iter()
            .filter(|span| span.parent == Some(traced.context.span_id))
            .map(|span| span.end)
            .max();
        if let Some(last) = last.filter(|last| *last < end) {
            let context = traced.context.child(rand::random::<u64>);
            spans.push(
                Span::new(context, "respond", SpanKind::Internal, last, end).of(traced.context.span_id),
            );
        }
        spans.push(root);
        traced.exporter.spans(spans);
    }
}

impl Traced {
    fn span(&self, name: &'static str, parent: [u8; 8], start: Instant, end: Instant) -> Span {
        let context = self.context.child(rand::random::<u64>);
        Span::new(context, name, SpanKind::Internal, self.unix(start), self.unix(end)).of(parent)
    }

    /// A moment in nanoseconds since 1970, by the clock of the request's arrival and the steady one from there on.
    fn unix(&self, at: Instant) -> u64 {
        let (steady, wall) = self.arrived;
        let base = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = at.saturating_duration_since(steady);
        let whole = base + since;
        u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX)
    }
}
