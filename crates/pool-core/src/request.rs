//! What a caller asks for, and what comes back.

use std::sync::Arc;
use std::time::Duration;

use tensor::{Bindings, NamedTensor};
use vocab::{Backend, BrowserName, CachesAt, DeviceKind, RequestId, Step, WorkerId};

use crate::selection::Decision;
use crate::{Model, Timeline};

/// Where a request may be computed, how urgent it is, and how long it may take.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Constraints {
    /// The backends to use, in order of preference: the first one counts that any worker of the pool offers, also
    /// where its workers are busy. Empty (the default): any, in the order of each worker's own list.
    pub backends: Vec<Backend>,
    /// Whether the next backend may be used when one turns out unable to take the model. Default: no. Where no
    /// backends are listed, any other one counts as allowed.
    pub fallback: bool,
    /// The browsers to use. Empty (the default): any.
    pub browsers: Vec<BrowserName>,
    /// The device to ask the backend for. Default: whatever the backend takes by itself.
    pub device: Option<DeviceKind>,
    /// Higher goes first, strictly. Default 0.
    pub priority: u8,
    /// The time from acceptance to the end. Default: [`PoolConfig::default_deadline`](crate::PoolConfig).
    pub timeout: Option<Duration>,
    /// How often it may be tried, at least 1. Default: [`PoolConfig::max_attempts`](crate::PoolConfig).
    pub attempts: Option<u32>,
    /// Whether to answer with the table that the choice of browser and backend was made from. Default: no.
    pub explain: bool,
}

/// One inference.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to run.
    pub model: Arc<Model>,
    /// What to run it on.
    pub inputs: Arc<[NamedTensor]>,
    /// The names of the outputs that are wanted; `None` for all of them.
    pub outputs: Option<Arc<[Arc<str>]>>,
    /// Where, how urgently and how long.
    pub constraints: Constraints,
    /// The only worker that is to run it. Where that one is out of the pool, nobody can. Default: whichever fits.
    pub worker: Option<WorkerId>,
    /// The step of a sequence that this is; its caches are where the steps before it were computed, so the worker is to be
    /// named as well. Default: none.
    pub step: Option<Step>,
}

impl Request {
    /// A request for all outputs, with default constraints.
    #[must_use]
    pub fn new(model: Arc<Model>, inputs: impl Into<Arc<[NamedTensor]>>) -> Self {
        Self {
            model,
            inputs: inputs.into(),
            outputs: None,
            constraints: Constraints::default(),
            worker: None,
            step: None,
        }
    }
}

/// A model to be loaded ahead of its first request.
#[derive(Debug, Clone)]
pub struct Preload {
    /// What to load.
    pub model: Arc<Model>,
    /// The sizes of the symbolic dimensions, which a backend with static shapes needs.
    pub dims: Arc<Bindings>,
    /// Where, how urgently and how long.
    pub constraints: Constraints,
    /// The only worker on which to load it. Where that one is out of the pool, nobody can serve the request. Default:
    /// whichever fits.
    pub worker: Option<WorkerId>,
}

impl Preload {
    /// A load without bound shapes, with default constraints.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        Self { model, dims: Arc::default(), constraints: Constraints::default(), worker: None }
    }
}

/// A result and how it came about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Completed {
    /// The outputs that were wanted.
    pub outputs: Vec<NamedTensor>,
    /// Where and how they were computed.
    pub report: RunReport,
    /// What the session's caches hold now, where the request was a step.
    pub caches: Option<CachesAt>,
}

/// Where and how a result was computed. Times are milliseconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct RunReport {
    /// The request.
    pub request: RequestId,
    /// The worker that computed it.
    pub worker: WorkerId,
    /// Its browser.
    pub browser: BrowserName,
    /// The browser's version.
    pub browser_version: Arc<str>,
    /// The name of the guest that the worker is: its browser and version are what it claims. `None` for a worker of the
    /// pool's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<Arc<str>>,
    /// The backend that computed it.
    pub backend: Backend,
    /// The device that was asked for.
    pub device_requested: Option<DeviceKind>,
    /// The device that it was computed on.
    pub device_effective: DeviceKind,
    /// The adapter's own name, where there is one.
    pub adapter: Option<Arc<str>>,
    /// The threads that the backend computes with; zero where that means nothing.
    pub threads: u32,
    /// From acceptance to the last dispatch.
    pub queue_ms: f64,
    /// How long the load took that the request had to wait for; `None` where the model was there already.
    pub load_ms: Option<f64>,
    /// What the page spent computing; zero for a preload.
    pub in_page_ms: f64,
    /// From acceptance to the result.
    pub total_ms: f64,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// The number of the model's nodes on each execution provider, where the runtime told.
    pub placement: Arc<[(String, u32)]>,
    /// Whatever else the page told when it had loaded the model, as it came.
    pub detail: Arc<serde_json::Map<String, serde_json::Value>>,
    /// How the arm was chosen, where that was asked for by [`Constraints::explain`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Arc<Decision>>,
    /// When the parts of the computation were; `None` for a preload, and where the worker did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
}
