//! Circuit breakers: one for each worker, and one for each model on each browser and backend.
//!
//! A breaker that is open takes its worker, or its browser and backend, out of the choice; only a share of those that
//! could serve a request is ever shut out, and never all of them. Every run and load is a call. What the caller or the
//! model is to blame for counts nothing.

use std::time::Instant;

use recovery::{Admission, BreakerSet, CallOutcome, CallPermit, ConfigError, SetConfig, Transition};
use telemetry::{BreakerState, Guarded, LeaveCause};
use vocab::{Backend, BrowserName, FailureKind, ModelHash, SessionId, WorkerId};

use super::Core;
use super::demand::counts;
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
    /// Those that are not closed: as long as there is none, nobody has to be asked.
    troubled: Vec<Guarded>,
}

/// The right to make one call, as both breakers gave it. One that would have refused, and was used in spite of that, gave
/// none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Permits {
    worker: Option<(WorkerId, CallPermit)>,
    arm: Option<(ArmKey, CallPermit)>,
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
            troubled: Vec::new(),
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

    fn get(&self, guarded: Guarded) -> Option<&recovery::Breaker> {
        match guarded {
            Guarded::Worker { worker } => self.workers.get(&worker),
            Guarded::Arm { model, browser, backend } => self.arms.get(&(model, browser, backend)),
            _ => None,
        }
    }

    fn look(&mut self) {
        let open = self.iter().filter(|(_, breaker)| breaker.state() != BreakerState::Closed);
        self.troubled = open.map(|(guarded, _)| guarded).collect();
    }

    /// Whether one of them refuses calls now that concern a model. One whose time is over refuses nothing, but stays as it
    /// is until somebody asks, and that may be never.
    fn refuses(&self, now: Instant, model: ModelHash) -> bool {
        let concerned = self.troubled.iter().filter(|guarded| match guarded {
            Guarded::Arm { model: of, .. } => *of == model,
            _ => true,
        });
        concerned.filter_map(|&guarded| self.get(guarded)).any(|breaker| !breaker.would_allow(now))
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
            FailureKind::Cancelled | FailureKind::NoSuchSession | FailureKind::CachesLost => {
                CallOutcome::Abandoned
            }
            // The model is what this backend cannot take; another model it may.
            FailureKind::UnsupportedByBackend => CallOutcome::CallersFault,
            kind if kind.is_callers_fault() => CallOutcome::CallersFault,
            _ => CallOutcome::Failed { took },
        },
        Some(LinkError::Vanished { .. } | LinkError::TimedOut { .. }) => CallOutcome::Failed { took },
    }
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

    /// Who is shut out of the choice for these needs, whatever arm was chosen for them. Costs next to nothing as long as no
    /// breaker refuses anything.
    pub(super) fn shut_out(&self, now: Instant, needs: &Needs, model: ModelHash, bytes: u64) -> ShutOut {
        if !self.guard.refuses(now, model) {
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
        for worker in self.workers.values().filter(|worker| counts(needs, worker, bytes)) {
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

    /// A call to a session begins.
    pub(super) fn ask_breakers(&mut self, now: Instant, session: SessionId) -> Permits {
        let Some(session) = self.sessions.get(&session).filter(|_| self.guard.enabled) else {
            return Permits::default();
        };
        let (worker, arm) = (session.worker, arm_key(session));
        // What happens at a stranger's says nothing about the owner's browsers of that name.
        let stranger = self.is_stranger(worker);
        let permit = |admission| match admission {
            Admission::Allowed(permit) => Some(permit),
            _ => None,
        };
        let (of_worker, moved_worker) = self.guard.workers.ask(now, &worker);
        self.moved(Guarded::Worker { worker }, moved_worker);
        let mut permits = Permits { worker: permit(of_worker).map(|permit| (worker, permit)), arm: None };
        if !stranger {
            let (of_arm, moved_arm) = self.guard.arms.ask(now, &arm);
            self.moved(guarded(arm), moved_arm);
            permits.arm = permit(of_arm).map(|permit| (arm, permit));
        }
        permits
    }

    /// A call that began at `began` has ended.
    pub(super) fn tell_breakers(
        &mut self,
        now: Instant,
        began: Instant,
        permits: Permits,
        error: Option<&LinkError>,
    ) {
        self.record(now, permits, outcome(began, now, error));
    }

    /// Says how a call ended.
    pub(super) fn record(&mut self, now: Instant, permits: Permits, outcome: CallOutcome) {
        if let Some((worker, permit)) = permits.worker {
            let moved = self.guard.workers.record(now, &worker, permit, outcome);
            self.moved(Guarded::Worker { worker }, moved);
        }
        if let Some((arm, permit)) = permits.arm {
            let moved = self.guard.arms.record(now, &arm, permit, outcome);
            self.moved(guarded(arm), moved);
        }
    }

    /// A worker is about to be lost with all its calls. That is one failure of each arm that was at work there, however
    /// many calls it had.
    pub(super) fn breakers_of_lost(&mut self, now: Instant, id: WorkerId, cause: LeaveCause) {
        let Some(worker) = self.workers.get(&id) else { return };
        let runs = worker.leases.iter().filter_map(|lease| self.leases.get(lease));
        let runs = runs.map(|lease| (lease.permits, lease.began));
        let loads = worker.all_sessions().filter_map(|session| self.sessions.get(&session)?.loading);
        let calls: Vec<_> = runs.chain(loads).collect();
        let mut told = Vec::new();
        for (permits, began) in calls {
            let arm = permits.arm.map(|(arm, _)| arm);
            let outcome = if lets_down(cause) && !told.contains(&arm) {
                told.push(arm);
                CallOutcome::Failed { took: now.saturating_duration_since(began) }
            } else {
                CallOutcome::Abandoned
            };
            self.record(now, permits, outcome);
        }
    }

    /// The numbers of a session's model are wrong on its browser and backend.
    pub(super) fn trip_arm(&mut self, now: Instant, session: SessionId) {
        let Some(session) = self.sessions.get(&session).filter(|_| self.guard.enabled) else { return };
        if self.is_stranger(session.worker) {
            return;
        }
        let arm = arm_key(session);
        let moved = self.guard.arms.trip(now, &arm);
        self.moved(guarded(arm), moved);
        // One that was open already stays open for longer now.
        self.wake_when_over(guarded(arm));
    }

    /// Whether a worker's breaker refuses calls now.
    pub(super) fn is_barred(&self, now: Instant, worker: WorkerId) -> bool {
        self.guard.workers.get(&worker).is_some_and(|breaker| !breaker.would_allow(now))
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
            self.wake_when_over(guarded);
        }
        self.emit(moved.event(guarded));
    }

    /// Whoever waits for an open breaker has nobody else to be woken by.
    fn wake_when_over(&mut self, guarded: Guarded) {
        if let Some(again) = self.guard.get(guarded).and_then(recovery::Breaker::opens_again) {
            self.timers.set(again, TimerKey::Breaker);
        }
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

fn arm_key(session: &Session) -> ArmKey {
    (session.model.hash, session.arm.browser, session.backend)
}
