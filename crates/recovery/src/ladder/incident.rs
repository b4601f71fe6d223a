//! One recovery, from its diagnosis to its end.

use std::time::{Duration, Instant};

use vocab::{Fault, PressureLevel, Rung};

use super::choice::{Candidate, Weighed, choose, weigh};
use super::step::{AttemptOutcome, Conditions, GiveUpCause, RestartRoom, Step, Subject, WaitReason};
use super::{Estimate, Lesson, PerRung, RecoveryConfig};
use crate::config::ConfigError;
use crate::pace::Backoff;
use crate::rungs::RungSet;

/// The ladder, for one subject in trouble.
///
/// It decides and does nothing: ask [`next`](Self::next), do what it says, [`report`](Self::report) how that went, and
/// ask again, until it says [`Step::Recovered`] or [`Step::GiveUp`]. It always comes to that: every attempt that it hands
/// out counts, each rung has a bounded number of them, and each ends before the deadline.
///
/// It goes up the ladder and never down, but for a fresh [diagnosis](Self::rediagnose). It passes over rungs that cannot
/// help, that are not offered, that have no time left, and that are expected to cost more than going straight up.
#[derive(Debug, Clone)]
pub struct Incident {
    subject: Subject,
    fault: Fault,
    began: Instant,
    deadline: Instant,
    config: RecoveryConfig,
    backoff: Backoff,
    phase: Phase,
    /// The lowest rung that may be tried.
    floor: Rung,
    tries: PerRung<u32>,
    unavailable: RungSet,
    last: Option<Rung>,
    /// Since when a restart waits for its turn.
    waiting: Option<Instant>,
}

/// Where an incident is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The next rung is to be chosen.
    Choosing,
    /// A rung is being tried.
    Trying(Trying),
    /// It is over.
    Ended(Step),
}

/// An attempt that was handed out.
#[derive(Debug, Clone, Copy)]
struct Trying {
    fault: Fault,
    rung: Rung,
    /// How far the ladder had been climbed before.
    floor: Rung,
    attempt: u32,
    not_before: Instant,
    until: Instant,
}

impl Incident {
    /// An incident that begins now.
    ///
    /// # Errors
    /// A setting that cannot work.
    pub fn new(
        subject: Subject,
        fault: Fault,
        now: Instant,
        config: &RecoveryConfig,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        // Incidents of different subjects must not draw the same waits, or they would come back together.
        let seed = config.seed ^ subject.worker.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Ok(Self {
            subject,
            fault,
            began: now,
            deadline: now + config.deadline,
            backoff: Backoff::new(config.backoff, seed),
            config: config.clone(),
            phase: Phase::Choosing,
            floor: Rung::Ping,
            tries: PerRung { ping: 0, reconnect: 0, refresh: 0, restart: 0, switch: 0 },
            unavailable: RungSet::NONE,
            last: None,
            waiting: None,
        })
    }

    /// What is in trouble.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// What is wrong, after the last diagnosis.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// When it ends at the latest.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The rung that was tried last.
    #[must_use]
    pub fn last_rung(&self) -> Option<Rung> {
        self.last
    }

    /// How often a rung was tried.
    #[must_use]
    pub fn tries(&self, rung: Rung) -> u32 {
        *self.tries.get(rung)
    }

    /// Whether this rung is being tried, as far as was reported.
    #[must_use]
    pub fn is_trying(&self, rung: Rung) -> bool {
        matches!(self.phase, Phase::Trying(trying) if trying.rung == rung)
    }

    /// What to do next.
    ///
    /// While an attempt is going on, it is given again; once its time is over without a report, it counts as timed out.
    pub fn next(&mut self, now: Instant, conditions: &Conditions<'_>) -> Step {
        match self.phase {
            Phase::Ended(step) => return step,
            Phase::Trying(trying) if now < trying.until => return trying.step(),
            Phase::Trying(_) => self.phase = Phase::Choosing,
            Phase::Choosing => {}
        }
        let Some(left) = self.deadline.checked_duration_since(now).filter(|left| !left.is_zero()) else {
            return self.end(Step::GiveUp { cause: GiveUpCause::Deadline });
        };
        let candidates = self.candidates(now, conditions);
        if candidates.is_empty() {
            let untried = Rung::ALL.iter().all(|&rung| self.tries(rung) == 0);
            let cause = if untried { GiveUpCause::NothingHelps } else { GiveUpCause::Exhausted };
            return self.end(Step::GiveUp { cause });
        }
        let weighed = weigh(&candidates);
        let mut chosen = choose(&weighed, left);
        if let (Some((Candidate { rung: Rung::Restart, .. }, _)), RestartRoom::Full { ask_again }) =
            (&chosen, conditions.restart)
        {
            let since = *self.waiting.get_or_insert(now);
            let patience = since + self.config.gate_patience;
            let instead: Vec<Weighed> =
                weighed.iter().copied().filter(|weighed| weighed.candidate.rung > Rung::Restart).collect();
            if instead.is_empty() || now < patience {
                let latest = if instead.is_empty() { self.deadline } else { patience.min(self.deadline) };
                let until = ask_again.max(now + Duration::from_millis(1)).min(latest);
                return Step::Wait { until, why: WaitReason::RestartRoom };
            }
            chosen = choose(&instead, left);
        }
        let Some((candidate, time)) = chosen else {
            return self.end(Step::GiveUp { cause: GiveUpCause::Deadline });
        };
        self.start(now, candidate, time)
    }

