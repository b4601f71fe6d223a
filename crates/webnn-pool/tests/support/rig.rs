//! A pool of real browsers under load, to which faults are done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::core::SessionPhase;
use provision::{Detection, Home, detect, find_runtime};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{Backend, BrowserName, WorkerId};
use webnn_pool::{
    AcceleratedModel, Accelerator, BridgeConfig, JoinOptions, LaunchSpec, PoolConfig, RecoveryOptions,
    RunOptions,
};

use super::ends::Ends;
use super::known::Known;
use super::leftovers::{Kept, marked, sockets, until};
use super::proxy::{Proxy, free_port};

/// How long a browser may take to come back. Figures are printed, not asserted.
pub const BACK: Duration = Duration::from_secs(120);
/// How long a request may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A pool under load.
pub struct Rig {
    pub accelerator: Accelerator,
    pub backend: Backend,
    /// The model that is asked for all the time, and the one that is large.
    pub golden: Known,
    pub held: Known,
    pub proxy: Proxy,
    pub ends: Arc<Mutex<Ends>>,
    /// The engines that nobody asks at the moment.
    quiet: Arc<Mutex<BTreeSet<BrowserName>>>,
    listen: std::net::SocketAddr,
    temp: Kept,
    stop: CancellationToken,
    load: TaskTracker,
    before: Before,
    /// When the clock of the events began, as well as is known.
    epoch: Mutex<Option<Instant>>,
}

/// What there was before the rig.
struct Before {
    sockets: usize,
    tasks: usize,
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Somebody who asks again and again.
struct Caller {
    /// Where the answers have to come from; `None` for wherever they may.
    browser: Option<BrowserName>,
    known: Known,
    model: AcceleratedModel,
    every: Duration,
}

/// The launch of an installed browser, with one backend alone.
pub fn spec(browser: BrowserName, backend: Backend) -> LaunchSpec {
    let home = Home::locate().expect("a home");
    let Detection::Found(installed) = detect(&home, browser) else { panic!("{browser} is not installed") };
    let mut spec = LaunchSpec::installed(installed);
    spec.backends = vec![backend];
    spec
}

/// Browsers whose connections go through a proxy that can cut them and put hooks into their pages.
pub async fn proxied(
    specs: Vec<LaunchSpec>,
    pool: PoolConfig,
    recovery: RecoveryOptions,
) -> (Accelerator, Proxy, Kept) {
    proxied_with(specs, pool, recovery, None).await
}

/// The same, with guests.
pub async fn proxied_with(
    specs: Vec<LaunchSpec>,
    pool: PoolConfig,
    recovery: RecoveryOptions,
    join: Option<JoinOptions>,
) -> (Accelerator, Proxy, Kept) {
    let temp = Kept::new();
    let home = Home::locate().expect("a home");
    let mut bridge = BridgeConfig::new(find_runtime(&home).expect("run cargo xtask setup"));
    bridge.temp_dir = temp.path().to_owned();
    bridge.listen = free_port();
    let proxy = Proxy::start(bridge.listen).await;
    bridge.public_origin = Some(format!("http://{}", proxy.address));
    let mut builder = Accelerator::builder().bridge(bridge).pool(pool).recovery(recovery);
    if let Some(join) = join {
        builder = builder.join(join);
    }
    for spec in specs {
        builder = builder.launch(spec);
    }
    (builder.build().await.expect("browsers that start"), proxy, temp)
}

impl Rig {
    /// A pool of these browsers on one backend. Without `bound`, the load goes wherever it may; with it, each engine has
    /// callers of its own, who would gain nothing from another browser in its place, so none takes it. Software that stands in
    /// for a graphics device is too slow for the large model, so there the small one stands in for it.
    pub async fn open(specs: Vec<LaunchSpec>, backend: Backend, bound: bool) -> Self {
        let before = Before { sockets: sockets(), tasks: alive_tasks() };
        let mut pool = PoolConfig::default();
        // So that wrong numbers are found out while somebody waits for that.
        pool.checks.interval = Duration::from_millis(500);
        pool.checks.share = 0.1;
        let mut recovery = RecoveryOptions::default();
        recovery.switch = !bound;
        let (accelerator, proxy, temp) = proxied(specs, pool, recovery).await;
        let listen = proxy.to;
        let golden = Known::open(&accelerator, "micro/golden-f32", "golden", backend).await;
        let held = match backend {
            Backend::Wasm => Known::open(&accelerator, "minilm", "sentence-0", backend).await,
            _ => golden.clone(),
        };
        let this = Self {
            accelerator,
            backend,
            golden,
            held,
            proxy,
            ends: Arc::default(),
            quiet: Arc::default(),
            listen,
            temp,
            stop: CancellationToken::new(),
            load: TaskTracker::new(),
            before,
            epoch: Mutex::default(),
        };
        for browser in this.browsers() {
            this.preload(browser).await;
            if bound {
                this.spawn_load(Some(browser));
            }
        }
        if !bound {
            this.spawn_load(None);
        }
        this.set_clock();
        this
    }

