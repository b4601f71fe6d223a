//! Where other layers listen.

use std::sync::Arc;

use crate::Event;

/// Receives every event as it is emitted, on the thread that emits it.
///
/// An implementation must return at once: it may count, copy, or try to send into a bounded channel, but it must
/// never wait. It may be called from several threads at the same time, and must not emit from within.
pub trait Sink: Send + Sync + 'static {
    /// Takes note of one event that happened `at_ms` milliseconds after the handle's first event.
    fn record(&self, at_ms: f64, event: &Arc<Event>);
}

// The handle keeps sinks as trait objects, so the trait must stay dyn-compatible.
const _: Option<&dyn Sink> = None;
