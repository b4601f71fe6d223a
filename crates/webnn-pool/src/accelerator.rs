//! The pool with its browsers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use perf_history::analysis::Analysis;
use pool_core::{Pool, PoolStats};
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{Backend, BrowserName};
use webnn_bridge::{Admission, Bridge, BridgeConfig, LaunchSpec, Page, Verdict};

use crate::accelerated::AcceleratedModel;
use crate::builder::AcceleratorBuilder;
use crate::error::{BuildError, HistoryError, ModelError};
use crate::export::{Connection, TelemetryExport, TelemetryOptions};
use crate::history::{History, unix_now};
use crate::model::{ModelSpec, ResolvedModel};
use crate::supervise::{join, supervise};

/// A browser that could not be launched while others could.
#[derive(Debug)]
#[non_exhaustive]
pub struct LaunchFailure {
    /// Which browser.
    pub browser: BrowserName,
    /// Why.
    pub error: BuildError,
}

/// A pool of browsers that computes models.
///
/// Dropping it kills the browsers; [`shutdown`](Self::shutdown) closes them in order.
#[derive(Debug)]
pub struct Accelerator {
    pool: Pool<Page>,
    pages: Arc<Mutex<Vec<Page>>>,
    failures: Vec<LaunchFailure>,
    memory_budget_bytes: u64,
    stop: CancellationToken,
    tasks: TaskTracker,
    bridge: Option<Bridge>,
    history: Option<History>,
}

impl Accelerator {
    /// Begins to describe an accelerator.
    pub fn builder() -> AcceleratorBuilder {
        AcceleratorBuilder::default()
    }

    pub(crate) async fn start(
        pool: Pool<Page>,
        history: History,
        bridge: BridgeConfig,
        specs: Vec<LaunchSpec>,
        missing: Vec<LaunchFailure>,
        tolerant: bool,
    ) -> Result<Self, BuildError> {
        let memory_budget_bytes = bridge.memory_budget_bytes;
        let mut this = Self {
            pool,
            pages: Arc::default(),
            failures: missing,
            memory_budget_bytes,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            bridge: Some(Bridge::start(bridge).await?),
            history: Some(history),
        };
        let mut last = None;
        // One after the other: a start keeps a core busy, and probes that overlap disturb each other's figures.
        for spec in specs {
            let browser = spec.name;
            match this.add(spec).await {
                Ok(()) => {}
                Err(error) if tolerant => this.failures.push(LaunchFailure { browser, error }),
                Err(error) => {
                    last = Some(error);
                    break;
                }
            }
        }
        if last.is_none() && this.pages.lock().is_empty() {
            last = Some(this.failures.pop().map_or(BuildError::NoBrowser, |failure| failure.error));
        }
        match last {
            None => Ok(this),
            Some(error) => {
                this.shutdown().await;
                Err(error)
            }
        }
    }

    /// Launches one more browser and lets its page join the pool.
    ///
    /// # Errors
    /// [`BuildError`]; the pool goes on as it was.
    pub async fn add(&self, spec: LaunchSpec) -> Result<(), BuildError> {
        let name = spec.name;
        let bridge = self.bridge.as_ref().ok_or(BuildError::TaskLost)?;
        let (browser, page) =
            bridge.launch(spec).await.map_err(|source| BuildError::Launch { name, source })?;
        let verdicts = page.verdicts();
        if verdicts.iter().all(|(_, verdict)| verdict.verdict == Admission::Rejected) {
            browser.end().await;
            return Err(BuildError::NoBackend { name, reasons: reasons(&verdicts) });
        }
        self.pages.lock().push(page.clone());
        // Joined here and not in the task, so that the caller's next request finds the worker.
        let membership = join(&self.pool, &page);
        let pages = Arc::clone(&self.pages);
        self.tasks.spawn(supervise(self.pool.clone(), pages, browser, (page, membership), self.stop.clone()));
        Ok(())
    }

