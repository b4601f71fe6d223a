//! One recovery: asks the ladder and does what it says, as the driver of `recovery` does.

use std::collections::BTreeSet;
use std::time::Instant;

use pool_core::Held;
use recovery::{
    AttemptOutcome, Conditions, Entry, GiveUpCause, Incident, PermitId, PressureLevel, RestartRoom, Rung,
    Step, Subject, Ticket, diagnose, fit,
};
use telemetry::LeaveCause;
use vocab::{Fault, RequestId, WorkerId};

use super::patient::{Away, Condition};
use super::{Bug, Event, Place, World};

#[derive(Debug)]
pub(super) struct Illness {
    pub(super) incident: Incident,
    pub(super) ticket: Ticket,
    pub(super) going: Option<Going>,
}

/// An attempt that goes on.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) rung: Rung,
    pub(super) until: Instant,
    pub(super) permit: Option<PermitId>,
    /// How its deed will end, where nothing else happens.
    pub(super) will: Will,
    pub(super) proof: Option<Proof>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Will {
    Work,
    Fail,
    BeUnavailable,
}

/// A fresh page that has to prove itself.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) worker: WorkerId,
    /// What is being loaded again.
    pub(super) pending: BTreeSet<RequestId>,
    pub(super) failed: bool,
    /// The pool has put it out meanwhile.
    pub(super) gone: Option<(LeaveCause, Vec<Held>)>,
}

impl Illness {
    pub(super) fn proof(&mut self) -> Option<&mut Proof> {
        self.going.as_mut()?.proof.as_mut()
    }

    pub(super) fn proof_of(worker: WorkerId) -> impl FnOnce(&mut Self) -> Option<&mut Proof> {
        move |illness| illness.proof().filter(|proof| proof.worker == worker)
    }
}

impl World {
    pub(super) fn fall_ill(&mut self, place: Place, fault: Fault) {
        self.shared.tickets += 1;
        let ticket = Ticket(self.shared.tickets);
        let mut config = self.shared.ladder.clone();
        config.seed = config.seed.wrapping_add(ticket.0);
        let browser = Some(self.machines[place].name);
        let subject = Subject { worker: self.patients[place].worker, browser };
        let incident = Incident::new(subject, fault, self.now, &config).expect("the settings work");
        self.patients[place].condition = Condition::Ill(Box::new(Illness { incident, ticket, going: None }));
        self.decide(place);
    }

    pub(super) fn is_turn(&self, place: Place, turn: u64) -> bool {
        self.patients[place].turn == turn
    }

    /// Another turn; what was scheduled in the one before is stale.
    pub(super) fn next_turn(&mut self, place: Place) -> u64 {
        self.patients[place].turn += 1;
        self.patients[place].turn
    }

    /// Asks the ladder for the next step, and takes in the same moment what it needs.
    pub(super) fn decide(&mut self, place: Place) {
        let turn = self.next_turn(place);
        let now = self.now;
        let offered = self.offers(place);
        let shared = &mut self.shared;
        let level = shared.pressure.level();
        let Some(ill) = self.patients[place].ill() else { return };
        let (ticket, wait) = (ill.ticket, shared.gate_config.place);
        let restart = if shared.gate.would_admit(now, ticket, level) {
            RestartRoom::Free
        } else {
            RestartRoom::Full { ask_again: now + wait / 2 }
        };
        let repeat = shared.budget.affords(now);
        let conditions = Conditions { offered, level, restart, repeat, record: &shared.record };
        let step = ill.incident.next(now, &conditions);
        match step {
            Step::Attempt { rung, attempt, not_before, until } => {
                let (fault, deadline) = (ill.incident.fault(), ill.incident.deadline());
                ill.going = Some(Going { rung, until, permit: None, will: Will::Work, proof: None });
                self.say(|| format!("b{place}: tries {rung}, {attempt}. time, for {fault}"));
                self.must(until <= deadline, || format!("b{place}: an attempt goes beyond the deadline"));
                self.must(fit(fault, rung).helps, || format!("b{place}: {rung} cannot help {fault}"));
                self.pay_for(place, rung, attempt, level, until);
                self.at(not_before, Event::Begin(place, turn));
                self.at(until, Event::TimeUp(place, turn));
            }
            Step::Wait { until, .. } => {
                shared.gate.enter(now, ticket, level, wait);
                self.tally.waited_for_restarts += 1;
                self.must(until > now, || "waiting takes no time".to_owned());
                self.at(until, Event::Decide(place, turn));
            }
            Step::Recovered => {
                shared.gate.give_up(ticket);
                self.recovered(place);
            }
            Step::GiveUp { cause } => {
                shared.gate.give_up(ticket);
                self.say(|| format!("b{place} is given up: {cause}"));
                self.must(cause != GiveUpCause::NothingHelps, || "a restart is always offered".to_owned());
                self.tally.given_up += 1;
                self.depart(place, LeaveCause::Crashed);
                self.machines[place].kill();
                self.patients[place].condition = Condition::Lost;
                if !self.calm {
                    let wait = self.between(10.0, 100.0);
                    self.later(wait, Event::Add(place));
                }
            }
            other => self.must(false, || format!("an unknown step: {other:?}")),
        }
    }

