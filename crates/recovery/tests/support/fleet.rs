//! A fleet of workers that break at random, under a clock that only the simulation moves.
//!
//! Each worker has requests; their outcomes go to its breaker. A worker that breaks gets an incident; its rungs help or
//! fail by their true chances, which the ladder does not know. Everything is drawn from one seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use recovery::{
    Admission, AttemptOutcome, BreakerSet, CallOutcome, Conditions, Entry, Fault, GateConfig, GiveUpCause,
    Incident, PermitId, PressureLevel, RecoveryConfig, RestartRoom, RetryBudget, Rung, RungRecord, RungSet,
    SetConfig, Step, StormGate, Subject, Ticket, fit,
};
use vocab::{BrowserName, WorkerId};

/// What one step of the simulated time is.
const TICK: Duration = Duration::from_millis(250);

/// An attempt that goes on.
struct Going {
    rung: Rung,
    ends: Instant,
    until: Instant,
    outcome: AttemptOutcome,
    permit: Option<PermitId>,
}

struct Worker {
    fault: Option<Fault>,
    incident: Option<Incident>,
    going: Option<Going>,
    wake: Instant,
}

/// What happened, to be looked at and to be compared between two runs of the same seed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) faults: u64,
    pub(crate) recovered: u64,
    pub(crate) given_up: u64,
    pub(crate) rungs: BTreeMap<Rung, u64>,
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) trips: u64,
}

pub(crate) struct Fleet {
    random: SmallRng,
    now: Instant,
    config: RecoveryConfig,
    workers: Vec<Worker>,
    record: RungRecord,
    gate: StormGate,
    budget: RetryBudget,
    breakers: BreakerSet<u64>,
    level: PressureLevel,
    inside: BTreeMap<PermitId, Instant>,
    pub(crate) tally: Tally,
}

