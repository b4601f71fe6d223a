//! What the ends of runs and loads say about arms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perf_history::{Arm, ModelId, Observation, Operation, Outcome, ShapeBucket, TimeoutPhase, UnixMillis};
use telemetry::LeaveCause;
use vocab::{RequestId, SessionId, WorkerId};

use super::requests::{Entry, Lease, model_id};
use super::sessions::Session;
use super::{Core, RunEnd};
use crate::{Held, LinkError};

/// A run whose deadline passed counts against its arm where it had this share of the request's time, and this many
/// times what runs there take: otherwise it was the queue, or the caller, that left it too little.
const FAIR_SHARE: f64 = 0.5;
const FAIR_TIMES: f64 = 3.0;
/// Where nothing is known of an arm, it may take this many times what the model takes elsewhere: its first run, and on
/// slower hardware.
const UNKNOWN_TIMES: f64 = 10.0;

pub(super) fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// How a failed call is counted; `None` where it says nothing about anybody.
fn outcome(error: &LinkError, phase: TimeoutPhase) -> Option<Outcome> {
    Some(match error {
        LinkError::Vanished { .. } => Outcome::WorkerVanished,
        LinkError::Reported { kind, message: _ } => Outcome::reported(kind.clone()),
        LinkError::TimedOut { .. } => Outcome::TimedOut(phase),
        LinkError::Cancelled => return None,
    })
}

/// Whether a worker that left for this cause let its calls down.
pub(super) fn lets_down(cause: LeaveCause) -> bool {
    !matches!(
        cause,
        LeaveCause::Retired
            | LeaveCause::Dropped
            | LeaveCause::Shutdown
            | LeaveCause::Quarantined
            | LeaveCause::Recycled
            | LeaveCause::Relieved
    )
}

/// An operation that went well, of which nothing was measured.
fn blank(
    at: UnixMillis,
    (model, shape, arm, worker): (Arc<ModelId>, ShapeBucket, Arc<Arm>, WorkerId),
    operation: Operation,
) -> Observation {
    Observation {
        at,
        model,
        shape,
        arm,
        worker,
        operation,
        outcome: Outcome::Ok,
        warm: false,
        load_ms: None,
        queue_ms: None,
        in_page_ms: None,
        service_ms: None,
        total_ms: None,
        bytes_in: None,
        bytes_out: None,
        memory_bytes: None,
    }
}

impl Core {
    fn observation(&self, now: Instant, session: &Session, operation: Operation) -> Option<Observation> {
        if self.is_stranger(session.worker) {
            return None;
        }
        let model = self.models.get(&session.model.hash)?;
        let of = (model.id.clone(), session.shape.clone(), session.arm.clone(), session.worker);
        Some(Observation { memory_bytes: Some(session.charge), ..blank(self.unix(now), of, operation) })
    }

    fn observation_of_run(&self, now: Instant, lease: &Lease, entry: &Entry) -> Option<Observation> {
        let session = self.sessions.get(&lease.session)?;
        Some(Observation {
            shape: entry.shape.clone(),
            warm: lease.warm,
            load_ms: entry.load_ms,
            queue_ms: Some(ms(entry.accepted, lease.began)),
            total_ms: Some(ms(entry.accepted, now)),
            bytes_in: Some(entry.bytes_in),
            ..self.observation(now, session, Operation::Run)?
        })
    }