    /// Takes the permit of a restart and the token of a repetition.
    fn pay_for(&mut self, place: Place, rung: Rung, attempt: u32, level: PressureLevel, until: Instant) {
        let now = self.now;
        let shared = &mut self.shared;
        let Some(ill) = self.patients[place].ill() else { return };
        let mut admitted = true;
        if rung == Rung::Restart {
            match shared.gate.enter(now, ill.ticket, level, until - now) {
                Entry::Admitted { permit, .. } => {
                    if let Some(going) = &mut ill.going {
                        going.permit = Some(permit);
                    }
                }
                _ => admitted = false,
            }
        } else {
            shared.gate.give_up(ill.ticket);
        }
        let mut paid = true;
        if attempt > 1 {
            paid = shared.budget.withdraw(now);
            shared.repeated += 1;
        }
        let limit = if level >= shared.gate_config.alone_from { 1 } else { shared.gate_config.at_once };
        let inside = shared.gate.count(now).0;
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        let config = shared.budget_config;
        let bound = config.burst + config.share * shared.paid as f64 + config.per_second * seconds;
        let repeated = shared.repeated;
        self.must(admitted, || format!("b{place}: the gate changed its mind"));
        self.must(rung != Rung::Restart || inside <= limit, || format!("{inside} restarts at once"));
        self.must(paid && repeated as f64 <= bound, || {
            format!("{repeated} repetitions, and {bound} are paid")
        });
    }

    /// An attempt has ended: gives back what it took, and goes on.
    pub(super) fn end_attempt(&mut self, place: Place, outcome: AttemptOutcome) {
        let Some(going) = self.stop_attempt(place, outcome == AttemptOutcome::Worked) else { return };
        let rung = going.rung;
        self.say(|| format!("b{place}: {rung} {outcome:?}"));
        let now = self.now;
        if let Some(lesson) =
            self.patients[place].ill().and_then(|ill| ill.incident.report(now, rung, outcome))
        {
            self.shared.record.learn(now, &lesson);
        }
        if outcome != AttemptOutcome::Worked {
            let signs = self.signs(place);
            if let (Some(fault), Some(ill)) =
                (diagnose(&signs, &self.shared.diagnosis), self.patients[place].ill())
            {
                ill.incident.rediagnose(fault);
            }
        }
        self.decide(place);
    }

    /// Drops the attempt that goes on, with its permit, and with its page unless that has proved itself.
    fn stop_attempt(&mut self, place: Place, proved: bool) -> Option<Going> {
        self.next_turn(place);
        let going = self.patients[place].ill()?.going.take()?;
        if let Some(permit) = going.permit
            && self.bug != Some(Bug::PermitKept)
        {
            self.shared.gate.leave(permit);
        }
        if let Some(proof) = &going.proof
            && !proved
        {
            for &request in &proof.pending {
                self.core.cancel(self.now, request);
            }
            self.core.leave(self.now, proof.worker, LeaveCause::Unresponsive);
            self.obey();
        }
        Some(going)
    }

    pub(super) fn time_is_up(&mut self, place: Place) {
        self.end_attempt(place, AttemptOutcome::TimedOut);
    }

    /// A recovery that goes on is told what was seen meanwhile.
    pub(super) fn tell(&mut self, place: Place) {
        let signs = self.signs(place);
        let Some(fault) = diagnose(&signs, &self.shared.diagnosis) else { return };
        let Some(ill) = self.patients[place].ill() else { return };
        if fault >= ill.incident.fault() {
            return;
        }
        ill.incident.rediagnose(fault);
        let overtaken = ill.going.as_ref().is_some_and(|going| !ill.incident.is_trying(going.rung));
        if overtaken {
            self.say(|| format!("b{place}: told of {fault}"));
            self.stop_attempt(place, false);
            self.decide(place);
        }
    }

    /// It works again, as far as recovery is concerned.
    fn recovered(&mut self, place: Place) {
        self.tally.recovered += 1;
        let Some(ill) = self.patients[place].ill() else { return };
        let rung = ill.incident.last_rung();
        self.say(|| format!("b{place} is back"));
        self.check_loaded_again(place);
        let patient = &mut self.patients[place];
        patient.condition = Condition::Well;
        patient.away = Away::new(self.now);
        let (gone, worker) = (patient.member.is_none(), patient.worker);
        if rung >= Some(Rung::Restart) {
            self.renew(place);
        }
        // Whoever begins to watch sees at once what has happened meanwhile.
        if gone {
            self.later(0.0, Event::PutOut(place, worker));
        } else if !self.machines[place].connected {
            let page = self.machines[place].page;
            self.later(0.0, Event::PageEnd(place, page));
        }
    }
}