impl Fleet {
    pub(crate) fn new(seed: u64, workers: usize, now: Instant) -> Self {
        let mut config = RecoveryConfig::default();
        config.seed = seed;
        let worker = || Worker { fault: None, incident: None, going: None, wake: now };
        let mut set = SetConfig::default();
        set.breaker.seed = seed;
        Self {
            random: SmallRng::seed_from_u64(seed),
            now,
            config,
            workers: (0..workers).map(|_| worker()).collect(),
            record: RungRecord::new(),
            gate: StormGate::new(GateConfig::default()).expect("the defaults work"),
            budget: RetryBudget::new(recovery::BudgetConfig::default(), now).expect("the defaults work"),
            breakers: BreakerSet::new(set).expect("the defaults work"),
            level: PressureLevel::Normal,
            inside: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Lets the time pass, with `faults` faults a worker and minute, and then without any until everything is quiet.
    pub(crate) fn run(&mut self, ticks: u32, faults: f64) {
        for _ in 0..ticks {
            self.tick(faults * TICK.as_secs_f64() / 60.0);
        }
        let limit = self.now + self.config.deadline * 2;
        while self.workers.iter().any(|worker| worker.incident.is_some()) {
            self.tick(0.0);
            assert!(self.now <= limit, "a recovery does not end");
        }
    }

    /// Whether every worker serves again once it is asked often enough: no breaker is wedged.
    pub(crate) fn heals(&mut self) -> bool {
        for worker in &mut self.workers {
            worker.fault = None;
        }
        self.level = PressureLevel::Normal;
        for _ in 0..4_000 {
            self.now += TICK;
            (0..self.workers.len()).for_each(|id| self.request(id));
        }
        (0..self.workers.len() as u64).all(|id| self.breakers.health(&id) > 0.99)
    }

    fn tick(&mut self, chance: f64) {
        self.now += TICK;
        if self.random.random_bool(0.01) {
            self.level = PressureLevel::ALL[self.random.random_range(0..4)];
        }
        self.inside.retain(|_, until| *until > self.now);
        // Now and then many die at once.
        let storm = chance > 0.0 && self.random.random_bool(0.001);
        for id in 0..self.workers.len() {
            if self.random.random_bool(chance) || (storm && self.random.random_bool(0.8)) {
                self.break_one(id, storm);
            }
            self.request(id);
            self.recover(id);
        }
        self.check();
    }

    fn break_one(&mut self, id: usize, storm: bool) {
        let fault = if storm {
            Fault::ProcessDead
        } else {
            Fault::ALL[self.random.random_range(0..Fault::ALL.len())]
        };
        self.tally.faults += 1;
        let worker = &mut self.workers[id];
        let worse = worker.fault.map_or(fault, |before| before.min(fault));
        worker.fault = Some(worse);
        if let Some(incident) = &mut worker.incident {
            incident.rediagnose(worse);
            // An attempt that cannot help any more is dropped, as the driver does.
            if worker.going.as_ref().is_some_and(|going| !incident.is_trying(going.rung)) {
                let going = worker.going.take();
                self.leave(going.and_then(|going| going.permit));
                self.workers[id].wake = self.now;
            }
        }
    }

    fn leave(&mut self, permit: Option<PermitId>) {
        // One in ten holders is lost and never gives its permit back.
        if let Some(permit) = permit
            && self.random.random_bool(0.9)
        {
            self.gate.leave(permit);
            self.inside.remove(&permit);
        }
    }

    fn request(&mut self, id: usize) {
        let key = id as u64;
        self.budget.deposit(self.now);
        let (admission, moved) = self.breakers.ask(self.now, &key);
        self.tally.trips += u64::from(moved.is_some());
        let Admission::Allowed(permit) = admission else {
            self.tally.refused += 1;
            return;
        };
        let took = TICK;
        let outcome = match self.random.random_range(0..20) {
            0 => CallOutcome::CallersFault,
            // A call that is lost: its permit ends by itself.
            1 => return,
            _ if self.workers[id].fault.is_some() => CallOutcome::Failed { took },
            _ => CallOutcome::Worked { took },
        };
        self.tally.served += u64::from(matches!(outcome, CallOutcome::Worked { .. }));
        self.tally.trips += u64::from(self.breakers.record(self.now, &key, permit, outcome).is_some());
    }

    fn recover(&mut self, id: usize) {
        let now = self.now;
        if self.workers[id].going.as_ref().is_some_and(|going| going.ends <= now) {
            self.finish(id);
        }
        let worker = &mut self.workers[id];
        if worker.going.is_some() || worker.wake > now {
            return;
        }
        if worker.incident.is_none() {
            let Some(fault) = worker.fault else { return };
            let browser = Some(BrowserName::ALL[id % BrowserName::ALL.len()]);
            let subject = Subject { worker: WorkerId(id as u64), browser };
            worker.incident =
                Some(Incident::new(subject, fault, now, &self.config).expect("the settings work"));
        }
        self.step(id);
    }

    fn step(&mut self, id: usize) {
        let (now, ticket, level) = (self.now, Ticket(id as u64), self.level);
        // Switching is possible where another worker is well.
        let spare = self.workers.iter().any(|worker| worker.fault.is_none());
        let offered = if spare { RungSet::ALL } else { RungSet::ALL.without(Rung::Switch) };
        let restart = if self.gate.would_admit(now, ticket, level) {
            RestartRoom::Free
        } else {
            RestartRoom::Full { ask_again: now + TICK }
        };
        let repeat = self.budget.affords(now);
        let Some(incident) = &mut self.workers[id].incident else { return };
        self.tally.steps += 1;
        let step = incident.next(now, &Conditions { offered, level, restart, repeat, record: &self.record });
        match step {
            Step::Attempt { rung, attempt, not_before, until } => {
                assert!(until <= incident.deadline(), "an attempt goes beyond the deadline");
                assert!(fit(incident.fault(), rung).helps, "{rung} cannot help {}", incident.fault());
                *self.tally.rungs.entry(rung).or_default() += 1;
                if attempt > 1 {
                    assert!(self.budget.withdraw(now), "a repetition is paid for");
                }
                let mut permit = None;
                if rung == Rung::Restart {
                    let entry = self.gate.enter(now, ticket, level, until - now);
                    let Entry::Admitted { permit: id, until } = entry else { panic!("{entry:?}") };
                    let alone = level >= PressureLevel::High;
                    assert!(self.inside.len() < if alone { 1 } else { 2 }, "too many restarts at once");
                    self.inside.insert(id, until);
                    permit = Some(id);
                }
                let (outcome, ends) = self.act(id, rung, not_before, until);
                self.workers[id].going = Some(Going { rung, ends, until, outcome, permit });
            }
            Step::Wait { until, .. } => {
                assert!(until > now, "waiting takes time");
                self.gate.enter(now, ticket, level, TICK);
                self.workers[id].wake = until;
            }
            Step::Recovered => {
                self.tally.recovered += 1;
                self.end(id);
            }
            Step::GiveUp { cause } => {
                assert!(cause != GiveUpCause::NothingHelps, "restart is always offered");
                self.tally.given_up += 1;
                // Whoever is above replaces what was given up.
                self.end(id);
            }
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, id: usize) {
        self.gate.give_up(Ticket(id as u64));
        let worker = &mut self.workers[id];
        (worker.fault, worker.incident) = (None, None);
    }

    /// How an attempt will end, and when. The true chances differ from what is assumed: reconnecting is hopeless on every
    /// second browser.
    fn act(&mut self, id: usize, rung: Rung, begin: Instant, until: Instant) -> (AttemptOutcome, Instant) {
        let (chance, seconds) = match rung {
            Rung::Ping => (0.2, 0.1),
            Rung::Reconnect => (if Self::is_hopeless(id) { 0.02 } else { 0.95 }, 1.0),
            Rung::Refresh => (0.7, 4.0),
            Rung::Restart => (0.9, 9.0),
            Rung::Switch => (0.95, 3.0),
        };
        let outcome = match self.random.random::<f64>() {
            drawn if drawn < chance => AttemptOutcome::Worked,
            drawn if drawn < chance + 0.01 => AttemptOutcome::Unavailable,
            _ if self.random.random_bool(0.5) => AttemptOutcome::Failed,
            _ => AttemptOutcome::TimedOut,
        };
        let takes = Duration::from_secs_f64(seconds * self.random.random_range(0.5..2.0));
        let ends = if outcome == AttemptOutcome::TimedOut { until } else { begin + takes };
        if ends >= until { (AttemptOutcome::TimedOut, until) } else { (outcome, ends) }
    }

    /// Whether reconnecting helps this worker's browser next to never.
    pub(crate) fn is_hopeless(id: usize) -> bool {
        (id % BrowserName::ALL.len()).is_multiple_of(2)
    }

    fn finish(&mut self, id: usize) {
        let now = self.now;
        let Some(going) = self.workers[id].going.take() else { return };
        self.leave(going.permit);
        let worker = &mut self.workers[id];
        let Some(incident) = &mut worker.incident else { return };
        if self.random.random_bool(0.05) {
            // The report is lost; until its time is over, the incident believes that the attempt goes on.
            worker.wake = going.until;
        } else if let Some(lesson) = incident.report(now, going.rung, going.outcome) {
            self.record.learn(now, &lesson);
        }
    }

    fn check(&self) {
        assert!(self.inside.len() <= 2, "too many restarts at once");
        let keys: Vec<u64> = (0..self.workers.len() as u64).collect();
        let verdicts = self.breakers.verdicts(self.now, &keys);
        assert!(verdicts.ejected.len() <= keys.len() / 2, "more than half are shut out");
        for worker in &self.workers {
            if let Some(incident) = &worker.incident {
                let late = self.now.saturating_duration_since(incident.deadline());
                assert!(late <= TICK * 5, "a recovery goes on {late:?} after its deadline");
            }
        }
    }

    /// What was learned about reconnecting on one browser.
    pub(crate) fn reconnect_chance(&self, id: usize) -> f64 {
        let browser = Some(BrowserName::ALL[id % BrowserName::ALL.len()]);
        self.record.estimate(self.now, Fault::SocketLost, browser, Rung::Reconnect).chance
    }
}