    /// Hands out an attempt. The wait before a repetition comes out of the attempt's own time, and leaves what the rung
    /// needs to help.
    fn start(&mut self, now: Instant, candidate: Candidate, time: Duration) -> Step {
        let rung = candidate.rung;
        let before = self.tries(rung);
        let wait = if before == 0 {
            Duration::ZERO
        } else {
            self.backoff.delay(before).min(time.saturating_sub(candidate.worked))
        };
        *self.tries.get_mut(rung) += 1;
        let floor = std::mem::replace(&mut self.floor, rung);
        self.last = Some(rung);
        self.waiting = None;
        let trying = Trying {
            fault: self.fault,
            rung,
            floor,
            attempt: before + 1,
            not_before: now + wait,
            until: now + time,
        };
        self.phase = Phase::Trying(trying);
        trying.step()
    }

    /// Says how an attempt ended. Answers with what can be learned from it.
    ///
    /// A success ends the incident, also where it comes late; of what ended badly, only the attempt that is going on
    /// counts.
    pub fn report(&mut self, now: Instant, rung: Rung, outcome: AttemptOutcome) -> Option<Lesson> {
        let trying = match self.phase {
            Phase::Ended(_) => return None,
            Phase::Trying(trying) if trying.rung == rung => Some(trying),
            _ => None,
        };
        match outcome {
            AttemptOutcome::Worked => self.phase = Phase::Ended(Step::Recovered),
            AttemptOutcome::Unavailable => self.unavailable = self.unavailable.with(rung),
            AttemptOutcome::Failed | AttemptOutcome::Unproved | AttemptOutcome::TimedOut => {}
        }
        let trying = trying?;
        if outcome != AttemptOutcome::Worked {
            self.phase = Phase::Choosing;
        }
        if outcome == AttemptOutcome::Unavailable {
            // Nothing was tried, so what was passed over for it is open still.
            self.floor = self.floor.min(trying.floor);
        }
        (outcome != AttemptOutcome::Unavailable).then(|| Lesson {
            fault: trying.fault,
            browser: self.subject.browser,
            rung,
            worked: outcome == AttemptOutcome::Worked,
            took: now.saturating_duration_since(trying.not_before),
        })
    }

    /// Takes a fresh diagnosis. Where it differs, every rung that can help the new fault is open again, as far as its
    /// tries go; an attempt that cannot help it is over, and whoever carries it out should drop it.
    pub fn rediagnose(&mut self, fault: Fault) {
        if fault == self.fault || matches!(self.phase, Phase::Ended(_)) {
            return;
        }
        self.fault = fault;
        self.floor = Rung::Ping;
        self.waiting = None;
        if let Phase::Trying(trying) = self.phase
            && !RungSet::helping(fault).has(trying.rung)
        {
            self.phase = Phase::Choosing;
        }
    }

    fn end(&mut self, step: Step) -> Step {
        self.phase = Phase::Ended(step);
        step
    }

    /// Why a rung is not a candidate; `None` where it is one.
    pub(super) fn barred(&self, conditions: &Conditions<'_>, rung: Rung) -> Option<super::Standing> {
        use super::Standing;
        let tries = self.tries(rung);
        if !RungSet::helping(self.fault).has(rung) {
            Some(Standing::CannotHelp)
        } else if !conditions.offered.has(rung) || self.unavailable.has(rung) {
            Some(Standing::NotOffered)
        } else if rung < self.floor {
            Some(Standing::Passed)
        } else if tries >= *self.config.tries.get(rung) {
            Some(Standing::UsedUp)
        } else if tries > 0 && !conditions.repeat {
            Some(Standing::OverBudget)
        } else {
            None
        }
    }

    /// The rungs that may be tried, in the order of the ladder.
    pub(super) fn candidates(&self, now: Instant, conditions: &Conditions<'_>) -> Vec<Candidate> {
        let open = Rung::ALL.iter().copied().filter(|&rung| self.barred(conditions, rung).is_none());
        open.map(|rung| self.candidate(now, conditions, rung)).collect()
    }

    fn candidate(&self, now: Instant, conditions: &Conditions<'_>, rung: Rung) -> Candidate {
        let estimate = self.estimate(now, conditions, rung);
        let limit = *self.config.limits.get(rung);
        let crowded = rung == Rung::Switch && conditions.level == PressureLevel::Critical;
        let disruption = self.config.disruption.get(rung);
        let disruption = if crowded { disruption.mul_f64(self.config.crowded_switch) } else { *disruption };
        Candidate {
            rung,
            chance: estimate.chance,
            price: estimate.takes().min(limit) + disruption,
            worked: estimate.worked,
            limit,
        }
    }

    /// What is expected of a rung, this time.
    pub(super) fn estimate(&self, now: Instant, conditions: &Conditions<'_>, rung: Rung) -> Estimate {
        let mut estimate = conditions.record.estimate(now, self.fault, self.subject.browser, rung);
        let tries = i32::try_from(self.tries(rung)).unwrap_or(i32::MAX);
        estimate.chance *= self.config.repeat_chance.powi(tries);
        estimate
    }
}

impl Trying {
    fn step(&self) -> Step {
        let Self { fault: _, rung, floor: _, attempt, not_before, until } = *self;
        Step::Attempt { rung, attempt, not_before, until }
    }
}
