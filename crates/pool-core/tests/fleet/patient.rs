//! What the owner of a browser knows of it, and how he notices that something is wrong.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pool_core::{Held, WorkerInfo};
use pool_core_testing::info_of;
use recovery::{Canary, Fault, Plan as Recycling, PressureLevel, Recycler, Spare, diagnose};
use telemetry::LeaveCause;
use vocab::{Backend, ModelHash, WorkerId};

use super::callers::Asker;
use super::calls::Link;
use super::illness::Illness;
use super::shared::recycling;
use super::{Bug, Event, Place, World};

#[derive(Debug)]
pub(super) enum Condition {
    Well,
    Ill(Box<Illness>),
    /// It was given up.
    Lost,
}

#[derive(Debug)]
pub(super) struct Patient {
    pub(super) condition: Condition,
    /// Its worker in the pool.
    pub(super) member: Option<WorkerId>,
    /// The worker that serves, or served last.
    pub(super) worker: WorkerId,
    /// What it had loaded when it was lost.
    pub(super) lost: Vec<Held>,
    pub(super) out: LeaveCause,
    /// The same, kept apart from what recovery believes: what must be loaded again, and what need not.
    pub(super) owed: BTreeSet<(ModelHash, Backend)>,
    pub(super) excused: BTreeSet<ModelHash>,
    /// Counts what its recovery does; an event of an earlier turn is stale.
    pub(super) turn: u64,
    pub(super) recycler: Recycler,
    pub(super) spare: Option<Instant>,
    pub(super) draining: Option<Instant>,
    pub(super) away: Away,
    /// How many nudges in a row were answered rightly.
    pub(super) served: u32,
}

/// Between two looks.
const BEAT: Duration = Duration::from_secs(2);
/// After which silence a connection may be given up.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// How long a browser that is to be replaced is waited for, because the pool gives it new work all the same.
const DRAINED_AFTER: Duration = Duration::from_secs(6);

impl Patient {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            condition: Condition::Well,
            member: None,
            worker: WorkerId(0),
            lost: Vec::new(),
            out: LeaveCause::Vanished,
            owed: BTreeSet::new(),
            excused: BTreeSet::new(),
            turn: 0,
            recycler: Recycler::new(recycling(), now).expect("the settings work"),
            spare: None,
            draining: None,
            away: Away::new(now),
            served: 0,
        }
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(self.condition, Condition::Well)
    }

    pub(super) fn ill(&mut self) -> Option<&mut Illness> {
        match &mut self.condition {
            Condition::Ill(illness) => Some(illness),
            _ => None,
        }
    }
}

/// How much of a page's silence was our own, as `webnn-pool` counts it.
#[derive(Debug)]
pub(super) struct Away {
    last: Instant,
    total: Duration,
}

impl Away {
    /// Whoever begins to watch looks at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: now, total: Duration::ZERO }
    }

    fn at(&mut self, now: Instant, silence: Duration) -> Duration {
        let gap = now.saturating_duration_since(self.last);
        self.last = now;
        if silence < gap {
            self.total = Duration::ZERO;
        } else if gap > BEAT * 2 {
            self.total += gap - BEAT;
        }
        self.total
    }
}

impl World {
    pub(super) fn first_page(&mut self, place: Place) {
        let worker = self.join(place);
        (self.patients[place].member, self.patients[place].worker) = (Some(worker), worker);
        let wait = self.between(0.0, BEAT.as_secs_f64());
        self.later(wait, Event::Beat(place));
    }

    /// Another browser takes the place of one that was given up.
    pub(super) fn add(&mut self, place: Place) {
        self.machines[place].start(self.now);
        self.renew(place);
        let worker = self.join(place);
        let patient = &mut self.patients[place];
        patient.condition = Condition::Well;
        (patient.member, patient.worker) = (Some(worker), worker);
        patient.lost.clear();
        patient.owed.clear();
        patient.excused.clear();
    }

