//! The recovery layer's entry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use telemetry::{PressureSource, RecoveryEnd, Telemetry};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocab::{Fault, PressureLevel, Rung, WorkerId};

use super::error::RecoveryError;
use super::guard::{Going, Mailbox};
use super::reviver::Reviver;
use super::settings::RecoverySettings;
use crate::config::ConfigError;
use crate::ladder::{GiveUpCause, RungRecord, Subject};
use crate::memory::{MemoryReading, Pressure};
use crate::pace::{RetryBudget, StormGate, Ticket};

/// Revives what is in trouble: the entry of this layer.
///
/// It holds what all recoveries share: what was learned about rungs, the gate for restarts, the retry budget and the
/// level of memory pressure. Clones are one reference count, and share it all. It starts no task: a recovery is the
/// future of [`recover`](Self::recover), and whoever drops that ends it.
#[derive(Debug, Clone)]
pub struct ResourcePoolErrorRecovery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: RecoverySettings,
    pub(super) telemetry: Telemetry,
    pub(super) state: Mutex<State>,
    /// Rings when somebody who waits for a restart may have his turn.
    pub(super) changed: Notify,
    stop: CancellationToken,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) record: RungRecord,
    pub(super) budget: RetryBudget,
    pub(super) pressure: Pressure,
    pub(super) gate: StormGate,
    pub(super) going: HashMap<WorkerId, Arc<Mailbox>>,
    tickets: u64,
}

/// A recovery that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// What was wrong, after the last diagnosis.
    pub fault: Fault,
    /// The rung that helped.
    pub rung: Rung,
    /// How many attempts it took, over all rungs.
    pub attempts: u32,
    /// How long it took, from the call to the proof.
    pub took: Duration,
    /// What it was [told](ResourcePoolErrorRecovery::tell) at the last moment, when it could not act on it any more: a
    /// reason to look again, and perhaps to call again.
    pub unheard: Option<Fault>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RecoveryStats {
    /// Recoveries that go on.
    pub going: usize,
    /// Restarts that go on.
    pub restarting: usize,
    /// Restarts that wait for their turn.
    pub waiting: usize,
    /// Repetitions that the budget affords now, as a fraction.
    pub budget: f64,
    /// How scarce memory is.
    pub level: PressureLevel,
}

