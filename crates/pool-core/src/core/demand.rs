//! Who could serve whom: requests against workers and sessions.

use std::sync::Arc;
use std::time::Instant;

use tensor::Bindings;
use vocab::{Backend, BrowserName, ModelHash, RequestId};

use super::Core;
use super::guard::ShutOut;
use super::needs::{BackendSet, Needs};
use super::requests::Entry;
use super::sessions::{Session, SessionPhase};
use super::workers::{Stance, Worker};
use crate::{Mismatch, RunError};

/// Whether anybody can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capable {
    /// A worker that is here, if perhaps busy.
    Now,
    /// Nobody here, but workers are expected.
    Expected,
    /// Nobody.
    Nobody,
}

impl Core {
    /// The backends that requests with these needs may use now.
    pub(super) fn usable(&self, needs: &Needs, bytes: u64) -> BackendSet {
        needs.usable(|backend| {
            if needs.not_workers.is_empty() && needs.only_worker.is_none() && !self.has_trusted_guests {
                BrowserName::ALL.iter().any(|&browser| {
                    needs.browser_fits(browser)
                        && self.offers.budget(browser, backend).is_some_and(|budget| budget >= bytes)
                })
            } else {
                self.workers
                    .values()
                    .any(|worker| counts(needs, worker, bytes) && worker.offered.has(backend))
            }
        })
    }

    pub(super) fn capable(&self, needs: &Needs, bytes: u64) -> Capable {
        let usable = self.usable(needs, bytes);
        let offers = |worker: &Worker| worker.info.backends.iter().any(|info| usable.has(info.backend));
        if self.workers.values().any(|worker| counts(needs, worker, bytes) && offers(worker)) {
            return Capable::Now;
        }
        if needs.arm.is_some() || needs.only_worker.is_some() {
            // Nobody waits for an arm that was only the pool's own choice, and a worker that is lost joins as another.
            return Capable::Nobody;
        }
        let may_use = |backend: Backend| {
            !needs.not_backends.has(backend)
                && (needs.any_backend() || needs.preferred().any(|b| b == backend))
        };
        // Of what is being drained, a successor is expected; where there is none, its leaving ends the wait.
        let drained = || {
            let mut draining = self.workers.values().filter(|worker| worker.stance == Stance::Draining);
            draining.any(|worker| {
                worker.is_relied_on(needs)
                    && fits_when_serving(needs, worker, bytes)
                    && worker.info.backends.iter().any(|info| may_use(info.backend))
            })
        };
        let expected = self.config.expect_workers
            || drained()
            || self.expected.iter().any(|lost| {
                needs.browser_fits(lost.info.browser)
                    && lost.info.guest.as_ref().is_none_or(|guest| needs.takes_guest(guest))
                    && lost.info.memory_budget_bytes >= bytes
                    && lost.info.backends.iter().any(|info| may_use(info.backend))
            });
        if expected && !self.closed { Capable::Expected } else { Capable::Nobody }
    }

    /// Leaves out the backends that refused the model a moment ago, as long as something remains that can serve it.
    pub(super) fn skip_refused(&self, now: Instant, needs: &mut Needs, model: ModelHash, bytes: u64) {
        let Some(state) = self.models.get(&model) else { return };
        for &backend in Backend::ALL {
            if state.refused[backend as usize].is_some_and(|until| now < until)
                && !needs.not_backends.has(backend)
            {
                let mut without = needs.clone();
                without.not_backends.insert(backend);
                if self.capable(&without, bytes) == Capable::Now {
                    *needs = without;
                }
            }
        }
    }

    /// Why nobody can serve these needs.
    pub(super) fn nobody(&self, needs: &Needs, bytes: u64) -> RunError {
        let may_use = |worker: &Worker| {
            worker.info.backends.iter().any(|info| {
                let backend = info.backend;
                !needs.not_backends.has(backend)
                    && (needs.any_backend() || needs.preferred().any(|preferred| preferred == backend))
            })
        };
        let largest = self
            .workers
            .values()
            .filter(|worker| counts(needs, worker, 0) && may_use(worker))
            .map(|worker| worker.info.memory_budget_bytes)
            .max();
        match largest {
            Some(largest) if largest < bytes => RunError::ModelTooLarge { needs: bytes, largest },
            _ => RunError::NoWorker(self.mismatch(needs)),
        }
    }

    pub(super) fn mismatch(&self, needs: &Needs) -> Mismatch {
        let mut mismatch = Mismatch {
            workers: self.workers.len(),
            browsers: needs.browsers(),
            backends: needs.preferred().collect(),
            ..Mismatch::default()
        };
        for worker in self.workers.values() {
            let offers =
                worker.info.backends.iter().any(|info| {
                    needs.any_backend() || needs.preferred().any(|backend| backend == info.backend)
                });
            if !needs.browser_fits(worker.info.browser) {
                mismatch.wrong_browser += 1;
            } else if !offers {
                mismatch.wrong_backend += 1;
            } else {
                mismatch.excluded += 1;
            }
        }
        mismatch
    }

