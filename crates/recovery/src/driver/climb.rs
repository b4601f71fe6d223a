//! One recovery, carried out: ask the ladder, do what it says, tell it how that went.

use std::sync::Arc;

use telemetry::{Event, RungOutcome};
use tokio::time::{Instant, sleep_until, timeout_at};
use vocab::{Fault, Rung};

use super::attempt::{attempt, outcome};
use super::error::{AttemptFailure, RecoveryError};
use super::guard::Going;
use super::recover::{Recovered, Shared};
use super::reviver::Reviver;
use crate::diagnosis::diagnose;
use crate::ladder::{Conditions, Incident, RestartRoom, Step};
use crate::pace::Entry;
use crate::rungs::RungSet;

impl Shared {
    /// Goes up the ladder.
    pub(super) async fn climb<R: Reviver>(
        &self,
        going: &mut Going,
        fault: Fault,
        began: Instant,
        reviver: &R,
    ) -> Result<Recovered, RecoveryError<R::Error>> {
        // Each recovery draws its own waits, also of the same worker.
        let mut config = self.settings.ladder.clone();
        config.seed = config.seed.wrapping_add(going.ticket.0);
        let Ok(mut incident) = Incident::new(going.subject, fault, began.into_std(), &config) else {
            // The settings were checked when the entry was made.
            return Err(RecoveryError::Closed);
        };
        let (mut attempts, mut last) = (0, None);
        loop {
            // Asked for outside of the lock, because it is somebody else's code.
            let offered = reviver.offers();
            let now = Instant::now();
            let bell = self.changed.notified();
            match self.decide(now, &mut incident, going, offered) {
                Step::Attempt { rung, not_before, until, .. } => {
                    attempts += 1;
                    let times = (Instant::from_std(not_before), Instant::from_std(until));
                    last = self.carry_out(&mut incident, going, reviver, rung, times).await.or(last);
                }
                Step::Wait { until, .. } => {
                    let mailbox = Arc::clone(&going.mailbox);
                    tokio::select! {
                        () = sleep_until(Instant::from_std(until)) => {}
                        () = bell => {}
                        () = mailbox.came.notified() => {}
                    }
                    take_mail(&mut incident, going);
                }
                Step::Recovered => {
                    let took = Instant::now().saturating_duration_since(began);
                    let rung = incident.last_rung().unwrap_or(Rung::Ping);
                    let unheard = going.leave();
                    return Ok(Recovered { fault: incident.fault(), rung, attempts, took, unheard });
                }
                Step::GiveUp { cause } => {
                    let after = Instant::now().saturating_duration_since(began);
                    return Err(RecoveryError::GaveUp { fault: incident.fault(), cause, after, last });
                }
            }
        }
    }

    /// Takes one decision, and in the same moment what it needs: a permit, a place in the line, a token.
    fn decide(&self, now: Instant, incident: &mut Incident, going: &mut Going, offered: RungSet) -> Step {
        let now = now.into_std();
        let place = self.settings.gate.place;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let level = state.pressure.level();
        let restart = if state.gate.would_admit(now, going.ticket, level) {
            RestartRoom::Free
        } else {
            RestartRoom::Full { ask_again: now + place / 2 }
        };
        let repeat = state.budget.affords(now);
        let conditions = Conditions { offered, level, restart, repeat, record: &state.record };
        let step = incident.next(now, &conditions);
        match step {
            Step::Attempt { rung, attempt, until, .. } => {
                if rung == Rung::Restart {
                    let hold = until.saturating_duration_since(now);
                    if let Entry::Admitted { permit, .. } = state.gate.enter(now, going.ticket, level, hold) {
                        going.permit = Some(permit);
                    }
                } else {
                    state.gate.give_up(going.ticket);
                }
                if attempt > 1 {
                    state.budget.withdraw(now);
                }
                going.rung = Some(rung);
            }
            Step::Wait { .. } => {
                state.gate.enter(now, going.ticket, level, place);
            }
            Step::Recovered | Step::GiveUp { .. } => {}
        }
        step
    }

    /// Carries one attempt out and reports it. Answers with its failure, if it is one.
    async fn carry_out<R: Reviver>(
        &self,
        incident: &mut Incident,
        going: &mut Going,
        reviver: &R,
        rung: Rung,
        (not_before, until): (Instant, Instant),
    ) -> Option<AttemptFailure<R::Error>> {
        let fault = incident.fault();
        let mailbox = Arc::clone(&going.mailbox);
        let result = {
            let attempt = attempt(reviver, rung, not_before, until);
            tokio::pin!(attempt);
            loop {
                tokio::select! {
                    biased;
                    result = &mut attempt => break Some(result),
                    () = mailbox.came.notified() => {
                        take_mail(incident, going);
                        if !incident.is_trying(rung) {
                            break None;
                        }
                    }
                }
            }
        };
        going.release();
        let now = Instant::now();
        let told = result.as_ref().map_or(RungOutcome::Overtaken, |result| outcome(result).for_telemetry());
        self.telemetry.emit(
            now.into_std(),
            Event::RungTried {
                worker: going.worker(),
                fault,
                rung,
                outcome: told,
                took_ms: now.saturating_duration_since(not_before).as_secs_f64() * 1e3,
            },
        );
        let result = result?;
        if let Some(lesson) = incident.report(now.into_std(), rung, outcome(&result)) {
            self.state.lock().record.learn(now.into_std(), &lesson);
        }
        let failure = result.err()?;
        tracing::debug!(worker = %going.worker(), %fault, %rung, error = %failure, "a rung did not help");
        // It may be something worse by now; whoever cannot say so in time leaves the diagnosis as it is.
        let limit = (now + self.settings.signs_limit).min(Instant::from_std(incident.deadline()));
        if let Ok(signs) = timeout_at(limit, reviver.signs()).await
            && let Some(fault) = diagnose(&signs, &self.settings.diagnosis)
        {
            incident.rediagnose(fault);
            going.fault = fault;
        }
        take_mail(incident, going);
        Some(failure)
    }
}

/// Takes a diagnosis that came from outside, if it is a more severe one.
fn take_mail(incident: &mut Incident, going: &mut Going) {
    let Some(fault) = going.mailbox.fault.lock().take() else { return };
    if fault < incident.fault() {
        incident.rediagnose(fault);
        going.fault = fault;
    }
}