    /// The page that a browser has joins the pool.
    pub(super) fn join(&mut self, place: Place) -> WorkerId {
        let machine = &self.machines[place];
        let info = info_of(machine.name, machine.backends);
        let info = WorkerInfo {
            slots: 1 + place as u32 % 3,
            memory_budget_bytes: 4_500 + 1_000 * place as u64,
            ..info
        };
        let link = Link {
            place,
            page: machine.page,
            slots: info.slots as usize,
            budget: info.memory_budget_bytes,
            sessions: std::collections::BTreeMap::new(),
            running: BTreeSet::new(),
            loading: 0,
            progress: self.now,
        };
        let name = machine.name;
        let worker = self.core.join(self.now, info);
        self.links.insert(worker, link);
        self.say(|| format!("b{place}: {worker} joins, {name}"));
        self.obey();
        worker
    }

    /// Takes the worker out of the pool, if it is there.
    pub(super) fn depart(&mut self, place: Place, cause: LeaveCause) {
        if let Some(worker) = self.patients[place].member {
            self.core.leave(self.now, worker, cause);
            self.obey();
        }
    }

    /// The pool has forgotten a worker.
    pub(super) fn was_forgotten(
        &mut self,
        place: Place,
        worker: WorkerId,
        cause: LeaveCause,
        held: Vec<Held>,
    ) {
        let patient = &mut self.patients[place];
        if patient.member == Some(worker) {
            patient.member = None;
            patient.out = cause;
            patient.owed.extend(held.iter().map(|held| (held.model.hash, held.backend)));
            patient.lost = held;
            let noticed = self.between(0.0, 0.05);
            self.later(noticed, Event::PutOut(place, worker));
        } else if let Some(proof) = patient.ill().and_then(Illness::proof_of(worker)) {
            proof.gone = Some((cause, held));
        }
    }

    /// A look at a browser.
    pub(super) fn beat(&mut self, place: Place) {
        self.later(BEAT.as_secs_f64(), Event::Beat(place));
        let answers = self.machines[place].connected && !self.machines[place].is_hung(self.now);
        // What came meanwhile is read before the look, or after it.
        if answers && self.chance(0.5) {
            self.machines[place].heard = self.now;
        }
        if self.patients[place].is_well() {
            let mut signs = self.signs(place);
            let silence = signs.control_silence.unwrap_or_default();
            signs.observer_away = self.patients[place].away.at(self.now, silence);
            if signs.canary == Canary::Wrong {
                // Whatever else is wrong with it: nobody gets another answer of it.
                self.exposed.insert((place, self.machines[place].page));
                if self.bug == Some(Bug::LiarServes) {
                    signs.canary = Canary::Unknown;
                } else {
                    self.depart(place, LeaveCause::Quarantined);
                }
            }
            match diagnose(&signs, &self.shared.diagnosis) {
                Some(fault) => {
                    let hung = self.machines[place].hung.is_some();
                    self.must(hung || fault != Fault::PageHung, || {
                        format!("b{place} is taken to hang, and only we stood still")
                    });
                    self.revive(place, fault);
                }
                None if self.calm => {}
                None => self.recycle(place),
            }
        }
        self.give_up_connection(place);
        if answers {
            self.machines[place].heard = self.now;
        }
    }

    /// The connection of a page that has been silent for long is closed from our side.
    fn give_up_connection(&mut self, place: Place) {
        let machine = &self.machines[place];
        let silent = self.now.saturating_duration_since(machine.heard) > SILENT_FOR;
        if machine.connected && machine.is_hung(self.now) && silent && self.chance(0.3) {
            let page = self.machines[place].page;
            self.machines[place].connected = false;
            self.later(0.0, Event::PageEnd(place, page));
        }
    }

    /// The connection of a page was seen to close.
    pub(super) fn page_ended(&mut self, place: Place, page: u32) {
        let machine = &self.machines[place];
        if machine.page != page || machine.connected {
            return;
        }
        // Either the calls end first, or whoever watches the page.
        if !self.patients[place].is_well() || self.chance(0.5) {
            let of_page = |(_, link): &(&WorkerId, &Link)| link.place == place && link.page == page;
            let workers: Vec<WorkerId> =
                self.links.iter().filter(of_page).map(|(&worker, _)| worker).collect();
            for worker in workers {
                self.calls_vanish(worker);
            }
        }
        if self.patients[place].is_well() {
            let signs = self.signs(place);
            let fault = diagnose(&signs, &self.shared.diagnosis).unwrap_or(Fault::SocketLost);
            self.revive(place, fault);
        } else if self.chance(0.5) {
            self.tell(place);
        }
    }

