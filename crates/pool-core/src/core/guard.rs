//! Circuit breakers: one for each worker, and one for each model on each browser and backend.
//!
//! A breaker that is open takes its worker, or its browser and backend, out of the choice; only a share of those that
//! could serve a request is ever shut out, and never all of them. Every run and load is a call. What the caller or the
//! model is to blame for counts nothing.

use std::time::Instant;

use recovery::{Admission, BreakerSet, CallOutcome, CallPermit, ConfigError, SetConfig, Transition};
use telemetry::{BreakerState, Guarded, LeaveCause};
use vocab::{Backend, BrowserName, FailureKind, ModelHash, WorkerId};

use super::Core;
use super::demand::fits;
use super::needs::Needs;
use super::observe::lets_down;
use super::requests::Entry;
use super::sessions::Session;
use super::timers::TimerKey;
use super::workers::Worker;
use crate::LinkError;

/// The settings of the pool's circuit breakers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// Whether there are any. Default: yes.
    pub enabled: bool,
    /// Those of the workers.
    pub workers: SetConfig,
    /// Those of a model on a browser and backend, whichever worker runs it.
    pub arms: SetConfig,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { enabled: true, workers: SetConfig::default(), arms: SetConfig::default() }
    }
}

impl BreakerSettings {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.workers.validate()?;
        self.arms.validate()
    }
}

type ArmKey = (ModelHash, BrowserName, Backend);

/// All breakers of a pool.
#[derive(Debug)]
pub(crate) struct Guard {
    enabled: bool,
    workers: BreakerSet<WorkerId>,
    arms: BreakerSet<ArmKey>,
    /// Whether all are closed, so that nobody has to be asked.
    calm: bool,
}

/// The right to make one call, as both breakers gave it. One that would have refused, and was used in spite of that, gave
/// none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Permits {
    worker: Option<CallPermit>,
    arm: Option<CallPermit>,
}

/// Who is shut out of the choice for a request.
#[derive(Debug, Default)]
pub(crate) struct ShutOut {
    workers: Vec<WorkerId>,
    arms: Vec<(BrowserName, Backend)>,
}

impl ShutOut {
    pub(crate) fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.arms.is_empty()
    }

    pub(crate) fn has(&self, worker: &Worker, backend: Backend) -> bool {
        !self.is_empty()
            && (self.workers.contains(&worker.id) || self.arms.contains(&(worker.info.browser, backend)))
    }
}

impl Guard {
    pub(crate) fn new(settings: &BreakerSettings) -> Result<Self, ConfigError> {
        Ok(Self {
            enabled: settings.enabled,
            workers: BreakerSet::new(settings.workers)?,
            arms: BreakerSet::new(settings.arms)?,
            calm: true,
        })
    }

    /// Every breaker that something is known of, with what it guards: workers first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Guarded, &recovery::Breaker)> {
        let workers = self.workers.iter().map(|(&worker, breaker)| (Guarded::Worker { worker }, breaker));
        let arms = self
            .arms
            .iter()
            .map(|(&(model, browser, backend), breaker)| (Guarded::Arm { model, browser, backend }, breaker));
        workers.chain(arms)
    }

    fn look(&mut self) {
        let closed = |breaker: &recovery::Breaker| breaker.state() == BreakerState::Closed;
        let calm = self.iter().all(|(_, breaker)| closed(breaker));
        self.calm = calm;
    }
}

/// How a call ended, as far as breakers are concerned.
fn outcome(began: Instant, now: Instant, error: Option<&LinkError>) -> CallOutcome {
    let took = now.saturating_duration_since(began);
    match error {
        None => CallOutcome::Worked { took },
        Some(LinkError::Cancelled) => CallOutcome::Abandoned,
        Some(LinkError::Reported { kind, message: _ }) => match kind {
            // A session that is gone is no failure of the page; why it is gone was one, and was counted as such.
            FailureKind::Cancelled | FailureKind::NoSuchSession => CallOutcome::Abandoned,
            // The model is what this backend cannot take; another model it may.
            FailureKind::UnsupportedByBackend => CallOutcome::CallersFault,
            kind if kind.is_callers_fault() => CallOutcome::CallersFault,
            _ => CallOutcome::Failed { took },
        },
        Some(LinkError::Vanished { .. } | LinkError::TimedOut { .. }) => CallOutcome::Failed { took },
    }
}

