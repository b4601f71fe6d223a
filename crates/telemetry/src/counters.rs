//! One atomic counter for each event and each cause: a fixed set, so cardinality is bounded by construction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Event, EvictCause, LeaveCause, Outcome, RejectReason, RetryCause, StallCause};

/// How many causes the largest cause enum may have.
const CAUSES: usize = 8;

/// The counters behind a handle.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    workers_joined: AtomicU64,
    workers_left: [AtomicU64; CAUSES],
    sessions_loading: AtomicU64,
    sessions_loaded: AtomicU64,
    sessions_load_failed: AtomicU64,
    sessions_evicted: [AtomicU64; CAUSES],
    requests_accepted: AtomicU64,
    requests_rejected: [AtomicU64; CAUSES],
    requests_dispatched: AtomicU64,
    requests_retried: [AtomicU64; CAUSES],
    requests_finished: [AtomicU64; CAUSES],
    orphans: AtomicU64,
    history_stalled: [AtomicU64; CAUSES],
    history_resumed: AtomicU64,
    pub(crate) events_lost: AtomicU64,
    pub(crate) samples_lost: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, event: &Event) {
        let counter = match event {
            Event::WorkerJoined { .. } => &self.workers_joined,
            Event::WorkerLeft { cause, .. } => &self.workers_left[*cause as usize],
            Event::SessionLoading { .. } => &self.sessions_loading,
            Event::SessionLoaded { .. } => &self.sessions_loaded,
            Event::SessionLoadFailed { .. } => &self.sessions_load_failed,
            Event::SessionEvicted { cause, .. } => &self.sessions_evicted[*cause as usize],
            Event::RequestAccepted { .. } => &self.requests_accepted,
            Event::RequestRejected { reason } => &self.requests_rejected[*reason as usize],
            Event::RequestDispatched { .. } => &self.requests_dispatched,
            Event::RequestRetried { cause, .. } => &self.requests_retried[*cause as usize],
            Event::RequestFinished { outcome, .. } => &self.requests_finished[*outcome as usize],
            Event::Orphan { .. } => &self.orphans,
            Event::HistoryStalled { cause, .. } => &self.history_stalled[*cause as usize],
            Event::HistoryResumed { .. } => &self.history_resumed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        let mut one = |name: &str, counter: &AtomicU64| {
            all.insert(name.to_owned(), counter.load(Relaxed));
        };
        one("workers_joined", &self.workers_joined);
        one("sessions_loading", &self.sessions_loading);
        one("sessions_loaded", &self.sessions_loaded);
        one("sessions_load_failed", &self.sessions_load_failed);
        one("requests_accepted", &self.requests_accepted);
        one("requests_dispatched", &self.requests_dispatched);
        one("orphans", &self.orphans);
        one("history_resumed", &self.history_resumed);
        one("events_lost", &self.events_lost);
        one("samples_lost", &self.samples_lost);
        let mut many =
            |name: &str, labels: &mut dyn Iterator<Item = &'static str>, counters: &[AtomicU64]| {
                for (label, counter) in labels.zip(counters) {
                    one(&format!("{name}.{label}"), counter);
                }
            };
        many("workers_left", &mut LeaveCause::ALL.iter().map(|c| c.as_str()), &self.workers_left);
        many("sessions_evicted", &mut EvictCause::ALL.iter().map(|c| c.as_str()), &self.sessions_evicted);
        many("requests_rejected", &mut RejectReason::ALL.iter().map(|c| c.as_str()), &self.requests_rejected);
        many("requests_retried", &mut RetryCause::ALL.iter().map(|c| c.as_str()), &self.requests_retried);
        many("requests_finished", &mut Outcome::ALL.iter().map(|c| c.as_str()), &self.requests_finished);
        many("history_stalled", &mut StallCause::ALL.iter().map(|c| c.as_str()), &self.history_stalled);
        all
    }
}

// A cause beyond the array would panic where it is counted, so the enums may not outgrow it unnoticed.
const _: () = assert!(
    LeaveCause::ALL.len() <= CAUSES
        && EvictCause::ALL.len() <= CAUSES
        && RejectReason::ALL.len() <= CAUSES
        && RetryCause::ALL.len() <= CAUSES
        && Outcome::ALL.len() <= CAUSES
        && StallCause::ALL.len() <= CAUSES
);
