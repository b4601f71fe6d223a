//! What is done on each rung, and when that counts, as in `webnn-pool`.

use std::time::Duration;

use pool_core::{Constraints, RunError};
use recovery::{AttemptOutcome, Rung, RungSet};
use telemetry::LeaveCause;
use vocab::{BrowserName, FailureKind, RequestId};

use super::callers::Asker;
use super::illness::{Illness, Proof, Will};
use super::patient::Patient;
use super::{BROWSERS, Bug, Event, Place, World};

impl World {
    pub(super) fn offers(&self, place: Place) -> RungSet {
        let offered = RungSet::NONE.with(Rung::Restart).with(Rung::Switch);
        if self.machines[place].process || self.machines[place].crashed {
            offered.with(Rung::Ping).with(Rung::Reconnect).with(Rung::Refresh)
        } else {
            offered
        }
    }

    /// Another browser that could take over: one that nobody is ill of.
    fn substitute(&self, place: Place) -> Option<usize> {
        let lost = self.machines[place].name;
        let ill = |name: BrowserName| {
            let same = self.machines.iter().zip(&self.patients).filter(|(machine, _)| machine.name == name);
            same.into_iter().any(|(_, patient)| !patient.is_well())
        };
        BROWSERS.iter().position(|&(name, _)| name != lost && !ill(name))
    }

    /// A deed begins, and how it ends is drawn.
    pub(super) fn begin_deed(&mut self, place: Place) {
        let Some(rung) = self.patients[place].ill().and_then(|ill| Some(ill.going.as_ref()?.rung)) else {
            return;
        };
        let (calm, now, turn) = (self.calm, self.now, self.patients[place].turn);
        let lucky = |chance: f64| if calm { 1.0 } else { chance };
        let machine = &self.machines[place];
        let up = machine.process && machine.driver;
        let (hung, connected, crashed) = (machine.hung, machine.connected, machine.crashed);
        let hangs = machine.is_hung(now);
        let (will, takes) = match rung {
            Rung::Ping if connected && !hangs => (Will::Work, 0.02),
            Rung::Ping if connected => {
                let wakes = hung.map_or(0.0, |until| until.saturating_duration_since(now).as_secs_f64());
                (Will::Work, wakes)
            }
            Rung::Ping => (Will::Fail, 0.0),
            Rung::Reconnect => {
                let process = machine.process;
                self.depart(place, LeaveCause::Disconnected);
                if process && !crashed && !hangs && self.chance(lucky(0.8)) {
                    (Will::Work, self.between(0.2, 3.0))
                } else {
                    (Will::Fail, 3.0)
                }
            }
            Rung::Refresh => {
                self.depart(place, LeaveCause::Unresponsive);
                match up {
                    false => (Will::Fail, self.between(0.0, 1.0)),
                    // A page that hangs may keep the driver waiting.
                    true if hangs && !calm && self.chance(0.4) => return,
                    true => (Will::Work, self.between(1.0, 5.0)),
                }
            }
            Rung::Restart => (self.launch(place, lucky(0.9)), self.between(2.0, 8.0)),
            Rung::Switch => match self.substitute(place) {
                None => (Will::BeUnavailable, 0.0),
                Some(other) => {
                    let will = self.launch(place, lucky(0.9));
                    (self.machines[place].name, self.machines[place].backends) = BROWSERS[other];
                    (will, self.between(2.0, 8.0))
                }
            },
        };
        if let Some(going) = self.patients[place].ill().and_then(|ill| ill.going.as_mut()) {
            going.will = will;
        }
        self.at(now + Duration::from_secs_f64(takes), Event::Done(place, turn));
    }

    /// Ends what there is, and launches another one.
    fn launch(&mut self, place: Place, chance: f64) -> Will {
        self.depart(place, LeaveCause::Crashed);
        self.machines[place].kill();
        self.machines[place].crashed = false;
        if self.chance(chance) { Will::Work } else { Will::Fail }
    }

    /// A deed has ended, or its proof.
    pub(super) fn deed_done(&mut self, place: Place) {
        let Some(going) = self.patients[place].ill().and_then(|ill| ill.going.as_mut()) else { return };
        let rung = going.rung;
        if going.proof.is_some() {
            return self.proof_done(place);
        }
        match going.will {
            Will::Work => {}
            Will::Fail => return self.end_attempt(place, AttemptOutcome::Failed),
            Will::BeUnavailable => return self.end_attempt(place, AttemptOutcome::Unavailable),
        }
        let stays = |world: &mut Self, was: bool, chance: f64| was && !world.calm && world.chance(chance);
        let now = self.now;
        let machine = &self.machines[place];
        let (lies, device, slow) = (machine.lies, machine.device_lost, machine.slow);
        match rung {
            Rung::Ping => {
                let serves = self.patients[place].member.is_some() && self.machines[place].connected;
                let outcome = if serves { AttemptOutcome::Worked } else { AttemptOutcome::Unproved };
                if serves {
                    self.machines[place].heard = now;
                }
                return self.end_attempt(place, outcome);
            }
            Rung::Reconnect if !machine.process || machine.crashed => {
                return self.end_attempt(place, AttemptOutcome::Failed);
            }
            Rung::Reconnect => {
                // The page is what it was, but for its connection.
                let machine = &mut self.machines[place];
                machine.page += 1;
                machine.connected = true;
                machine.heard = now;
            }
            Rung::Refresh if !machine.process || !machine.driver => {
                return self.end_attempt(place, AttemptOutcome::Failed);
            }
            Rung::Refresh => {
                self.machines[place].fresh_page(now);
                self.machines[place].lies = stays(self, lies, 0.4);
                self.machines[place].device_lost = stays(self, device, 0.2);
                self.machines[place].slow = stays(self, slow, 0.3);
            }
            Rung::Restart | Rung::Switch => {
                self.machines[place].start(now);
                self.machines[place].lies = stays(self, lies, 0.15);
            }
        }
        self.prove(place);
    }