fn arm_key(session: &Session) -> ArmKey {
    (session.model.hash, session.arm.browser, session.backend)
}

/// One circuit breaker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// What it guards.
    #[serde(flatten)]
    pub guarded: Guarded,
    /// Whether it lets calls through.
    pub state: BreakerState,
    /// How well what it guards is, from 0 to 1, as [`recovery::Breaker::health`] says.
    pub health: f64,
}

impl Core {
    /// The circuit breakers of which something is known, workers first; in the order of what they guard.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        let all = self.guard.iter().map(|(guarded, breaker)| BreakerStatus {
            guarded,
            state: breaker.state(),
            health: breaker.health(),
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|status| status.guarded);
        all
    }

    /// Who is shut out of the choice for these needs, whatever arm was chosen for them. Costs next to nothing as long as
    /// every breaker is closed.
    pub(super) fn shut_out(&self, now: Instant, needs: &Needs, model: ModelHash, bytes: u64) -> ShutOut {
        if self.guard.calm || !self.guard.enabled {
            return ShutOut::default();
        }
        let unpinned;
        let needs = if needs.arm.is_some() {
            unpinned = needs.unpinned();
            &unpinned
        } else {
            needs
        };
        let usable = self.usable(needs, bytes);
        let (mut workers, mut arms) = (Vec::new(), Vec::new());
        for worker in self.workers.values().filter(|worker| fits(needs, worker, bytes)) {
            let offered = worker.info.backends.iter().map(|info| info.backend).filter(|&b| usable.has(b));
            let before = arms.len();
            arms.extend(offered.map(|backend| (model, worker.info.browser, backend)));
            if arms.len() > before {
                workers.push(worker.id);
            }
        }
        arms.sort_unstable();
        arms.dedup();
        let arms = self.guard.arms.verdicts(now, &arms).ejected;
        let arms: Vec<_> = arms.into_iter().map(|(_, browser, backend)| (browser, backend)).collect();
        // Both kinds together must leave somebody too.
        let open = |worker: &WorkerId| {
            self.workers.get(worker).is_some_and(|worker| {
                let mut offered = worker.info.backends.iter().map(|info| info.backend);
                offered.any(|backend| usable.has(backend) && !arms.contains(&(worker.info.browser, backend)))
            })
        };
        workers.retain(open);
        ShutOut { workers: self.guard.workers.verdicts(now, &workers).ejected, arms }
    }

    pub(super) fn shut_out_for(&self, now: Instant, entry: &Entry) -> ShutOut {
        self.shut_out(now, entry.needs(), entry.model.hash, entry.bytes())
    }

    /// A call begins.
    pub(super) fn ask_breakers(&mut self, now: Instant, worker: WorkerId, arm: ArmKey) -> Permits {
        if !self.guard.enabled {
            return Permits::default();
        }
        let (of_worker, moved_worker) = self.guard.workers.ask(now, &worker);
        let (of_arm, moved_arm) = self.guard.arms.ask(now, &arm);
        self.moved(Guarded::Worker { worker }, moved_worker);
        self.moved(guarded(arm), moved_arm);
        let permit = |admission| match admission {
            Admission::Allowed(permit) => Some(permit),
            _ => None,
        };
        Permits { worker: permit(of_worker), arm: permit(of_arm) }
    }

    /// A call that began at `began` has ended.
    pub(super) fn tell_breakers(
        &mut self,
        now: Instant,
        began: Instant,
        permits: Permits,
        worker: WorkerId,
        arm: ArmKey,
        error: Option<&LinkError>,
    ) {
        self.record(now, permits, worker, arm, outcome(began, now, error));
    }

    /// Nobody can say how a call ended.
    pub(super) fn abandon(&mut self, now: Instant, permits: Permits, worker: WorkerId, arm: ArmKey) {
        self.record(now, permits, worker, arm, CallOutcome::Abandoned);
    }

    fn record(
        &mut self,
        now: Instant,
        permits: Permits,
        worker: WorkerId,
        arm: ArmKey,
        outcome: CallOutcome,
    ) {
        if let Some(permit) = permits.worker {
            let moved = self.guard.workers.record(now, &worker, permit, outcome);
            self.moved(Guarded::Worker { worker }, moved);
        }
        if let Some(permit) = permits.arm {
            let moved = self.guard.arms.record(now, &arm, permit, outcome);
            self.moved(guarded(arm), moved);
        }
    }

    /// A worker is about to be lost with all its calls. That is one failure of each arm that was at work there, however
    /// many calls it had.
    pub(super) fn breakers_of_lost(&mut self, now: Instant, id: WorkerId, cause: LeaveCause) {
        let Some(worker) = self.workers.get(&id) else { return };
        let runs = worker.leases.iter().filter_map(|lease| self.leases.get(lease));
        let runs = runs.map(|lease| (lease.session, lease.permits, lease.began));
        let loads = worker.all_sessions().filter_map(|session| self.sessions.get(&session));
        let loads =
            loads.filter_map(|session| session.loading.map(|(permits, began)| (session.id, permits, began)));
        let calls: Vec<_> = runs.chain(loads).collect();
        let lost = LinkError::Vanished { detail: String::new() };
        let mut told = Vec::new();
        for (session, permits, began) in calls {
            let Some((worker, arm)) = self.sessions.get(&session).map(keys) else { continue };
            if lets_down(cause) && !told.contains(&arm) {
                told.push(arm);
                self.tell_breakers(now, began, permits, worker, arm, Some(&lost));
            } else {
                self.abandon(now, permits, worker, arm);
            }
        }
    }

    /// The numbers of a model are wrong on a browser and backend.
    pub(super) fn trip_arm(&mut self, now: Instant, arm: ArmKey) {
        if self.guard.enabled {
            let moved = self.guard.arms.trip(now, &arm);
            self.moved(guarded(arm), moved);
        }
    }

    /// A worker is out of the pool: one that comes back is another one.
    pub(super) fn forget_breaker(&mut self, worker: WorkerId) {
        self.guard.workers.forget(&worker);
        self.guard.look();
    }

    fn moved(&mut self, guarded: Guarded, moved: Option<Transition>) {
        let Some(moved) = moved else { return };
        self.guard.look();
        if moved.to == BreakerState::Open {
            let again = match guarded {
                Guarded::Worker { worker } => self.guard.workers.get(&worker),
                Guarded::Arm { model, browser, backend } => self.guard.arms.get(&(model, browser, backend)),
                _ => None,
            };
            if let Some(again) = again.and_then(recovery::Breaker::opens_again) {
                // Whoever waits for it meanwhile has nobody else to be woken by.
                self.timers.set(again, TimerKey::Breaker);
            }
        }
        self.emit(moved.event(guarded));
    }

    /// An open breaker's time is over.
    pub(super) fn pump_all(&mut self, now: Instant) {
        let all: Vec<_> = self.workers.keys().copied().collect();
        for worker in all {
            self.pump(now, worker);
        }
    }
}

fn guarded((model, browser, backend): ArmKey) -> Guarded {
    Guarded::Arm { model, browser, backend }
}

/// The key of a session's breaker, and its worker.
pub(super) fn keys(session: &Session) -> (WorkerId, ArmKey) {
    (session.worker, arm_key(session))
}
