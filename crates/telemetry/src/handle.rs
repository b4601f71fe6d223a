//! The handle that everybody emits through.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::counters::Counters;
use crate::latency::Latencies;
use crate::ring::Ring;
use crate::rungs::RungTimes;
use crate::{Event, LatencyKind, Outcome, Sink, Snapshot};

/// Counts events, keeps their latencies, remembers the recent ones and passes them on to sinks.
///
/// Cloning is one reference count; all clones share one state.
#[derive(Debug, Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    epoch: OnceLock<Instant>,
    counters: Counters,
    latencies: Latencies,
    rungs: RungTimes,
    ring: Ring,
    sinks: Box<[Arc<dyn Sink>]>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("counters", &self.counters)
            .field("sinks", &self.sinks.len())
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Telemetry`] handle.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    recent: usize,
    sinks: Vec<Arc<dyn Sink>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("recent", &self.recent).field("sinks", &self.sinks.len()).finish()
    }
}

impl Builder {
    /// How many recent events are remembered. Default 1 024; 0 remembers none. At most 65 536 are kept.
    pub fn recent(mut self, events: usize) -> Self {
        self.recent = events.min(65_536);
        self
    }

    /// Adds a listener. Default: none.
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Creates the handle.
    #[must_use]
    pub fn build(self) -> Telemetry {
        Telemetry {
            shared: Arc::new(Shared {
                epoch: OnceLock::new(),
                counters: Counters::default(),
                latencies: Latencies::new(),
                rungs: RungTimes::new(),
                ring: Ring::new(self.recent),
                sinks: self.sinks.into_boxed_slice(),
            }),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// A handle without sinks that remembers 1 024 events.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings to start from.
    pub fn builder() -> Builder {
        Builder { recent: 1_024, sinks: Vec::new() }
    }

    /// Takes note of an event that happened at `now`. The first event's `now` becomes time zero of this handle.
    ///
    /// Never waits: where another thread holds what a sample needs, the sample is counted as lost instead.
    pub fn emit(&self, now: Instant, event: Event) {
        let shared = &*self.shared;
        let epoch = *shared.epoch.get_or_init(|| now);
        let at_ms = now.saturating_duration_since(epoch).as_secs_f64() * 1e3;
        shared.counters.count(&event);
        if !shared.measure(&event) {
            shared.counters.samples_lost.fetch_add(1, Relaxed);
        }
        let event = Arc::new(event);
        for sink in &shared.sinks {
            sink.record(at_ms, &event);
        }
        if !shared.ring.push(at_ms, event) {
            shared.counters.events_lost.fetch_add(1, Relaxed);
        }
    }

    /// Counters, latencies and recent events as they are now. Costs some milliseconds at most.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            counters: self.shared.counters.read(),
            latencies: self.shared.latencies.read(),
            rungs: self.shared.rungs.read(),
            recent: self.shared.ring.read(),
        }
    }
}

impl Shared {
    /// Adds the event's times to the histograms; `false` where they were lost.
    fn measure(&self, event: &Event) -> bool {
        match event {
            Event::SessionLoaded { place, load_ms, .. } => {
                self.latencies.record(place.browser, place.backend, &[(LatencyKind::Load, *load_ms)])
            }
            // Only results are measured: a request that was cut off would make the pool look faster than it is.
            Event::RequestFinished {
                outcome: Outcome::Completed,
                place: Some(place),
                queue_ms,
                in_page_ms,
                total_ms,
                ..
            } => {
                let samples = [
                    (LatencyKind::Queue, *queue_ms),
                    (LatencyKind::Total, *total_ms),
                    (LatencyKind::InPage, in_page_ms.unwrap_or(0.0)),
                ];
                let known = if in_page_ms.is_some() { 3 } else { 2 };
                self.latencies.record(place.browser, place.backend, &samples[..known])
            }
            Event::RungTried { rung, outcome, took_ms, .. } => self.rungs.record(*rung, *outcome, *took_ms),
            _ => true,
        }
    }
}