    /// Whether the session could serve these needs, its worker and backend considered.
    pub(super) fn session_serves(
        &self,
        session: &Session,
        needs: &Needs,
        usable: BackendSet,
        dims: &Arc<Bindings>,
    ) -> bool {
        session.serves(needs, usable, dims)
            && self
                .workers
                .get(&session.worker)
                .is_some_and(|worker| counts(needs, worker, session.model.memory_estimate_bytes))
    }

    /// How many sessions serve these needs, or soon will.
    pub(super) fn live_for(
        &self,
        model: ModelHash,
        needs: &Needs,
        usable: BackendSet,
        dims: &Arc<Bindings>,
        shut: &ShutOut,
    ) -> usize {
        let Some(state) = self.models.get(&model) else { return 0 };
        let sessions = state.sessions.iter().filter_map(|id| self.sessions.get(id));
        let out = |session: &Session| {
            self.workers.get(&session.worker).is_some_and(|worker| shut.has(worker, session.backend))
        };
        sessions
            .filter(|session| {
                session.phase.is_live() && self.session_serves(session, needs, usable, dims) && !out(session)
            })
            .count()
    }

    /// The priority of the most urgent requests in the queue that the session could serve; `None` if there are none.
    pub(super) fn wanted(&self, session: &Session) -> Option<u8> {
        let bytes = session.model.memory_estimate_bytes;
        let worker = self.workers.get(&session.worker)?;
        self.queue.flows(session.model.hash).find_map(|(priority, flow)| {
            let wanted = flow.groups().any(|(needs, group)| {
                fits(needs, worker, bytes)
                    && session.suits(needs, self.usable(needs, bytes))
                    && session.dims.as_ref().is_none_or(|dims| group.oldest_with(dims).is_some())
            });
            wanted.then_some(priority)
        })
    }

    /// The requests that have nothing but this session's load to wait for. With `leaving` the sessions of the same
    /// worker do not count as something.
    pub(super) fn waiting_on(&self, session: &Session, leaving: bool) -> Vec<RequestId> {
        let Some(worker) = self.workers.get(&session.worker) else { return Vec::new() };
        let Some(state) = self.models.get(&session.model.hash) else { return Vec::new() };
        let bytes = session.model.memory_estimate_bytes;
        let mut waiting = Vec::new();
        for (_, flow) in self.queue.flows(session.model.hash) {
            for (needs, group) in flow.groups() {
                let usable = self.usable(needs, bytes);
                if !counts(needs, worker, bytes) || !session.suits(needs, usable) {
                    continue;
                }
                for (head, dims) in group.heads() {
                    let others = state.sessions.iter().filter_map(|id| self.sessions.get(id)).any(|other| {
                        other.id != session.id
                            && other.phase.is_live()
                            && !(leaving && other.worker == session.worker)
                            && self.session_serves(other, needs, usable, dims)
                    });
                    if session.serves(needs, usable, dims) && !others {
                        debug_assert!(self.requests.contains_key(&head), "a head is a request");
                        waiting.extend(group.lane(dims));
                    }
                }
            }
        }
        waiting
    }

    /// Whether a session is being loaded that will serve the request.
    pub(super) fn is_loading_for(&self, entry: &Entry) -> bool {
        let Some(state) = self.models.get(&entry.model.hash) else { return false };
        let usable = self.usable(entry.needs(), entry.bytes());
        let mut sessions = state.sessions.iter().filter_map(|id| self.sessions.get(id));
        sessions.any(|session| {
            matches!(session.phase, SessionPhase::Pending | SessionPhase::Loading)
                && self.session_serves(session, entry.needs(), usable, &entry.lane.dims)
        })
    }
}

/// Whether the worker matches in everything but the backend.
pub(super) fn fits(needs: &Needs, worker: &Worker, bytes: u64) -> bool {
    worker.accepts(needs) && fits_when_serving(needs, worker, bytes)
}

/// The same, for a worker that is counted on: a guest that is not trusted adds to what others serve, and serves nobody
/// else.
pub(super) fn counts(needs: &Needs, worker: &Worker, bytes: u64) -> bool {
    worker.is_relied_on(needs) && fits(needs, worker, bytes)
}

/// The same as [`fits`], whatever the worker's stance.
pub(super) fn fits_when_serving(needs: &Needs, worker: &Worker, bytes: u64) -> bool {
    needs.worker_fits(worker.id, &worker.info, bytes, |backend| worker.arm(backend, needs.device.as_ref()))
}
