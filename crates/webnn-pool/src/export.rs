//! What an accelerator tells about itself, in one answer.

use perf_history::UnixMillis;
use perf_history::analysis::Analysis;
use pool_core::PoolStats;
use pool_core::core::BreakerStatus;
use serde::Serialize;
use telemetry::Snapshot;
use vocab::{Backend, BrowserName, DeviceKind};

use crate::join::GuestReport;
use crate::recover::RecoveryReport;

/// What [`Accelerator::export_telemetry`](crate::Accelerator::export_telemetry) is to include beside the counters,
/// latencies and recent events. Default: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "the contract names these three")]
pub struct TelemetryOptions {
    /// The browsers, and what was executed successfully in each.
    pub connections: bool,
    /// The models that are loaded, where, and what runs.
    pub models: bool,
    /// What follows from the history.
    pub performance: bool,
}

/// What happened, and what is there.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct TelemetryExport {
    /// When this was told.
    pub at: UnixMillis,
    /// Counters, latencies and recent events.
    pub telemetry: Snapshot,
    /// The browsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<Connection>>,
    /// The guests, where they are let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guests: Option<Vec<GuestReport>>,
    /// Workers, sessions, requests and leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<PoolStats>,
    /// The analysis of the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance: Option<Analysis>,
    /// The circuit breakers of which something is known: whether they let calls through, and how well is what they guard.
    pub breakers: Vec<BreakerStatus>,
    /// What recovery is doing and has learned, where it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoveryReport>,
}

/// One page.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Connection {
    /// Its browser.
    pub browser: BrowserName,
    /// The browser's version.
    pub browser_version: String,
    /// The backends that work in it.
    pub backends: Vec<ConnectedBackend>,
}

/// One backend of a page.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ConnectedBackend {
    /// Which one.
    pub backend: Backend,
    /// What it computes on.
    pub device_effective: DeviceKind,
    /// The adapter's own name, where there is one.
    pub adapter: Option<String>,
    /// The threads that it computes with; zero where that means nothing.
    pub threads: u32,
}

impl Connection {
    pub(crate) fn of(info: pool_core::WorkerInfo) -> Self {
        let backends = info.backends.into_iter().map(|backend| ConnectedBackend {
            backend: backend.backend,
            device_effective: backend.device_effective,
            adapter: backend.adapter,
            threads: backend.threads,
        });
        Self { browser: info.browser, browser_version: info.browser_version, backends: backends.collect() }
    }
}
