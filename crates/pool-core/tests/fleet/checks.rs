//! What must hold at every step, and at the end.

use telemetry::{BreakerState, Guarded};

use super::patient::Condition;
use super::{Place, World};

/// How often everything that the core holds is looked at.
const THOROUGHLY: u64 = 16;

impl World {
    /// What must hold at every step.
    pub(super) fn check(&mut self) {
        let before = self.before;
        let late = self.deadlines.first().filter(|(deadline, _)| *deadline <= before).map(|(_, late)| *late);
        self.must(late.is_none(), || format!("{late:?} is open after its deadline"));
        let (leased, running) = (self.core.leased(), self.running());
        self.must(leased == running, || format!("{leased} leases for {running} runs"));
        let same = self.core.worker_ids().eq(self.links.keys().copied());
        self.must(same, || "the pool and its owner differ about who is in it".to_owned());
        self.check_recoveries();
        if self.tally.steps.is_multiple_of(THOROUGHLY) {
            self.check_thoroughly();
        }
    }

    /// The runs that the core knows of.
    fn running(&self) -> usize {
        self.runs.values().filter(|run| run.forgotten.is_none()).count()
    }

    fn check_recoveries(&mut self) {
        let held = self.patients.iter_mut().filter_map(|patient| patient.ill()?.going.as_ref()?.permit);
        let held = held.count();
        let inside = self.shared.gate.count(self.now).0;
        self.must(inside <= held, || format!("{inside} permits for restarts are out, and {held} are used"));
        let most = self.shared.gate_config.at_once;
        self.must(inside <= most, || format!("{inside} restarts at once"));
        for place in 0..self.patients.len() {
            let before = self.before;
            let patient = &mut self.patients[place];
            let deadline = patient.ill().map(|ill| ill.incident.deadline());
            let member = patient.member;
            self.must(deadline.is_none_or(|deadline| before <= deadline), || {
                format!("b{place}: its recovery goes on after its deadline")
            });
            let there = member.is_none_or(|worker| self.links.contains_key(&worker));
            self.must(there, || format!("b{place} counts on a worker that is not in the pool"));
        }
    }

    fn check_thoroughly(&mut self) {
        let breakers = self.core.breakers();
        let open = breakers.iter().filter(|status| status.state != BreakerState::Closed).count();
        self.tally.shut_out += open as u64;
        let known = |status: &&pool_core::core::BreakerStatus| match status.guarded {
            Guarded::Worker { worker } => !self.links.contains_key(&worker),
            _ => false,
        };
        let stray = breakers.iter().find(known).map(|status| status.guarded);
        self.must(stray.is_none(), || format!("{stray:?} has a breaker and is not in the pool"));
        let stats = self.core.stats();
        let leases: usize = stats.workers.iter().map(|worker| worker.leases).sum();
        let leased = stats.running + stats.cancelling;
        self.must(leases == leased, || format!("{leased} leases, and the workers have {leases}"));
        let (open, wait) = (stats.requests, self.open.len());
        self.must(open == wait, || format!("{open} requests are open, and {wait} wait"));
        for worker in &stats.workers {
            let (has, slots) = (worker.leases, worker.slots as usize);
            self.must(has <= slots, || format!("{} has {has} runs on {slots} slots", worker.worker));
        }
    }

    /// Everything that a lost worker held has been loaded on the one that takes its place.
    pub(super) fn check_loaded_again(&mut self, place: Place) {
        let patient = &mut self.patients[place];
        let owed = std::mem::take(&mut patient.owed);
        let excused = std::mem::take(&mut patient.excused);
        let worker = patient.worker;
        let machine = &self.machines[place];
        let loaded = self.loaded.get(&worker);
        let missing = owed.iter().filter(|(model, backend)| {
            let there = |&(other, on): &(_, vocab::Backend)| {
                other == *model && (on == *backend || !machine.backends.contains(backend))
            };
            !excused.contains(model) && !loaded.is_some_and(|loaded| loaded.iter().any(there))
        });
        let missing = missing.count();
        self.tally.loaded_again += (owed.len() - missing) as u64;
        self.must(missing == 0, || format!("b{place}: {missing} models are not loaded again on {worker}"));
    }

    /// Whether every browser that was not given up answers rightly, and no breaker is open.
    pub(super) fn is_back(&self) -> bool {
        let breakers = self.core.breakers();
        self.patients.iter().all(|patient| {
            let its = |status: &pool_core::core::BreakerStatus| {
                patient.member.is_some_and(|worker| status.guarded == Guarded::Worker { worker })
            };
            let closed = breakers.iter().all(|status| !its(status) || status.state == BreakerState::Closed);
            match patient.condition {
                Condition::Lost => true,
                Condition::Well => patient.member.is_some() && patient.served >= 3 && closed,
                Condition::Ill(_) => false,
            }
        })
    }

    pub(super) fn say_what_is_not_back(&mut self) {
        let states: Vec<String> = self
            .patients
            .iter()
            .enumerate()
            .map(|(place, patient)| format!("b{place} well {} served {}", patient.is_well(), patient.served))
            .collect();
        let breakers = self.core.breakers();
        self.must(false, || format!("not back in time: {}; {breakers:?}", states.join(", ")));
    }

    /// Nothing is left when nobody asks for anything any more.
    pub(super) fn check_nothing_left(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let stats = self.core.stats();
        let core = (stats.requests, stats.queued, stats.running, stats.cancelling, stats.timers);
        self.must(core == (0, 0, 0, 0, 0), || format!("the core keeps {stats:#?}"));
        let calls = (self.running(), self.loads.len(), self.unloads.len(), self.open.len());
        self.must(calls == (0, 0, 0, 0), || format!("calls and callers are left: {calls:?}"));
        let (gate, exploring) = (self.shared.gate.count(self.now), self.core.selector().exploring());
        self.must(gate == (0, 0), || format!("the gate keeps {gate:?}"));
        self.must(exploring == 0, || format!("{exploring} explore for ever"));
        let ill = self.patients.iter().any(|patient| matches!(patient.condition, Condition::Ill(_)));
        self.must(!ill, || "a recovery does not end".to_owned());
        let ready = |worker: &pool_core::core::WorkerStats| {
            let held: Vec<_> = worker.sessions.iter().map(|session| session.session).collect();
            self.links[&worker.worker].sessions.keys().copied().eq(held)
        };
        let agree = stats.workers.iter().all(ready);
        self.must(agree, || "pages and pool differ about what is loaded".to_owned());
    }
}