    /// A run has given its result.
    pub(super) fn observe_result(&mut self, now: Instant, lease: &Lease, request: RequestId, end: RunEnd) {
        let service_ms = ms(lease.began, now);
        let felt = if lease.alone { service_ms } else { end.in_page_ms };
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.felt.add(now, felt);
        }
        if let Some(session) = self.sessions.get_mut(&lease.session) {
            session.completed += 1;
        }
        let Some(entry) = self.requests.get(&request) else { return };
        let Some(observation) = self.observation_of_run(now, lease, entry) else { return };
        self.observe(Observation {
            in_page_ms: Some(end.in_page_ms),
            service_ms: lease.alone.then_some(service_ms),
            bytes_out: Some(end.bytes_out),
            ..observation
        });
    }

    /// A run has failed.
    pub(super) fn observe_failure(
        &mut self,
        now: Instant,
        lease: &Lease,
        request: RequestId,
        error: &LinkError,
    ) {
        let Some(entry) = self.requests.get(&request) else { return };
        let (Some(outcome), Some(observation)) =
            (outcome(error, TimeoutPhase::Running), self.observation_of_run(now, lease, entry))
        else {
            return;
        };
        self.observe(Observation { outcome, ..observation });
    }

    /// The deadline of a request has passed while it was on a worker. Answers whether that is held against its arm.
    pub(super) fn observe_deadline(&mut self, now: Instant, lease: &Lease, entry: &Entry) -> bool {
        let Some(observation) = self.observation_of_run(now, lease, entry) else { return false };
        let had = ms(lease.began, now.min(entry.deadline));
        let elsewhere = || {
            let model = self.models.get(&entry.model.hash)?;
            Some(model.run_ms? * UNKNOWN_TIMES)
        };
        let needed = match self.selector.expected_ms(&observation).or_else(elsewhere) {
            Some(ms) => ms * FAIR_TIMES,
            // With nothing to compare with, what the pool itself gives a request is fair, and less is not.
            None => self.config.default_deadline.as_secs_f64() * 1e3 * FAIR_SHARE,
        };
        let fair = had >= ms(entry.accepted, entry.deadline) * FAIR_SHARE && had >= needed;
        let phase = if fair { TimeoutPhase::Running } else { TimeoutPhase::Queued };
        self.observe(Observation { outcome: Outcome::TimedOut(phase), ..observation });
        fair
    }

    /// A session's numbers were found to be wrong.
    pub(super) fn observe_wrong(&mut self, now: Instant, session: SessionId) {
        let Some(session) = self.sessions.get(&session) else { return };
        let Some(observation) = self.observation(now, session, Operation::Run) else { return };
        self.observe(Observation { outcome: Outcome::WrongNumbers, ..observation });
    }

    /// The recovery of a worker has ended: for each model that it held, whether it was there again after `took`, or never.
    pub fn observe_recovery(
        &mut self,
        now: Instant,
        worker: WorkerId,
        held: &[Held],
        took: Duration,
        recovered: bool,
    ) {
        for held in held {
            let arm = Arc::clone(&held.arm);
            let shape = ShapeBucket::of(&held.dims.clone().unwrap_or_default());
            let of = (model_id(&held.model), shape, arm, worker);
            self.observe(Observation {
                outcome: if recovered { Outcome::Ok } else { Outcome::WorkerVanished },
                total_ms: Some(took.as_secs_f64() * 1e3),
                ..blank(self.unix(now), of, Operation::Recovery)
            });
        }
    }

    /// A load has given a session.
    pub(super) fn observe_load(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let Some(observation) = self.observation(now, session, Operation::Load) else { return };
        let load_ms = Some(session.load_ms);
        self.observe(Observation { load_ms, ..observation });
    }

    /// A load has failed.
    pub(super) fn observe_failed_load(&mut self, now: Instant, id: SessionId, error: &LinkError) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (Some(outcome), Some(observation)) =
            (outcome(error, TimeoutPhase::Loading), self.observation(now, session, Operation::Load))
        else {
            return;
        };
        self.observe(Observation { outcome, ..observation });
    }

    /// A worker is lost with a run or a load.
    pub(super) fn observe_loss(&mut self, cause: LeaveCause, observation: Option<Observation>) {
        if let Some(observation) = observation.filter(|_| lets_down(cause)) {
            self.observe(Observation { outcome: Outcome::WorkerVanished, ..observation });
        }
    }

    pub(super) fn lost_run(&self, now: Instant, lease: &Lease, request: RequestId) -> Option<Observation> {
        self.observation_of_run(now, lease, self.requests.get(&request)?)
    }

    pub(super) fn lost_load(&self, now: Instant, session: &Session) -> Option<Observation> {
        self.observation(now, session, Operation::Load)
    }
}
