//! The pool with its browsers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use perf_history::analysis::Analysis;
use pool_core::core::BreakerStatus;
use pool_core::{Pool, PoolStats};
use provision::Home;
use recovery::{Conditions, Fault, Incident, ResourcePoolErrorRecovery, RestartRoom, Rung, RungSet, Subject};
use service::News;
use telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{Backend, BrowserName, WorkerId};
use webnn_bridge::{Admission, Bridge, BridgeConfig, Invitation, InviteError, LaunchSpec, Page, Verdict};

use crate::accelerated::AcceleratedModel;
use crate::builder::AcceleratorBuilder;
use crate::error::{BuildError, HistoryError, ModelError};
use crate::export::{Connection, TelemetryExport, TelemetryOptions};
use crate::history::{History, unix_now};
use crate::join::{FrontDesk, GuestReport, receive};
use crate::model::{ModelSpec, ResolvedModel};
use crate::recover::{Patient, RecoveryOptions, RecoveryReport, Shared, supervise, watch_memory};
use crate::shard::Holds;

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
    shared: Arc<Shared>,
    failures: Vec<LaunchFailure>,
    memory_budget_bytes: u64,
    stop: CancellationToken,
    tasks: TaskTracker,
    bridge: Option<Arc<Bridge>>,
    history: Option<History>,
    holds: Holds,
    news: Arc<News>,
    desk: Option<Arc<FrontDesk>>,
}

impl Accelerator {
    /// Begins to describe an accelerator.
    pub fn builder() -> AcceleratorBuilder {
        AcceleratorBuilder::default()
    }

    pub(crate) async fn start(
        pool: Pool<Page>,
        history: History,
        (mut bridge, desk): (BridgeConfig, Option<Arc<FrontDesk>>),
        (options, home): (RecoveryOptions, Home),
        specs: Vec<LaunchSpec>,
        missing: Vec<LaunchFailure>,
        tolerant: bool,
    ) -> Result<Self, BuildError> {
        options.validate()?;
        if let Some(limit) = options.memory.wasm_heap_bytes {
            bridge.limits.wasm_heap_bytes = limit;
            bridge.memory_budget_bytes = bridge.memory_budget_bytes.min(limit);
        }
        let memory_budget_bytes = bridge.memory_budget_bytes;
        let recovery = ResourcePoolErrorRecovery::new(options.settings.clone(), pool.telemetry().clone())?;
        let bridge = Arc::new(Bridge::start(bridge).await?);
        let guests = bridge.guest_news();
        let shared = Shared::new(pool.clone(), Arc::downgrade(&bridge), recovery, options, home);
        let mut this = Self {
            pool,
            failures: missing,
            memory_budget_bytes,
            stop: shared.stop.clone(),
            tasks: shared.tasks.clone(),
            shared: Arc::new(shared),
            bridge: Some(bridge),
            history: Some(history),
            holds: Holds::default(),
            news: Arc::default(),
            desk,
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
        // A pool whose guests are trusted needs no browser of its own.
        let guests_alone = this.desk.as_ref().is_some_and(|desk| desk.options.trust);
        if last.is_none() && this.shared.pages.lock().is_empty() && !guests_alone {
            last = Some(this.failures.pop().map_or(BuildError::NoBrowser, |failure| failure.error));
        }
        match last {
            None => {
                this.tasks.spawn(watch_memory(Arc::clone(&this.shared)));
                if let (Some(desk), Some(news)) = (&this.desk, guests) {
                    desk.publish(&this.pool, this.bridge.as_deref());
                    this.tasks.spawn(receive(Arc::clone(&this.shared), Arc::clone(desk), news));
                }
                Ok(this)
            }
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
            bridge.launch(spec.clone()).await.map_err(|source| BuildError::Launch { name, source })?;
        let verdicts = page.verdicts();
        if verdicts.iter().all(|(_, verdict)| verdict.verdict == Admission::Rejected) {
            browser.end().await;
            return Err(BuildError::NoBackend { name, reasons: reasons(&verdicts) });
        }
        // Joined here and not in the task, so that the caller's next request finds the worker.
        let patient = Patient::admit(Arc::clone(&self.shared), spec, browser, page);
        self.tasks.spawn(supervise(patient));
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
        if let Some(desk) = &self.desk {
            desk.serves(&self.pool, self.bridge.as_deref(), &model.model);
        }
        AcceleratedModel::new(self.pool.clone(), Arc::clone(&model.model))
    }

    /// With what heard every event of this pool from its beginning.
    pub(crate) fn with_news(mut self, news: Arc<News>) -> Self {
        self.news = news;
        self
    }

    pub(crate) const fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// The folder of what was installed.
    pub(crate) fn home(&self) -> &Home {
        &self.shared.home
    }

    /// The workers that serve now, each with its page and the resident memory of its browser in bytes, where that is known.
    pub(crate) fn serving(&self) -> Vec<(WorkerId, Page, Option<u64>)> {
        self.shared.serving()
    }

    /// Gives out a code that lets one browser in as a guest, once: whoever opens its address and agrees joins the pool.
    ///
    /// # Errors
    /// [`InviteError`]: guests are not let in ([`AcceleratorBuilder::join`] lets them), or there are too many open codes.
    pub fn invite(&self) -> Result<Invitation, InviteError> {
        self.bridge.as_ref().ok_or(InviteError::Disabled)?.invite()
    }

    /// The address of the page by which guests join; `None` where there are none.
    #[must_use]
    pub fn join_url(&self) -> Option<String> {
        self.bridge.as_ref()?.join_url()
    }

    /// The guests that are in.
    #[must_use]
    pub fn guests(&self) -> Vec<GuestReport> {
        self.desk.as_ref().map_or_else(Vec::new, |desk| desk.guests(&self.pool))
    }

    /// What knows the guests, where there may be any, and how it reaches the page server.
    pub(crate) fn front_desk(&self) -> Option<(Arc<FrontDesk>, Weak<Bridge>)> {
        Some((Arc::clone(self.desk.as_ref()?), self.bridge.as_ref().map(Arc::downgrade)?))
    }

    /// Who has which part on which page.
    pub(crate) const fn holds(&self) -> &Holds {
        &self.holds
    }

    pub(crate) const fn pool(&self) -> &Pool<Page> {
        &self.pool
    }

    /// A folder for files that are needed as long as the browsers are there.
    pub(crate) fn scratch(&self) -> Option<&std::path::Path> {
        self.bridge.as_ref().and_then(|bridge| bridge.scratch())
    }

    /// What the models of one page may take together, in bytes.
    pub(crate) const fn memory_budget_bytes(&self) -> u64 {
        self.memory_budget_bytes
    }

    /// The page of each browser that was launched: the newest one, which may have ended.
    #[must_use]
    pub fn pages(&self) -> Vec<Page> {
        self.shared.pages.lock().clone()
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

    /// The circuit breakers of which something is known: whether they let calls through, and how well is what they guard.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerStatus> {
        self.pool.breakers()
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
            guests: self.desk.as_ref().filter(|_| options.connections).map(|desk| desk.guests(&self.pool)),
            models: options.models.then(|| self.stats()),
            performance,
            breakers: self.pool.breakers(),
            recovery: self.shared.options.enabled.then(|| RecoveryReport::of(&self.shared)),
        })
    }

