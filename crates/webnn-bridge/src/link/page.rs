//! The state of one page.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use pool_core::{BackendInfo, LinkError, WorkerInfo};
use tokio::sync::watch;
use tokio::time::Instant;
use vocab::{Backend, BrowserName, DeviceKind, FailureKind, ModelHash, SessionId};

use super::end::{EndSignal, PageEnd};
use super::engine::Engine;
use super::memory::{Ledger, PageMemory};
use super::ping::Pings;
use super::presence::Presence;
use super::usual::{Durations, Loaded};
use crate::config::BridgeLimits;
use crate::protocol::{Admission, Hello, ToPage, Verdict};
use crate::store::ModelStore;

/// What a page is made of when it says hello.
pub(crate) struct PageParts {
    pub(crate) label: String,
    pub(crate) browser: BrowserName,
    pub(crate) browser_version: String,
    pub(crate) hello: Hello,
    /// By what it is known when it comes back.
    pub(crate) name: String,
    pub(crate) presence: Presence,
    pub(crate) limits: BridgeLimits,
    pub(crate) store: Arc<ModelStore>,
    /// How long runs took, on whichever page.
    pub(crate) durations: Arc<Durations>,
    pub(crate) memory_budget_bytes: u64,
    pub(crate) slots: u32,
}

/// How many names of engines that are over are remembered; a page that starts more of them within a moment ends.
const MOST_OVER: usize = 16;
/// How much later than an engine's connection that of its page may be seen to break, where both broke together.
const TOGETHER: Duration = Duration::from_millis(300);

/// One page, from its hello to its end.
pub(crate) struct PageState {
    parts: PageParts,
    verdicts: Mutex<Vec<(Backend, Verdict)>>,
    engines: Mutex<HashMap<Backend, Arc<Engine>>>,
    /// Counts changes of `engines`, so that a call can wait for an engine that is being started anew.
    engines_changed: watch::Sender<u64>,
    pub(super) sessions: DashMap<SessionId, Loaded>,
    /// The names of engines that are over, the latest last.
    over: Mutex<VecDeque<String>>,
    next_call: AtomicU64,
    pings: Pings,
    memory: Ledger,
    /// When anything came over the control connection last.
    heard: Mutex<Instant>,
    /// When it said hello.
    since: Instant,
    end: EndSignal,
}

