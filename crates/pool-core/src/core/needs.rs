//! What a request needs of a worker, in a form that compares quickly, so that equal requests queue together.

use std::sync::Arc;

use perf_history::Arm;
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, WorkerId};

use crate::{Constraints, Guest, WorkerInfo};

/// A set of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct BackendSet(u8);

impl BackendSet {
    pub(crate) const ALL: Self = Self(u8::MAX);

    pub(crate) fn only(backend: Backend) -> Self {
        Self(1 << backend as u8)
    }

    pub(crate) fn has(self, backend: Backend) -> bool {
        self.0 & (1 << backend as u8) != 0
    }

    pub(crate) fn insert(&mut self, backend: Backend) {
        self.0 |= 1 << backend as u8;
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The part of a request's constraints that decides which workers match, with what its failures so far rule out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Needs {
    browsers: u8,
    preferred: [Option<Backend>; Backend::ALL.len()],
    pub(crate) device: Option<DeviceKind>,
    /// Whether a loaded session is all that is wanted, so that no slot is needed.
    pub(crate) preload: bool,
    pub(crate) not_backends: BackendSet,
    pub(crate) not_workers: Vec<WorkerId>,
    /// The only worker that will do, where one was named.
    pub(crate) only_worker: Option<WorkerId>,
    /// The only arm to use, where one was chosen for the request.
    pub(crate) arm: Option<Arc<Arm>>,
    /// The model that is to be run: guests get only some.
    pub(crate) model: ModelHash,
    /// Whether guests will not do: because the caller named a browser, which a guest can only claim to be, because it is
    /// a step of a sequence, or because a guest has failed the request already.
    pub(crate) own: Own,
}

/// Which guests will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Own {
    /// Any will.
    Nobody,
    /// Those that are not trusted will not.
    Untrusted,
    /// None will.
    All,
}

impl Needs {
    pub(crate) fn new(constraints: &Constraints, model: ModelHash, preload: bool, stateful: bool) -> Self {
        let mut browsers = 0;
        for &browser in &constraints.browsers {
            browsers |= 1 << browser as u8;
        }
        let mut preferred = [None; Backend::ALL.len()];
        let mut named = BackendSet::default();
        let mut free = preferred.iter_mut();
        for &backend in &constraints.backends {
            if !named.has(backend)
                && let Some(place) = free.next()
            {
                named.insert(backend);
                *place = Some(backend);
            }
        }
        Self {
            browsers: if browsers == 0 { u8::MAX } else { browsers },
            preferred,
            device: constraints.device.clone(),
            preload,
            not_backends: BackendSet::default(),
            not_workers: Vec::new(),
            only_worker: None,
            arm: None,
            model,
            own: match (stateful, constraints.browsers.is_empty()) {
                (true, _) => Own::All,
                (false, false) => Own::Untrusted,
                (false, true) => Own::Nobody,
            },
        }
    }

    /// The backends asked for, best first; empty where any will do.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = Backend> + '_ {
        self.preferred.iter().flatten().copied()
    }

    pub(crate) fn any_backend(&self) -> bool {
        self.preferred[0].is_none()
    }

    pub(crate) fn browser_fits(&self, browser: BrowserName) -> bool {
        self.browsers & (1 << browser as u8) != 0
    }

    /// The browsers asked for; empty where any will do.
    pub(crate) fn browsers(&self) -> Vec<BrowserName> {
        if self.browsers == u8::MAX {
            return Vec::new();
        }
        BrowserName::ALL.iter().copied().filter(|&browser| self.browser_fits(browser)).collect()
    }

    /// Whether the worker matches in everything but the backend. `arm_of` tells its arm on a backend.
    pub(crate) fn worker_fits(
        &self,
        id: WorkerId,
        info: &WorkerInfo,
        bytes: u64,
        arm_of: impl Fn(Backend) -> Option<Arc<Arm>>,
    ) -> bool {
        self.browser_fits(info.browser)
            && info.guest.as_ref().is_none_or(|guest| self.takes_guest(guest))
            && info.memory_budget_bytes >= bytes
            && (self.not_workers.is_empty() || !self.not_workers.contains(&id))
            && self.only_worker.is_none_or(|only| only == id)
            && self.arm.as_ref().is_none_or(|arm| arm_of(arm.backend).as_ref() == Some(arm))
    }

    /// Whether a guest may do it, as far as that is not a matter of what it can.
    pub(crate) fn takes_guest(&self, guest: &Guest) -> bool {
        let welcome = match self.own {
            Own::Nobody => true,
            Own::Untrusted => guest.trusted,
            Own::All => false,
        };
        welcome && guest.models.contains(&self.model)
    }

    /// These needs without a chosen arm.
    pub(crate) fn unpinned(&self) -> Self {
        Self { arm: None, ..self.clone() }
    }

    /// The backends that may be used, where `offered` tells which ones some matching worker has: the most preferred
    /// one alone, or all of them where there is no preference.
    pub(crate) fn usable(&self, offered: impl Fn(Backend) -> bool) -> BackendSet {
        if let Some(arm) = &self.arm {
            return BackendSet::only(arm.backend).without(self.not_backends);
        }
        if self.any_backend() {
            return BackendSet::ALL.without(self.not_backends);
        }
        self.preferred()
            .find(|&backend| !self.not_backends.has(backend) && offered(backend))
            .map_or_else(BackendSet::default, BackendSet::only)
    }
}

const _: () = assert!(BrowserName::ALL.len() < 8 && Backend::ALL.len() <= 8, "the sets are one byte each");