    /// The pool has put a worker out, and its owner hears of it.
    pub(super) fn was_put_out(&mut self, place: Place, worker: WorkerId) {
        let patient = &self.patients[place];
        if !patient.is_well() || patient.member.is_some() || patient.worker != worker {
            return;
        }
        let fault = if self.machines[place].connected && patient.out == LeaveCause::Unresponsive {
            Fault::WorkerHung
        } else {
            let signs = self.signs(place);
            diagnose(&signs, &self.shared.diagnosis).unwrap_or(Fault::SocketLost)
        };
        self.revive(place, fault);
    }

    /// A browser that works is replaced all the same, now and then.
    fn recycle(&mut self, place: Place) {
        let Some(link) = self.patients[place].member.and_then(|worker| self.links.get(&worker)) else {
            return;
        };
        let busy = link.running.len();
        let critical = self.shared.pressure.level() == PressureLevel::Critical;
        let now = self.now;
        let starts = self.between(3.0, 8.0);
        let patient = &mut self.patients[place];
        let spare = match patient.spare {
            _ if critical => Spare::NoRoom,
            Some(ready) if ready <= now => Spare::Warm,
            _ => Spare::None,
        };
        match patient.recycler.plan(now, spare, busy) {
            Recycling::Keep => {}
            Recycling::StartSpareFirst { .. } => {
                patient.spare.get_or_insert_with(|| now + Duration::from_secs_f64(starts));
            }
            Recycling::Drain { .. } => {
                let since = *patient.draining.get_or_insert(now);
                if now >= since + DRAINED_AFTER {
                    self.replace(place);
                }
            }
            Recycling::Recycle { .. } => self.replace(place),
            other => self.must(false, || format!("an unknown plan: {other:?}")),
        }
    }

    fn replace(&mut self, place: Place) {
        self.say(|| format!("b{place} is recycled"));
        self.tally.recycled += 1;
        self.depart(place, LeaveCause::Retired);
        self.machines[place].start(self.now);
        self.renew(place);
        let worker = self.join(place);
        let patient = &mut self.patients[place];
        (patient.member, patient.worker) = (Some(worker), worker);
        patient.owed.clear();
        for held in std::mem::take(&mut patient.lost) {
            let constraints = pool_core::Constraints { backends: vec![held.backend], ..Default::default() };
            // Nobody depends on these: what is not loaded now is when it is asked for.
            let _ = self.ask(Asker::Caller, &held.model, constraints, Some(worker), true);
        }
    }

    /// Its process is a fresh one.
    pub(super) fn renew(&mut self, place: Place) {
        let now = self.now;
        let patient = &mut self.patients[place];
        patient.recycler = Recycler::new(recycling(), now).expect("the settings work");
        (patient.spare, patient.draining) = (None, None);
        patient.away = Away::new(now);
    }

    /// Something is wrong: its recovery begins.
    pub(super) fn revive(&mut self, place: Place, fault: Fault) {
        self.say(|| format!("b{place}: diagnosed {fault}"));
        let silent = matches!(fault, Fault::PageHung | Fault::WorkerHung);
        if !self.machines[place].connected || !silent {
            self.depart(place, leave_cause(fault));
        }
        let fault = if silent { self.look_behind(place, fault) } else { fault };
        self.fall_ill(place, fault);
    }

    /// What is wrong with one that is silent: its driver may be dead too.
    fn look_behind(&mut self, place: Place, fault: Fault) -> Fault {
        if self.machines[place].connected && !self.machines[place].is_hung(self.now) {
            return fault;
        }
        let signs = self.signs(place);
        match diagnose(&signs, &self.shared.diagnosis) {
            Some(worse) if worse < Fault::PageHung => {
                self.depart(place, leave_cause(worse));
                worse
            }
            _ => Fault::PageHung,
        }
    }
}

/// Why a worker with this fault leaves the pool, as `webnn-pool` has it.
fn leave_cause(fault: Fault) -> LeaveCause {
    match fault {
        Fault::PageHung | Fault::WorkerHung | Fault::Slow => LeaveCause::Unresponsive,
        Fault::SocketLost => LeaveCause::Disconnected,
        Fault::WrongNumbers => LeaveCause::Quarantined,
        _ => LeaveCause::Crashed,
    }
}