impl std::fmt::Debug for PageState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageState")
            .field("label", &self.parts.label)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl PageState {
    pub(crate) fn new(parts: PageParts) -> Self {
        Self {
            parts,
            verdicts: Mutex::default(),
            engines: Mutex::default(),
            engines_changed: watch::Sender::new(0),
            sessions: DashMap::new(),
            over: Mutex::default(),
            next_call: AtomicU64::new(1),
            pings: Pings::default(),
            memory: Ledger::default(),
            heard: Mutex::new(Instant::now()),
            since: Instant::now(),
            end: EndSignal::default(),
        }
    }

    pub(crate) fn label(&self) -> &str {
        &self.parts.label
    }

    pub(crate) fn limits(&self) -> &BridgeLimits {
        &self.parts.limits
    }

    pub(super) fn store(&self) -> &Arc<ModelStore> {
        &self.parts.store
    }

    /// A session of a model that this page has loaded.
    pub(super) fn loaded(&self, backend: Backend, model: ModelHash) -> Loaded {
        Loaded::new(&self.parts.durations, self.parts.browser, backend, model)
    }

    pub(crate) fn pings(&self) -> &Pings {
        &self.pings
    }

    pub(crate) fn memory(&self) -> &Ledger {
        &self.memory
    }

    /// When the page said hello.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// The page has said something over its control connection.
    pub(crate) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// Pings the page, and waits for the answer or the page's end.
    async fn ping(&self, timeout: Duration) -> Result<Duration, LinkError> {
        let started = Instant::now();
        let mut ping = self.pings.expect();
        let answered = async {
            let number = ping.number;
            if self.parts.presence.send(ToPage::Ping { n: number }).await {
                ping.answer().await;
            } else {
                self.end.ended().await;
            }
        };
        tokio::select! {
            biased;
            cause = self.end.ended() => Err(LinkError::Vanished { detail: cause.to_string() }),
            () = answered => Ok(started.elapsed()),
            () = tokio::time::sleep(timeout) => {
                Err(LinkError::TimedOut { phase: "pinging the page", after: started.elapsed() })
            }
        }
    }

    /// Takes down what the page found about a backend; a later verdict replaces an earlier one.
    pub(crate) fn record_verdict(&self, backend: Backend, verdict: Verdict) {
        let mut verdicts = self.verdicts.lock();
        match verdicts.iter_mut().find(|(known, _)| *known == backend) {
            Some((_, before)) => *before = verdict,
            None => verdicts.push((backend, verdict)),
        }
        drop(verdicts);
        // Whoever waits for the engine may now know that it does not come back.
        self.engines_changed.send_modify(|count| *count += 1);
    }

    pub(super) fn verdict(&self, backend: Backend) -> Option<Verdict> {
        self.verdicts.lock().iter().find(|(known, _)| *known == backend).map(|(_, verdict)| verdict.clone())
    }

    /// Installs the data connection of an engine. Refused after the page's end.
    pub(crate) fn attach(&self, engine: &Arc<Engine>) -> bool {
        let mut engines = self.engines.lock();
        if self.end.cause().is_some() {
            return false;
        }
        let before = engines.insert(engine.backend(), Arc::clone(engine));
        drop(engines);
        if let Some(before) = before {
            // The page has ended it, and could not say so.
            self.forget(&before);
            self.memory.anew(engine.backend());
        }
        self.engines_changed.send_modify(|count| *count += 1);
        true
    }

    /// The engine with this name, which has lost its connection and comes back.
    pub(crate) fn known_engine(&self, backend: Backend, name: &str) -> Option<Arc<Engine>> {
        let engines = self.engines.lock();
        engines.get(&backend).filter(|engine| !name.is_empty() && engine.name() == name).map(Arc::clone)
    }

    /// The page has ended an engine by itself.
    pub(crate) fn drop_engine(&self, backend: Backend) {
        let engine = self.engines.lock().get(&backend).map(Arc::clone);
        if let Some(engine) = engine {
            self.detach(&engine);
        }
    }

    /// Whether an engine with this name was here and does not come back.
    pub(crate) fn is_over(&self, name: &str) -> bool {
        !name.is_empty() && self.over.lock().iter().any(|over| over == name)
    }

    /// An engine is over, and its sessions with it.
    fn forget(&self, engine: &Engine) {
        engine.close();
        let mut over = self.over.lock();
        if over.len() >= MOST_OVER {
            over.pop_front();
        }
        over.push_back(engine.name().to_owned());
        drop(over);
        self.sessions.retain(|_, loaded| loaded.backend != engine.backend());
    }

    /// Takes an engine out whose connection has closed for good.
    pub(crate) fn detach(&self, engine: &Arc<Engine>) {
        let mut engines = self.engines.lock();
        if engines.get(&engine.backend()).is_some_and(|current| Arc::ptr_eq(current, engine)) {
            engines.remove(&engine.backend());
            drop(engines);
            self.forget(engine);
        }
    }

    /// The engine of `backend`. Waits, up to the deadline, while it is being started anew.
    pub(super) async fn engine(&self, backend: Backend, deadline: Instant) -> Result<Arc<Engine>, LinkError> {
        let started = Instant::now();
        let mut changes = self.engines_changed.subscribe();
        loop {
            if let Some(cause) = self.end.cause() {
                return Err(LinkError::Vanished { detail: cause.to_string() });
            }
            self.assert_offered(backend)?;
            if let Some(engine) = self.engines.lock().get(&backend) {
                return Ok(Arc::clone(engine));
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = self.end.ended() => {}
                () = tokio::time::sleep_until(deadline) => {
                    return Err(LinkError::TimedOut { phase: "starting an engine anew", after: started.elapsed() });
                }
            }
        }
    }

    fn assert_offered(&self, backend: Backend) -> Result<(), LinkError> {
        let why = match self.verdict(backend) {
            Some(Verdict { verdict: Admission::Rejected, reason, .. }) => reason.unwrap_or_default(),
            Some(_) => return Ok(()),
            None => "it was not asked to".to_owned(),
        };
        let message = format!("{} does not offer {backend}: {why}", self.parts.label);
        Err(LinkError::Reported { kind: FailureKind::BackendUnavailable, message })
    }

    pub(crate) fn presence(&self) -> &Presence {
        &self.parts.presence
    }

    /// By what it is known when it comes back.
    pub(crate) fn name(&self) -> &str {
        &self.parts.name
    }

    pub(super) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Has the page end an engine's worker and start another.
    pub(super) async fn reset_engine(&self, backend: Backend) {
        let send = self.parts.presence.send(ToPage::ResetEngine { backend });
        let _ = tokio::time::timeout(self.parts.limits.cancel_grace, send).await;
    }

    /// Ends the page: first the cause is published, then everything that waits is failed.
    pub(crate) fn end(&self, cause: PageEnd) {
        self.end.end(cause);
        let engines: Vec<_> = self.engines.lock().drain().map(|(_, engine)| engine).collect();
        for engine in engines {
            engine.close();
        }
        self.sessions.clear();
    }

    pub(crate) fn end_cause(&self) -> Option<&PageEnd> {
        self.end.cause()
    }

    pub(crate) async fn ended(&self) -> PageEnd {
        self.end.ended().await
    }

    /// The error of a page that is gone, if it is or is about to be: of connections that break together either may be
    /// noticed first, and a page that is gone must not look like one that has only lost a session.
    pub(super) async fn vanished(&self) -> Option<LinkError> {
        let end = tokio::time::timeout(TOGETHER, self.end.ended()).await.ok()?;
        Some(LinkError::Vanished { detail: end.to_string() })
    }
}

