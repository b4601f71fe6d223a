//! What a worker says about itself when it joins.

use crate::Guest;
use vocab::{Backend, BrowserName, DeviceKind};

/// A worker's abilities, as they were executed and measured, not as they were claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerInfo {
    /// Its browser.
    pub browser: BrowserName,
    /// The browser's version, as it says itself.
    pub browser_version: String,
    /// How many runs it takes at once, at least 1. With 2, the next request's bytes travel while one computes.
    pub slots: u32,
    /// How much memory its sessions may take together, in bytes.
    pub memory_budget_bytes: u64,
    /// The backends that work, in the order in which they are to be used where a request has no preference.
    pub backends: Vec<BackendInfo>,
    /// What it may do, where it belongs to somebody else; `None` for a worker of the pool's owner.
    pub guest: Option<Guest>,
}

/// One backend of a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendInfo {
    /// Which one.
    pub backend: Backend,
    /// What it computes on when nothing in particular is asked for.
    pub device_effective: DeviceKind,
    /// The adapter's own name, where there is one.
    pub adapter: Option<String>,
    /// Whether the adapter is a software one.
    pub software: bool,
    /// How many threads it computes with.
    pub threads: u32,
    /// Whether the page is cross-origin isolated, which threads need.
    pub cross_origin_isolated: bool,
    /// Whether a session fits one set of shapes alone, so that each bound shape needs a session of its own (WebNN).
    pub static_shapes: bool,
}