    /// Reads a model and checks it. It is loaded on a worker by its first run, or by
    /// [`AcceleratedModel::preload`].
    ///
    /// # Errors
    /// [`ModelError`] says which file and what is wrong with it.
    pub async fn accelerate_model(&self, spec: ModelSpec) -> Result<AcceleratedModel, ModelError> {
        Ok(self.accelerate(&ResolvedModel::read(spec, self.memory_budget_bytes).await?))
    }

    /// The same for a model that was read already.
    #[must_use]
    pub fn accelerate(&self, model: &ResolvedModel) -> AcceleratedModel {
        AcceleratedModel::new(self.pool.clone(), Arc::clone(&model.model))
    }

    /// The page of each browser that was launched: the newest one, which may have ended.
    #[must_use]
    pub fn pages(&self) -> Vec<Page> {
        self.pages.lock().clone()
    }

    /// The browsers that could not be launched; see
    /// [`tolerate_missing`](AcceleratorBuilder::tolerate_missing).
    #[must_use]
    pub fn launch_failures(&self) -> &[LaunchFailure] {
        &self.failures
    }

    /// What runs, waits and is loaded at this moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// What happened so far.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        self.pool.telemetry()
    }

    /// What follows from everything that was observed, this accelerator's own runs included: the best browser and backend
    /// for each type of model, trends, regressions and recommendations, each with how sure it is. Where there are too few
    /// samples the answer says so (`source: "default"`) instead of failing.
    ///
    /// # Errors
    /// [`HistoryError`], where there is a database and it cannot be written or read.
    pub async fn analyze_performance_trends(&self) -> Result<Analysis, HistoryError> {
        match &self.history {
            Some(history) => history.analyze().await,
            None => Err(HistoryError::TaskLost),
        }
    }

    /// Counters, latencies and recent events, and what `options` ask for.
    ///
    /// # Errors
    /// Like [`analyze_performance_trends`](Self::analyze_performance_trends), where that is asked for.
    pub async fn export_telemetry(&self, options: TelemetryOptions) -> Result<TelemetryExport, HistoryError> {
        let performance = match options.performance {
            true => Some(self.analyze_performance_trends().await?),
            false => None,
        };
        let connections = || self.pages().iter().map(|page| Connection::of(page.worker_info())).collect();
        Ok(TelemetryExport {
            at: unix_now(),
            telemetry: self.pool.telemetry().snapshot(),
            connections: options.connections.then(connections),
            models: options.models.then(|| self.stats()),
            performance,
        })
    }

    /// Tasks of this accelerator and its page server that run at this moment.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.tasks.len() + self.bridge.as_ref().map_or(0, Bridge::live_tasks)
    }

    /// The mark that the processes of this accelerator carry in their environment; see [`webnn_bridge::MARK`].
    #[must_use]
    pub fn mark(&self) -> &str {
        self.bridge.as_ref().map_or("", Bridge::mark)
    }

    /// Takes no new requests and waits until the accepted ones are answered, for `limit` at most; what is left then ends
    /// with an error.
    pub async fn drain(&self, limit: Duration) {
        self.pool.drain(limit).await;
    }

    /// Ends everything: requests that are still there fail, browsers close, no process or directory is left.
    pub async fn shutdown(mut self) {
        self.pool.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(bridge) = self.bridge.take() {
            bridge.shutdown().await;
        }
        if let Some(mut history) = self.history.take() {
            // Writing what waits takes a disk's time. Where the runtime is going down, dropping it does the same.
            let _ = tokio::task::spawn_blocking(move || history.finish()).await;
        }
    }
}

impl Drop for Accelerator {
    fn drop(&mut self) {
        self.pool.abort();
        self.stop.cancel();
        self.tasks.close();
    }
}

fn reasons(verdicts: &[(Backend, Verdict)]) -> String {
    let each = verdicts.iter().map(|(backend, verdict)| {
        format!("{backend}: {}", verdict.reason.as_deref().unwrap_or("no reason given"))
    });
    each.collect::<Vec<_>>().join("; ")
}