/// A page that has probed its backends and serves. Cheap to clone; all clones are the same page.
///
/// It implements `pool_core`'s [`WorkerLink`](pool_core::WorkerLink).
#[derive(Debug, Clone)]
pub struct Page {
    pub(crate) state: Arc<PageState>,
}

impl Page {
    /// A name for people: the browser's and a number, `firefox-2`.
    #[must_use]
    pub fn label(&self) -> &str {
        self.state.label()
    }

    /// What the page said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.state.parts.hello
    }

    /// The browser's version, as the driver or the page told it.
    #[must_use]
    pub fn browser_version(&self) -> &str {
        &self.state.parts.browser_version
    }

    /// What executing the golden model showed, for each backend that was asked for, in that order.
    #[must_use]
    pub fn verdicts(&self) -> Vec<(Backend, Verdict)> {
        self.state.verdicts.lock().clone()
    }

    /// What the pool needs to know. Rejected backends are left out.
    #[must_use]
    pub fn worker_info(&self) -> WorkerInfo {
        let parts = &self.state.parts;
        let backends = self
            .verdicts()
            .into_iter()
            .filter(|(_, verdict)| verdict.verdict != Admission::Rejected)
            .map(|(backend, verdict)| BackendInfo {
                backend,
                device_effective: verdict.device_effective.unwrap_or(DeviceKind::Cpu),
                adapter: verdict.adapter,
                software: verdict.software,
                threads: verdict.threads,
                cross_origin_isolated: parts.hello.cross_origin_isolated,
                static_shapes: backend == Backend::WebNn,
            })
            .collect();
        WorkerInfo {
            browser: parts.browser,
            browser_version: parts.browser_version.clone(),
            slots: parts.slots,
            memory_budget_bytes: parts.memory_budget_bytes,
            backends,
            guest: None,
        }
    }

    /// Resolves when the page has ended.
    pub async fn ended(&self) -> PageEnd {
        self.state.ended().await
    }

    /// Pings the page's main thread and says how long the answer took. It answers while a model computes.
    ///
    /// # Errors
    /// [`LinkError::TimedOut`] after `timeout`; [`LinkError::Vanished`] if the page has ended.
    pub async fn ping(&self, timeout: Duration) -> Result<Duration, LinkError> {
        self.state.ping(timeout).await
    }

    /// Whether the page has its control connection. One that has lost it may come back with all that it holds, and then
    /// goes on with the calls that it had; one that does not within [`resume_grace`](crate::BridgeLimits::resume_grace)
    /// ends.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.end_cause().is_none() && self.state.presence().is_there()
    }

    /// Resolves when the page has lost its control connection, or has ended.
    pub async fn disconnected(&self) {
        tokio::select! {
            () = self.state.presence().becomes(false) => {}
            _ = self.state.ended() => {}
        }
    }

    /// Resolves when the page has its control connection again; never where it ends before.
    pub async fn reconnected(&self) {
        self.state.presence().becomes(true).await;
        if self.end_cause().is_some() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until every engine of a page that is back has its own connection again.
    ///
    /// # Errors
    /// [`LinkError::TimedOut`] after `deadline`; [`LinkError::Vanished`] if the page has ended.
    pub async fn engines_connected(&self, deadline: Instant) -> Result<(), LinkError> {
        let started = Instant::now();
        let engines: Vec<_> = self.state.engines.lock().values().map(Arc::clone).collect();
        let all = futures_util::future::join_all(engines.iter().map(|engine| engine.connected()));
        tokio::select! {
            biased;
            cause = self.state.ended() => Err(LinkError::Vanished { detail: cause.to_string() }),
            _ = all => Ok(()),
            () = tokio::time::sleep_until(deadline) => {
                Err(LinkError::TimedOut { phase: "connecting to the engines", after: started.elapsed() })
            }
        }
    }

    /// How the page ended, once it has.
    #[must_use]
    pub fn end_cause(&self) -> Option<PageEnd> {
        self.state.end_cause().cloned()
    }

    /// For how long nothing has come over the control connection. A page that is well answers a ping every
    /// [`heartbeat`](crate::BridgeLimits::heartbeat).
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.state.heard.lock().elapsed()
    }

    /// How much memory the page said last that it takes.
    #[must_use]
    pub fn memory(&self) -> PageMemory {
        self.state.memory().read(self.state.limits().wasm_heap_bytes)
    }

    /// Whether an engine works on a run for longer than `floor` and twenty times longer than its session ever took, larger
    /// inputs allowed for. Loads, and the first run of a session, may take as long as they like.
    #[must_use]
    pub fn is_overdue(&self, floor: Duration) -> bool {
        self.state.engines.lock().values().any(|engine| engine.is_overdue(floor))
    }

    /// Calls that wait for the page's answer, over all its engines.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.state.engines.lock().values().map(|engine| engine.waiting()).sum()
    }
}
