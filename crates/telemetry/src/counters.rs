//! One atomic counter for each event and each cause: a fixed set, so cardinality is bounded by construction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use vocab::{Fault, PressureLevel, Rung};

use crate::{
    BreakerCause, CheckOutcome, Event, EvictCause, GuestEnd, GuestRefusal, LeaveCause, Outcome, RecoveryEnd,
    RecycleCause, RejectReason, Relief, RepairKind, RetryCause, RungOutcome, StallCause,
};

/// How many causes the largest cause enum may have.
const CAUSES: usize = 10;
/// How many rungs there are.
const RUNGS: usize = Rung::ALL.len();

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
    recoveries_started: [AtomicU64; CAUSES],
    rungs_tried: [[AtomicU64; CAUSES]; RUNGS],
    recoveries_ended: [AtomicU64; CAUSES],
    checks: [AtomicU64; CAUSES],
    breakers_moved: [AtomicU64; CAUSES],
    pressure_changed: [AtomicU64; CAUSES],
    memory_relieved: [AtomicU64; CAUSES],
    recycles_due: [AtomicU64; CAUSES],
    workers_replaced: [AtomicU64; CAUSES],
    repaired: [AtomicU64; CAUSES],
    guests_came: AtomicU64,
    guests_went: [AtomicU64; CAUSES],
    guests_refused: [AtomicU64; CAUSES],
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
            Event::RecoveryStarted { fault, .. } => &self.recoveries_started[*fault as usize],
            Event::RungTried { rung, outcome, .. } => &self.rungs_tried[*rung as usize][*outcome as usize],
            Event::RecoveryEnded { end, .. } => &self.recoveries_ended[*end as usize],
            Event::Checked { outcome, .. } => &self.checks[*outcome as usize],
            Event::BreakerMoved { cause, .. } => &self.breakers_moved[*cause as usize],
            Event::PressureChanged { to, .. } => &self.pressure_changed[*to as usize],
            Event::MemoryRelieved { relief, .. } => &self.memory_relieved[*relief as usize],
            Event::WorkerReplaced { cause, .. } => &self.workers_replaced[*cause as usize],
            Event::RecycleDue { cause, .. } => &self.recycles_due[*cause as usize],
            Event::Repaired { kind, .. } => &self.repaired[*kind as usize],
            Event::GuestRefused { cause } => &self.guests_refused[*cause as usize],
            Event::GuestCame { .. } => &self.guests_came,
            Event::GuestWent { cause, .. } => &self.guests_went[*cause as usize],
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
        one("guests_came", &self.guests_came);
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
        many("recoveries_started", &mut Fault::ALL.iter().map(|c| c.as_str()), &self.recoveries_started);
        for (rung, counters) in Rung::ALL.iter().zip(&self.rungs_tried) {
            let name = format!("rungs_tried.{rung}");
            many(&name, &mut RungOutcome::ALL.iter().map(|c| c.as_str()), counters);
        }
        many("recoveries_ended", &mut RecoveryEnd::ALL.iter().map(|c| c.as_str()), &self.recoveries_ended);
        many("checks", &mut CheckOutcome::ALL.iter().map(|c| c.as_str()), &self.checks);
        many("breakers_moved", &mut BreakerCause::ALL.iter().map(|c| c.as_str()), &self.breakers_moved);
        many("pressure_changed", &mut PressureLevel::ALL.iter().map(|c| c.as_str()), &self.pressure_changed);
        many("memory_relieved", &mut Relief::ALL.iter().map(|c| c.as_str()), &self.memory_relieved);
        many("workers_replaced", &mut RecycleCause::ALL.iter().map(|c| c.as_str()), &self.workers_replaced);
        many("recycles_due", &mut RecycleCause::ALL.iter().map(|c| c.as_str()), &self.recycles_due);
        many("guests_went", &mut GuestEnd::ALL.iter().map(|c| c.as_str()), &self.guests_went);
        many("guests_refused", &mut GuestRefusal::ALL.iter().map(|c| c.as_str()), &self.guests_refused);
        many("repaired", &mut RepairKind::ALL.iter().map(|c| c.as_str()), &self.repaired);
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
        && Fault::ALL.len() <= CAUSES
        && RungOutcome::ALL.len() <= CAUSES
        && RecoveryEnd::ALL.len() <= CAUSES
        && BreakerCause::ALL.len() <= CAUSES
        && PressureLevel::ALL.len() <= CAUSES
        && RecycleCause::ALL.len() <= CAUSES
        && RepairKind::ALL.len() <= CAUSES
        && CheckOutcome::ALL.len() <= CAUSES
        && GuestEnd::ALL.len() <= CAUSES
        && GuestRefusal::ALL.len() <= CAUSES
        && Relief::ALL.len() <= CAUSES
);
