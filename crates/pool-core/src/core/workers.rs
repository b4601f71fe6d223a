//! Workers and what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use perf_history::Arm;
use recovery::{MemoryReading, PressureLevel};
use telemetry::Place;
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, SessionId, WorkerId};

use super::felt::PeakEwma;
use super::needs::{BackendSet, Needs};
use super::{LeaseId, Scrutiny, placement};
use crate::WorkerInfo;

/// How many arms of one worker are remembered.
const MOST_ARMS: usize = 32;

/// What new work a worker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stance {
    /// Whatever fits it.
    Serving,
    /// Only what names it: it is being made ready to take over from another one.
    Warming,
    /// Nothing. What runs there ends in its own time.
    Draining,
}

/// What is known about a worker's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) level: PressureLevel,
    pub(crate) reading: MemoryReading,
    /// For each backend the most that its sessions took together when a reading was taken. A heap that was that large
    /// once has room for as much again.
    pub(crate) peak: [u64; Backend::ALL.len()],
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) stance: Stance,
    pub(crate) memory: Memory,
    /// How many runs have ended here.
    pub(crate) served: u64,
    pub(crate) info: Arc<WorkerInfo>,
    pub(crate) version: Arc<str>,
    pub(crate) offered: BackendSet,
    pub(crate) leases: Vec<LeaseId>,
    /// Every session that is here, in whatever phase, by its model.
    pub(crate) sessions: BTreeMap<ModelHash, Vec<SessionId>>,
    /// How many of them are pending, loading, or having their load cancelled.
    pub(crate) loading: usize,
    /// Where loading failed lately, and until when it is not to be tried again without need.
    pub(crate) avoid: BTreeMap<(ModelHash, Backend), Instant>,
    /// Its arms: one for each backend, and for each device that was asked of it.
    arms: Vec<(Option<DeviceKind>, Arc<Arm>)>,
    /// What its runs take, as it was felt lately.
    pub(crate) felt: PeakEwma,
    /// In how many checks it takes part, beside its leases.
    pub(crate) checks: u32,
    /// How many of its answers were confirmed, where it is a guest.
    pub(crate) confirmed: u32,
}

impl Worker {
    pub(crate) fn new(id: WorkerId, info: WorkerInfo, stance: Stance) -> Self {
        let mut offered = BackendSet::default();
        for backend in &info.backends {
            offered.insert(backend.backend);
        }
        let version: Arc<str> = info.browser_version.as_str().into();
        let arms = info
            .backends
            .iter()
            .map(|backend| (None, Arc::new(arm(&info, &version, backend, None))))
            .collect();
        Self {
            id,
            stance,
            memory: Memory {
                level: PressureLevel::Normal,
                reading: MemoryReading::default(),
                peak: [0; Backend::ALL.len()],
            },
            served: 0,
            version,
            arms,
            felt: PeakEwma::default(),
            checks: 0,
            confirmed: 0,
            info: Arc::new(info),
            offered,
            leases: Vec::new(),
            sessions: BTreeMap::new(),
            loading: 0,
            avoid: BTreeMap::new(),
        }
    }

    /// Whether it gets work of this kind at all.
    pub(crate) fn accepts(&self, needs: &Needs) -> bool {
        match self.stance {
            Stance::Serving => true,
            Stance::Warming => needs.only_worker == Some(self.id),
            Stance::Draining => false,
        }
    }

    /// Whether it is a guest that is not trusted: what it says is not learnt from, and nobody waits for it.
    pub(crate) fn is_stranger(&self) -> bool {
        self.info.guest.as_ref().is_some_and(|guest| !guest.trusted)
    }

    /// Whether these needs count on it.
    pub(crate) fn is_relied_on(&self, needs: &Needs) -> bool {
        !self.is_stranger() || needs.only_worker == Some(self.id)
    }

    /// How closely the answer of the run with this number is looked at.
    pub(crate) fn scrutiny(&self, run: u64) -> Scrutiny {
        let Some(guest) = self.info.guest.as_ref().filter(|guest| !guest.trusted) else {
            return Scrutiny::None;
        };
        let drawn = match guest.confirmation.then_one_in {
            0 => false,
            n => placement::mix(guest.seed ^ placement::mix(run)) % u64::from(n) == 0,
        };
        if self.confirmed < guest.confirmation.first || drawn { Scrutiny::Confirm } else { Scrutiny::Form }
    }