    /// Loads the large model.
    pub async fn preload(&self, browser: BrowserName) {
        let report = self.held.on(browser).preload(tensor::Bindings::new()).await.expect("it loads");
        assert_eq!(report.browser, browser);
    }

    pub fn browsers(&self) -> Vec<BrowserName> {
        self.accelerator.pages().iter().map(|page| page.worker_info().browser).collect()
    }

    /// The label of an engine's page.
    pub fn label(&self, browser: BrowserName) -> Option<String> {
        let pages = self.accelerator.pages();
        let page = pages.iter().rev().find(|page| page.worker_info().browser == browser)?;
        Some(page.label().to_owned())
    }

    /// Two callers that ask for the small model, and two that ask for the large one with inputs of their own, so that an
    /// answer that went to the wrong caller has the wrong numbers.
    fn spawn_load(&self, browser: Option<BrowserName>) {
        let (often, seldom) = match self.backend {
            Backend::Wasm => (Duration::from_millis(60), Duration::from_millis(500)),
            _ => (Duration::from_millis(250), Duration::from_millis(1_000)),
        };
        let other = match self.backend {
            Backend::Wasm => self.held.with_case("sentence-1"),
            _ => self.held.clone(),
        };
        let callers = [(&self.golden, often), (&self.golden, often), (&self.held, seldom), (&other, seldom)];
        for (known, every) in callers {
            let model = browser.map_or_else(|| known.model.clone(), |browser| known.on(browser));
            let caller = Caller { browser, known: known.clone(), model, every };
            self.load.spawn(caller.call(Arc::clone(&self.ends), Arc::clone(&self.quiet), self.stop.clone()));
        }
    }

    /// Has nobody ask this engine for as long as `during` takes.
    pub async fn without<T>(&self, browser: BrowserName, during: impl Future<Output = T>) -> T {
        self.quiet.lock().insert(browser);
        let result = during.await;
        self.quiet.lock().remove(&browser);
        result
    }

    /// Waits until every engine is in the pool with its models, and has answered requests for a while.
    pub async fn settled(&self, browsers: &[BrowserName]) -> bool {
        let right = self.ends.lock().right_of.clone();
        let hash = self.held.model.hash();
        let done = || {
            let workers = self.accelerator.stats().core.workers;
            let ends = self.ends.lock();
            let whole = |browser: &BrowserName| {
                let its = workers.iter().find(|worker| worker.browser == *browser);
                let loaded = its.is_some_and(|worker| {
                    let mut sessions = worker.sessions.iter();
                    sessions.any(|session| session.model == hash && session.phase == SessionPhase::Ready)
                });
                let count = |counts: &std::collections::BTreeMap<BrowserName, u64>| {
                    counts.get(browser).copied().unwrap_or_default()
                };
                loaded && count(&ends.right_of) >= count(&right) + 20
            };
            browsers.iter().all(whole)
        };
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let started = Instant::now();
        while started.elapsed() < BACK {
            looks.tick().await;
            self.set_clock();
            if done() {
                return true;
            }
        }
        false
    }

    /// Waits until no recovery goes on: a fault may hit several engines, and each takes its own time.
    pub async fn rests(&self) -> bool {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let started = Instant::now();
        while self.going() > 0 && started.elapsed() < BACK {
            looks.tick().await;
        }
        self.going() == 0
    }