    /// The figures from which recovery would choose what to try for this fault of this browser now. Its text has one line
    /// for each rung.
    ///
    /// # Errors
    /// A setting of the ladder that cannot work; the builder has refused those.
    #[allow(clippy::disallowed_methods, reason = "the shell is where the time comes from")]
    pub fn explain_recovery(
        &self,
        fault: Fault,
        browser: BrowserName,
    ) -> Result<recovery::Explanation, recovery::ConfigError> {
        let now = tokio::time::Instant::now().into_std();
        let subject = Subject { worker: WorkerId(0), browser: Some(browser) };
        let ladder = &self.shared.options.settings.ladder;
        let record = self.shared.recovery.record();
        let offered =
            if self.shared.options.switch { RungSet::ALL } else { RungSet::ALL.without(Rung::Switch) };
        let conditions = Conditions {
            offered,
            level: self.shared.recovery.stats().level,
            restart: RestartRoom::Free,
            repeat: true,
            record: &record,
        };
        Ok(Incident::new(subject, fault, now, ladder)?.explain(now, &conditions))
    }

    /// Tasks of this accelerator and its page server that run at this moment.
    #[must_use]
    pub fn live_tasks(&self) -> usize {
        self.tasks.len() + self.bridge.as_ref().map_or(0, |bridge| bridge.live_tasks())
    }

    /// The mark that the processes of this accelerator carry in their environment; see [`webnn_bridge::MARK`].
    #[must_use]
    pub fn mark(&self) -> &str {
        self.bridge.as_ref().map_or("", |bridge| bridge.mark())
    }

    /// Takes no new requests and waits until the accepted ones are answered, for `limit` at most; what is left then ends
    /// with an error.
    pub async fn drain(&self, limit: Duration) {
        self.pool.drain(limit).await;
    }

    /// Ends everything: requests that are still there fail, browsers close, no process or directory is left.
    pub async fn shutdown(mut self) {
        // First of all, so that nothing is launched any more.
        self.shared.recovery.close();
        self.pool.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // The tasks held it only while they launched something, so by now nobody else does.
        if let Some(bridge) = self.bridge.take().and_then(Arc::into_inner) {
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
        self.shared.recovery.close();
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