    pub(crate) fn has_free_slot(&self) -> bool {
        // A worker that claims no slots would starve everybody; it counts as having one.
        self.leases.len() < self.info.slots.max(1) as usize
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.leases.is_empty() && self.loading == 0
    }

    pub(crate) fn sessions_of(&self, model: ModelHash) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.get(&model).into_iter().flatten().copied()
    }

    pub(crate) fn all_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.values().flatten().copied()
    }

    pub(crate) fn place(&self, backend: Backend) -> Place {
        Place { worker: self.id, browser: self.info.browser, backend }
    }

    pub(crate) fn arms(&self) -> impl Iterator<Item = &Arc<Arm>> {
        self.arms.iter().map(|(_, arm)| arm)
    }

    /// The arm that a session on this backend computes on, when this device is asked for.
    pub(crate) fn arm(&self, backend: Backend, device: Option<&DeviceKind>) -> Option<Arc<Arm>> {
        let known = self.arms.iter().find(|(asked, arm)| arm.backend == backend && asked.as_ref() == device);
        if let Some((_, arm)) = known {
            return Some(Arc::clone(arm));
        }
        let info = self.info.backends.iter().find(|info| info.backend == backend)?;
        Some(Arc::new(arm(&self.info, &self.version, info, device)))
    }

    /// Takes note of the device that a session turned out to compute on. Answers its arm.
    pub(crate) fn learn_arm(
        &mut self,
        backend: Backend,
        asked: Option<&DeviceKind>,
        effective: &DeviceKind,
    ) -> Option<Arc<Arm>> {
        let known = self.arm(backend, asked)?;
        if known.device_effective == *effective && asked.is_none() {
            return Some(known);
        }
        let arm = Arc::new(Arm { device_effective: effective.clone(), ..Arm::clone(&known) });
        self.arms.retain(|(other, arm)| arm.backend != backend || other.as_ref() != asked);
        // A caller may ask for devices of its own making; what was asked for first is what will be asked for again.
        if self.arms.len() < MOST_ARMS {
            self.arms.push((asked.cloned(), Arc::clone(&arm)));
        }
        Some(arm)
    }

    pub(crate) fn avoids(&self, model: ModelHash, backend: Backend, now: Instant) -> bool {
        self.avoid.get(&(model, backend)).is_some_and(|&until| now < until)
    }
}

fn arm(
    info: &WorkerInfo,
    version: &Arc<str>,
    backend: &crate::BackendInfo,
    asked: Option<&DeviceKind>,
) -> Arm {
    Arm {
        browser: info.browser,
        browser_version: Arc::clone(version),
        backend: backend.backend,
        device_requested: asked.cloned(),
        device_effective: asked.unwrap_or(&backend.device_effective).clone(),
        adapter: backend.adapter.as_deref().map(Into::into),
        threads: backend.threads,
    }
}

/// For each browser and backend the largest memory budget among the workers that have both; zero where there is none.
#[derive(Debug, Default, Clone)]
pub(crate) struct Offers([[Option<u64>; Backend::ALL.len()]; BrowserName::ALL.len()]);

impl Offers {
    pub(crate) fn of<'a>(infos: impl Iterator<Item = &'a WorkerInfo>) -> Self {
        let mut offers = Self::default();
        for info in infos {
            for backend in &info.backends {
                let budget = &mut offers.0[info.browser as usize][backend.backend as usize];
                *budget = (*budget).max(Some(info.memory_budget_bytes));
            }
        }
        offers
    }

    /// The largest budget with this browser and backend; `None` where no worker has both.
    pub(crate) fn budget(&self, browser: BrowserName, backend: Backend) -> Option<u64> {
        self.0[browser as usize][backend as usize]
    }
}

/// A worker that was lost and is expected back for a while.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) info: Arc<WorkerInfo>,
    pub(crate) until: Instant,
}
