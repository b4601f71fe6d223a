//! Models on workers, and what becomes of them.

use std::sync::Arc;
use std::time::Instant;

use perf_history::{Arm, ShapeBucket};
use telemetry::EvictCause;
use tensor::Bindings;
use vocab::{Backend, DeviceKind, SessionId, WorkerId};

use super::guard::Permits;
use super::needs::{BackendSet, Needs};
use crate::Model;

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionPhase {
    /// It waits until enough of its worker's memory is free.
    Pending,
    /// Its model is being loaded.
    Loading,
    /// Its load was cancelled, and the worker has not confirmed that yet.
    CancellingLoad,
    /// It can run.
    Ready,
    /// It finishes the runs that it has, and will then be unloaded.
    Draining(EvictCause),
    /// It is being unloaded; its memory still counts.
    Unloading,
}

impl SessionPhase {
    /// Whether it can run, or will be able to.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Loading | Self::Ready)
    }

    /// Whether its memory is about to come back.
    pub(crate) fn is_leaving(self) -> bool {
        matches!(self, Self::CancellingLoad | Self::Draining(_) | Self::Unloading)
    }
}

/// One model on one worker and backend, for one set of shapes where the backend wants that.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) worker: WorkerId,
    pub(crate) model: Arc<Model>,
    pub(crate) backend: Backend,
    pub(crate) device: Option<DeviceKind>,
    /// The only shapes that it runs; `None` where any will do.
    pub(crate) dims: Option<Arc<Bindings>>,
    pub(crate) phase: SessionPhase,
    /// The memory that counts against its worker's budget, in bytes.
    pub(crate) charge: u64,
    pub(crate) leases: u32,
    /// How many requests it has served.
    pub(crate) uses: u64,
    /// A counter that orders sessions by their last use.
    pub(crate) last_used: u64,
    pub(crate) loaded_at: Option<Instant>,
    /// The last id that had been given out when it was loaded: requests up to it came before.
    pub(crate) loaded_after: u64,
    pub(crate) load_ms: f64,
    pub(crate) device_requested: Option<DeviceKind>,
    pub(crate) device_effective: Option<DeviceKind>,
    /// Whatever else the page told when it had loaded.
    pub(crate) detail: Arc<serde_json::Map<String, serde_json::Value>>,
    pub(crate) placement: Arc<[(String, u32)]>,
    /// When its timer is set for.
    pub(crate) timer: Option<Instant>,
    /// What it computes on.
    pub(crate) arm: Arc<Arm>,
    /// The size of the inputs that it was loaded for.
    pub(crate) shape: ShapeBucket,
    /// How many runs it has completed.
    pub(crate) completed: u64,
    /// What its circuit breakers gave for the load that goes on, and since when it does.
    pub(crate) loading: Option<(Permits, Instant)>,
    /// When its numbers are to be checked next.
    pub(crate) check_at: Option<Instant>,
    /// How often they were.
    pub(crate) checks: u64,
}

impl Session {
    /// Whether it computes what the request needs, on a backend that may be used. Says nothing about its worker.
    pub(crate) fn serves(&self, needs: &Needs, usable: BackendSet, dims: &Arc<Bindings>) -> bool {
        self.suits(needs, usable) && self.dims.as_ref().is_none_or(|own| own == dims)
    }

    /// Like [`serves`](Self::serves), for any shapes.
    pub(crate) fn suits(&self, needs: &Needs, usable: BackendSet) -> bool {
        usable.has(self.backend) && self.device == needs.device
    }
}