impl ResourcePoolErrorRecovery {
    /// An entry that has learned nothing yet.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(settings: RecoverySettings, telemetry: Telemetry) -> Result<Self, ConfigError> {
        settings.validate()?;
        let state = State {
            record: RungRecord::new(),
            budget: RetryBudget::new(settings.budget, Instant::now().into_std())?,
            pressure: Pressure::new(settings.pressure)?,
            gate: StormGate::new(settings.gate)?,
            going: HashMap::new(),
            tickets: 0,
        };
        let state = Mutex::new(state);
        let stop = CancellationToken::new();
        let shared = Shared { settings, telemetry, state, changed: Notify::new(), stop };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Recovers one subject of a fault, to the end: it works again, with a proof, or it was given up.
    ///
    /// It ends before the deadline of [`RecoveryConfig`](crate::RecoveryConfig), but for one look at the signs and for
    /// what the reviver does without waiting.
    ///
    /// Cancellation safety: whoever drops the future drops the reviver's call that is going on; the permit for a restart
    /// and the place among the recoveries are given back at once.
    ///
    /// # Errors
    /// [`RecoveryError`]. Where a recovery of the same worker is going on, that one is told of the fault, and this one
    /// does nothing.
    pub async fn recover<R: Reviver>(
        &self,
        subject: Subject,
        fault: Fault,
        reviver: &R,
    ) -> Result<Recovered, RecoveryError<R::Error>> {
        let began = Instant::now();
        let mut going = self.enter(subject, fault, began)?;
        let stop = self.shared.stop.clone();
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => Err(RecoveryError::Closed),
            result = self.shared.climb(&mut going, fault, began, reviver) => result,
        };
        let end = match &result {
            Ok(_) => RecoveryEnd::Recovered,
            Err(RecoveryError::GaveUp { cause, .. }) => match cause {
                GiveUpCause::Deadline => RecoveryEnd::Deadline,
                GiveUpCause::Exhausted => RecoveryEnd::Exhausted,
                GiveUpCause::NothingHelps => RecoveryEnd::NothingHelps,
            },
            Err(_) => RecoveryEnd::Closed,
        };
        going.tell(Instant::now(), end);
        result
    }

    /// Tells a recovery that is going on what else is wrong, for example that the process has ended meanwhile. What is
    /// milder than what it knows already changes nothing, because that is mostly a consequence: the sockets of a dead
    /// process close too. Answers whether there is such a recovery.
    pub fn tell(&self, worker: WorkerId, fault: Fault) -> bool {
        let state = self.shared.state.lock();
        let Some(mailbox) = state.going.get(&worker) else { return false };
        let mut waiting = mailbox.fault.lock();
        // Of several that come at once, the most severe one decides.
        *waiting = Some(waiting.map_or(fault, |before| before.min(fault)));
        drop(waiting);
        mailbox.came.notify_one();
        true
    }

    /// Pays the share of one request into the retry budget. To be called for each request that the pool accepts.
    pub fn request_came(&self) {
        self.shared.state.lock().budget.deposit(Instant::now().into_std());
    }

    /// Takes a reading of memory, and answers with the level. It decides how many restarts may go on at once.
    pub fn memory(&self, reading: &MemoryReading) -> PressureLevel {
        let now = Instant::now().into_std();
        let mut state = self.shared.state.lock();
        let moved = state.pressure.observe(now, reading);
        let level = state.pressure.level();
        drop(state);
        if let Some(moved) = moved {
            self.shared.telemetry.emit(now, moved.event());
            self.shared.changed.notify_waiters();
        }
        level
    }

    /// How scarce memory is, and the reading that this is owed to, where it is scarce at all.
    #[must_use]
    pub fn pressure(&self) -> (PressureLevel, Option<PressureSource>) {
        let state = self.shared.state.lock();
        (state.pressure.level(), state.pressure.source())
    }

    /// What was learned about rungs until now.
    #[must_use]
    pub fn record(&self) -> RungRecord {
        self.shared.state.lock().record.clone()
    }

    /// What is going on.
    #[must_use]
    pub fn stats(&self) -> RecoveryStats {
        let now = Instant::now().into_std();
        let state = self.shared.state.lock();
        let (restarting, waiting) = state.gate.count(now);
        RecoveryStats {
            going: state.going.len(),
            restarting,
            waiting,
            budget: state.budget.balance(now),
            level: state.pressure.level(),
        }
    }

    /// Ends every recovery that goes on with [`RecoveryError::Closed`], and refuses new ones.
    pub fn close(&self) {
        self.shared.stop.cancel();
    }

    /// Takes a place among the recoveries.
    fn enter<E: std::error::Error + 'static>(
        &self,
        subject: Subject,
        fault: Fault,
        now: Instant,
    ) -> Result<Going, RecoveryError<E>> {
        if self.shared.stop.is_cancelled() {
            return Err(RecoveryError::Closed);
        }
        if self.tell(subject.worker, fault) {
            return Err(RecoveryError::GoingOn { worker: subject.worker });
        }
        let mailbox = Arc::new(Mailbox::default());
        let mut state = self.shared.state.lock();
        let most = self.shared.settings.at_once;
        if state.going.len() >= most {
            return Err(RecoveryError::TooMany { most });
        }
        if state.going.contains_key(&subject.worker) {
            return Err(RecoveryError::GoingOn { worker: subject.worker });
        }
        state.tickets += 1;
        let ticket = Ticket(state.tickets);
        state.going.insert(subject.worker, Arc::clone(&mailbox));
        drop(state);
        Ok(Going::new(Arc::clone(&self.shared), subject, fault, ticket, mailbox, now))
    }
}
