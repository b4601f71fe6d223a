//! What a frame says. `docs/live.md` describes it for whoever reads the feed.

use serde::Serialize;
use telemetry::BreakerState;
use vocab::{Backend, BrowserName, PressureLevel, WorkerId};

use super::insight::{BackendDetail, ShardFlow};
use super::news::Recovering;

/// Workers, models, breakers and sharded models that a frame tells of at most. What is left out is counted.
pub(super) const MOST_WORKERS: usize = 64;
pub(super) const MOST_MODELS: usize = 64;
pub(super) const MOST_BREAKERS: usize = 128;
pub(super) const MOST_FLOWS: usize = 8;
pub(super) const MOST_SESSIONS: usize = 32;

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It answers, and nothing is wrong.
    Ready,
    /// It answers, and something is wrong.
    Degraded,
    /// There is no worker.
    Down,
    /// It is shutting down.
    Draining,
}

/// Everything at one moment. Rates and quantiles are those of the last five seconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Frame {
    pub(super) unix_ms: u64,
    pub(super) state: State,
    /// What is wrong, in sentences.
    pub(super) reasons: Vec<String>,
    pub(super) traffic: Traffic,
    pub(super) workers: Vec<Worker>,
    pub(super) recoveries: Vec<Recovering>,
    pub(super) models: Vec<ModelRow>,
    pub(super) breakers: Vec<Breaker>,
    pub(super) shards: Vec<ShardFlow>,
    pub(super) left_out: LeftOut,
    pub(super) feed: Feed,
}

/// All models together.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Traffic {
    /// Requests that the server works on.
    pub(super) going: usize,
    /// Requests that wait in the pool's queue.
    pub(super) queued: usize,
    /// Runs on pages.
    pub(super) running: usize,
    pub(super) per_second: f64,
    pub(super) failed_per_second: f64,
    /// Requests that were not taken: wrong, too many, without a token.
    pub(super) refused_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p95_ms: Option<f64>,
    /// Since the server started.
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Worker {
    pub(super) worker: WorkerId,
    pub(super) browser: BrowserName,
    pub(super) version: String,
    pub(super) stance: &'static str,
    /// Its circuit breaker; absent where nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) breaker: Option<BreakerState>,
    pub(super) pressure: PressureLevel,
    /// Runs that it has now, and takes at once.
    pub(super) running: usize,
    pub(super) slots: u32,
    pub(super) served: u64,
    pub(super) per_second: f64,
    /// What its sessions take, and may take.
    pub(super) memory_bytes: u64,
    pub(super) memory_budget_bytes: u64,
    /// What its browser's processes take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resident_bytes: Option<u64>,
    pub(super) backends: Vec<BackendDetail>,
    pub(super) sessions: Vec<Session>,
    /// Sessions that are not listed.
    pub(super) sessions_left_out: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Session {
    pub(super) model: String,
    pub(super) backend: Backend,
    pub(super) phase: &'static str,
    pub(super) running: u32,
    pub(super) uses: u64,
    pub(super) memory_bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ModelRow {
    pub(super) model: String,
    pub(super) version: String,
    /// Why it cannot be used; absent where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unavailable: Option<String>,
    pub(super) per_second: f64,
    pub(super) failed_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p95_ms: Option<f64>,
    pub(super) answered: u64,
    pub(super) failed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Breaker {
    pub(super) state: BreakerState,
    /// From 0 to 1.
    pub(super) health: f64,
    #[serde(flatten)]
    pub(super) of: BreakerOf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub(super) enum BreakerOf {
    /// One worker, whatever it runs.
    Worker { worker: WorkerId },
    /// One model on one backend of one browser.
    Arm { model: String, browser: BrowserName, backend: Backend },
}

/// What had no place in the frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    pub(super) workers: usize,
    pub(super) models: usize,
    pub(super) breakers: usize,
    pub(super) shards: usize,
}

/// The feed itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Feed {
    /// Who looks.
    pub(super) watchers: usize,
    /// Messages that a slow reader was spared.
    pub(super) skipped: u64,
    /// Events that could not be kept.
    pub(super) lost: u64,
}
