//! Who asks for what, and what they are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pool_core::core::Submission;
use pool_core::{Constraints, Model, RunError, RunReport};
use rand::RngExt as _;
use vocab::{Backend, RequestId, WorkerId};

use super::{BROWSERS, Event, Place, World};

/// Who waits for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Caller,
    /// A recovery, which has something loaded again.
    Proof(Place),
    /// Whoever wants to see that a browser serves.
    Nudge(Place),
}

#[derive(Debug)]
pub(super) struct Open {
    asker: Asker,
    deadline: Instant,
    /// Only a driver with a bug answers and goes on.
    answered: bool,
}

impl World {
    /// Some requests come at once.
    pub(super) fn arrive(&mut self) {
        let wait = self.between(0.05, 1.2) * self.idle;
        self.later(wait, Event::Arrive);
        let burst = if self.chance(0.03) { 30 } else { 1 };
        for _ in 0..burst {
            let mut constraints = Constraints {
                priority: self.pick(&[0, 0, 0, 1]),
                timeout: self.pick(&[None, Some(1), Some(4), Some(12)]).map(Duration::from_secs),
                ..Constraints::default()
            };
            match self.random.random_range(0..8) {
                0 => constraints.backends = vec![Backend::Wasm],
                1 => {
                    (constraints.backends, constraints.fallback) =
                        (vec![Backend::WebGpu, Backend::Wasm], true)
                }
                2 => constraints.browsers = vec![self.pick(&BROWSERS).0],
                _ => {}
            }
            let model = Arc::clone(&self.models[self.random.random_range(0..self.models.len())]);
            if let Ok(request) = self.ask(Asker::Caller, &model, constraints, None, false)
                && self.chance(0.05)
            {
                let patience = self.between(0.0, 3.0);
                self.later(patience, Event::Cancel(request));
            }
        }
    }

    /// Every worker is asked for something small.
    pub(super) fn nudge(&mut self) {
        self.later(0.7, Event::Nudge);
        for place in 0..self.patients.len() {
            let Some(worker) = self.patients[place].member else { continue };
            let model = Arc::clone(&self.models[self.random.random_range(0..2)]);
            let constraints = Constraints { timeout: Some(Duration::from_secs(5)), ..Constraints::default() };
            // One that does not even get in is not served, and will be asked again.
            let _ = self.ask(Asker::Nudge(place), &model, constraints, Some(worker), false);
        }
    }

    /// Sends a request to the pool.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        model: &Arc<Model>,
        constraints: Constraints,
        worker: Option<WorkerId>,
        preload: bool,
    ) -> Result<RequestId, RunError> {
        let timeout = constraints.timeout.unwrap_or(Duration::from_secs(20));
        let submission = Submission {
            model: Arc::clone(model),
            dims: Arc::default(),
            constraints,
            preload,
            bytes_in: 4,
            worker,
            stateful: false,
        };
        let submitted = self.core.submit(self.now, submission);
        let request = match submitted {
            Ok(request) => request,
            Err(error) => {
                self.obey();
                return Err(error);
            }
        };
        let deadline = self.now + timeout;
        self.open.insert(request, Open { asker, deadline, answered: false });
        self.deadlines.insert((deadline, request));
        self.tally.accepted += 1;
        self.shared.paid += 1;
        self.shared.budget.deposit(self.now);
        if let Asker::Proof(place) = asker {
            self.patients[place].awaits(request);
            self.asked.insert(request, model.hash);
        }
        self.obey();
        Ok(request)
    }

    /// A request ends. `answer` tells whether its numbers are wrong, and which page computed them.
    pub(super) fn deliver(
        &mut self,
        request: RequestId,
        result: Result<RunReport, RunError>,
        answer: Option<(bool, (Place, u32))>,
    ) {
        let (now, before) = (self.now, self.before);
        let Some(Open { asker, deadline, answered }) = self.open.remove(&request) else {
            return self.must(false, || format!("{request} ended twice"));
        };
        self.deadlines.remove(&(deadline, request));
        self.must(!answered, || format!("{request} ended twice"));
        self.must(now <= deadline || before < deadline, || format!("{request} ended after its deadline"));
        if let Some((true, page)) = answer {
            self.tally.wrong += 1;
            let exposed = self.exposed.contains(&page);
            self.must(!exposed, || {
                format!("{request} was answered by b{}, which was known to compute wrongly", page.0)
            });
        }
        match &result {
            Ok(_) => self.tally.answered += 1,
            Err(error) => {
                self.tally.failed += 1;
                let error = error.clone();
                self.say(|| format!("{request} of {asker:?} failed: {error}"));
            }
        }
        match asker {
            Asker::Caller => {}
            Asker::Nudge(place) => {
                let right = result.is_ok() && answer.is_some_and(|(wrong, _)| !wrong);
                self.patients[place].served = if right { self.patients[place].served + 1 } else { 0 };
            }
            Asker::Proof(place) => self.preloaded(place, request, result.map(|_| ())),
        }
    }

    /// What only a driver with a bug does: the answer of a call that was dropped.
    pub(super) fn deliver_late(&mut self, request: RequestId) {
        match self.open.get_mut(&request) {
            // The core does not know, and will end it as well.
            Some(open) if !open.answered => open.answered = true,
            _ => self.must(false, || format!("{request} ended twice")),
        }
    }
}