    /// The fresh page passes its probe, joins the pool, and loads again what was lost.
    fn prove(&mut self, place: Place) {
        if self.machines[place].lies && (self.calm || self.chance(0.9)) {
            return self.end_attempt(place, AttemptOutcome::Unproved);
        }
        let worker = self.join(place);
        let lost = self.patients[place].lost.clone();
        let backends = self.machines[place].backends;
        let (now, turn) = (self.now, self.patients[place].turn);
        let Some(going) = self.patients[place].ill().and_then(|ill| ill.going.as_mut()) else { return };
        let (rung, until) = (going.rung, going.until);
        going.proof = Some(Proof { worker, pending: [].into(), failed: false, gone: None });
        for held in lost {
            if self.bug == Some(Bug::NothingLoadedAgain) && rung == Rung::Refresh {
                continue;
            }
            let any = rung == Rung::Switch && !backends.contains(&held.backend);
            let constraints = Constraints {
                backends: if any { Vec::new() } else { vec![held.backend] },
                timeout: Some(until.saturating_duration_since(now)),
                ..Constraints::default()
            };
            let model = held.model;
            if let Err(error) = self.ask(Asker::Proof(place), &model, constraints, Some(worker), true) {
                self.not_preloaded(place, &model.hash, &error);
            }
        }
        let proof = self.patients[place].ill().and_then(Illness::proof);
        if proof.is_some_and(|proof| proof.failed || proof.pending.is_empty()) {
            self.at(now, Event::Done(place, turn));
        }
    }

    /// One of the models that were lost is there again, or cannot be.
    pub(super) fn preloaded(&mut self, place: Place, request: RequestId, result: Result<(), RunError>) {
        let turn = self.patients[place].turn;
        let Some(proof) = self.patients[place].ill().and_then(Illness::proof) else { return };
        if !proof.pending.remove(&request) {
            return;
        }
        let model = self.asked.remove(&request);
        if let (Err(error), Some(model)) = (&result, model) {
            self.not_preloaded(place, &model, error);
        }
        let proof = self.patients[place].ill().and_then(Illness::proof);
        if proof.is_some_and(|proof| proof.failed || proof.pending.is_empty()) {
            self.at(self.now, Event::Done(place, turn));
        }
    }

    /// What the model or its owner did is not held against the browser.
    fn not_preloaded(&mut self, place: Place, model: &vocab::ModelHash, error: &RunError) {
        let not_its_fault = error.is_callers_fault()
            || matches!(error, RunError::QueueFull { .. } | RunError::ShuttingDown)
            || matches!(error, RunError::Load { kind: FailureKind::ModelFetch, .. });
        let patient = &mut self.patients[place];
        if not_its_fault {
            patient.excused.insert(*model);
        } else if let Some(proof) = patient.ill().and_then(Illness::proof) {
            proof.failed = true;
        }
    }

    /// Everything is loaded again, or something could not be.
    fn proof_done(&mut self, place: Place) {
        let Some(proof) = self.patients[place].ill().and_then(Illness::proof) else { return };
        if proof.failed {
            return self.end_attempt(place, AttemptOutcome::Unproved);
        }
        let (worker, gone) = (proof.worker, proof.gone.take());
        // The membership that was there before, if it still was, is dropped when the new one takes its place.
        self.depart(place, LeaveCause::Dropped);
        self.patients[place].worker = worker;
        self.check_loaded_again(place);
        let patient = &mut self.patients[place];
        patient.lost.clear();
        match gone {
            None => patient.member = Some(worker),
            Some((cause, held)) => {
                patient.owed.extend(held.iter().map(|held| (held.model.hash, held.backend)));
                (patient.out, patient.lost) = (cause, held);
            }
        }
        self.end_attempt(place, AttemptOutcome::Worked);
    }
}

impl Patient {
    /// Its recovery waits for a request.
    pub(super) fn awaits(&mut self, request: RequestId) {
        if let Some(proof) = self.ill().and_then(Illness::proof) {
            proof.pending.insert(request);
        }
    }
}