    /// Compares the clock of the events with ours: no event is told before it happens.
    fn set_clock(&self) {
        let recent = self.accelerator.telemetry().snapshot().recent;
        let Some(last) = recent.last() else { return };
        let began = Instant::now().checked_sub(Duration::from_secs_f64(last.at_ms / 1e3));
        let mut epoch = self.epoch.lock();
        *epoch = match (*epoch, began) {
            (Some(known), Some(began)) => Some(known.min(began)),
            (known, began) => known.or(began),
        };
    }

    /// A moment by the clock of the events, in seconds.
    pub fn event_time(&self, at: Instant) -> f64 {
        self.epoch.lock().map_or(f64::NAN, |epoch| at.saturating_duration_since(epoch).as_secs_f64())
    }

    /// Recoveries that go on.
    pub fn going(&self) -> u64 {
        let counters = self.accelerator.telemetry().snapshot().counters;
        let sum = |start: &str| -> u64 {
            counters.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, count)| count).sum()
        };
        sum("recoveries_started.").saturating_sub(sum("recoveries_ended."))
    }

    pub fn worker(&self, browser: BrowserName) -> Option<WorkerId> {
        let stats = self.accelerator.stats();
        stats.core.workers.iter().rev().find(|worker| worker.browser == browser).map(|worker| worker.worker)
    }

    /// Ends the load and the pool: every request has ended once, with right numbers or a typed error, in time, and nothing
    /// is left.
    pub async fn close(self) -> Ends {
        self.stop.cancel();
        self.load.close();
        self.load.wait().await;
        let at_rest = || {
            let stats = self.accelerator.stats();
            stats.waiters == 0
                && stats.calls == 0
                && stats.core.cancelling == 0
                && stats.core.requests == 0
                && stats.core.workers.iter().all(|worker| worker.leases == 0)
        };
        until("no slot is taken", Duration::from_secs(30), at_rest).await;
        let counters = self.accelerator.telemetry().snapshot().counters;
        let finished: u64 = counters
            .iter()
            .filter(|(name, _)| name.starts_with("requests_finished."))
            .map(|(_, count)| count)
            .sum();
        let ends = std::mem::take(&mut *self.ends.lock());
        println!("requests meanwhile: {} sent, {} right, {:?}", ends.sent, ends.right, ends.errors);
        assert_eq!(ends.wrong, Vec::<String>::new());
        assert_eq!(ends.sent, ends.right + ends.lied + ends.failed(), "each ends once");
        assert_eq!((ends.twice, &ends.late), (0, &Vec::new()), "once, and in time");
        assert_eq!(counters["requests_accepted"], finished, "the pool knows of no other");
        let Self { accelerator, temp, proxy, listen, before, .. } = self;
        let mark = accelerator.mark().to_owned();
        accelerator.shutdown().await;
        drop(proxy);
        let gone = || marked(&mark).is_empty() && temp.names().is_empty();
        until("processes and folders are gone", Duration::from_secs(10), gone).await;
        let gone = || sockets() <= before.sockets && alive_tasks() <= before.tasks;
        until("sockets and tasks are gone", Duration::from_secs(10), gone).await;
        assert!(std::net::TcpListener::bind(listen).is_ok(), "its port is free again");
        ends
    }
}

impl Caller {
    async fn call(
        self,
        ends: Arc<Mutex<Ends>>,
        quiet: Arc<Mutex<BTreeSet<BrowserName>>>,
        stop: CancellationToken,
    ) {
        let mut turns = tokio::time::interval(self.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            turns.tick().await;
            if self.browser.is_some_and(|browser| quiet.lock().contains(&browser)) {
                continue;
            }
            let pauses = {
                let mut ends = ends.lock();
                ends.sent += 1;
                ends.pauses
            };
            let started = Instant::now();
            let mut options = RunOptions::default();
            options.timeout = Some(TIMEOUT);
            let answer = self.model.run_with(Arc::clone(&self.known.inputs), options).await;
            let times = (started.elapsed(), TIMEOUT, pauses);
            ends.lock().note(answer, times, |done| self.known.right(&done.outputs));
        }
    }
}
