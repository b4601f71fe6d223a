//! Browsers are killed, stopped and cut off while requests run; the pool revives them, with their models, and nothing is
//! lost.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::core::SessionPhase;
use provision::{Detection, Home, detect, find_runtime};
use support::{
    Backend, BrowserName, ChaosFault, Dice, Fixture, Kept, Proxy, fixture, free_port, marked, until,
};
use telemetry::Event;
use tensor::NamedTensor;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::{Rung, WorkerId};
use webnn_pool::{
    AcceleratedModel, Accelerator, BridgeConfig, BrowserSource, LaunchSpec, ModelSpec, RunOptions,
};

/// How long a browser may take to come back. Figures are printed, not asserted.
const BACK: Duration = Duration::from_secs(120);
/// What the sample is drawn with.
const SEED: u64 = 7;

/// What became of the requests that ran all the while.
#[derive(Debug, Default)]
struct Ends {
    sent: u64,
    right: u64,
    errors: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

/// A pool under load.
struct Rig {
    accelerator: Accelerator,
    /// The model that is asked for all the time, and the one that is only loaded.
    golden: Known,
    held: Known,
    temp: Kept,
    proxy: Proxy,
    stop: CancellationToken,
    load: TaskTracker,
    ends: Arc<Mutex<Ends>>,
}

/// A model with a case whose numbers are known.
#[derive(Clone)]
struct Known {
    model: AcceleratedModel,
    fixture: Arc<Fixture>,
    case: &'static str,
    inputs: Arc<[NamedTensor]>,
}

impl Known {
    async fn open(accelerator: &Accelerator, name: &str, case: &'static str) -> Self {
        let fixture = Arc::new(fixture(name));
        let model = accelerator.accelerate_model(ModelSpec::path(&fixture.directory)).await.expect("a model");
        let inputs = fixture.inputs(case).into();
        Self { model: model.on_backends([Backend::Wasm]), fixture, case, inputs }
    }

    fn right(&self, outputs: &[NamedTensor]) -> Result<f64, String> {
        self.fixture.compare(self.fixture.case(self.case), outputs)
    }

    fn on(&self, browser: BrowserName) -> AcceleratedModel {
        self.model.clone().in_browsers([browser])
    }
}

/// How one fault went.
#[derive(Debug)]
struct Went {
    fault: ChaosFault,
    browser: BrowserName,
    /// The rungs that were tried, in order, and the one that did it.
    tried: Vec<Rung>,
    rung: Option<Rung>,
    /// From the fault to the first right answer of the same engine, by its new worker.
    first_good: Duration,
    /// From the fault to the proof: the models are back.
    proved: Duration,
}

impl Rig {
    /// Without `bound`, the load goes wherever it may.
    async fn open(specs: Vec<LaunchSpec>, bound: bool) -> Self {
        let temp = Kept::new();
        let home = Home::locate().expect("a home");
        let mut bridge = BridgeConfig::new(find_runtime(&home).expect("run cargo xtask setup"));
        bridge.temp_dir = temp.path().to_owned();
        bridge.listen = free_port();
        let proxy = Proxy::start(bridge.listen).await;
        bridge.public_origin = Some(format!("http://{}", proxy.address));
        let mut builder = Accelerator::builder().bridge(bridge);
        for spec in specs {
            builder = builder.launch(spec);
        }
        let accelerator = builder.build().await.expect("browsers that start");
        let golden = Known::open(&accelerator, "micro/golden-f32", "golden").await;
        let held = Known::open(&accelerator, "minilm", "sentence-0").await;
        let ends = Arc::default();
        let (stop, load) = (CancellationToken::new(), TaskTracker::new());
        let this = Self { accelerator, golden, held, temp, proxy, stop, load, ends };
        for browser in this.browsers() {
            let report = this.held.on(browser).preload(tensor::Bindings::new()).await.expect("it loads");
            assert_eq!(report.browser, browser);
        }
        for browser in this.browsers() {
            let model = if bound { this.golden.on(browser) } else { this.golden.model.clone() };
            this.spawn_load(&model);
        }
        this
    }

    fn browsers(&self) -> Vec<BrowserName> {
        self.accelerator.pages().iter().map(|page| page.worker_info().browser).collect()
    }

    /// Two callers that ask for the golden model, again and again.
    fn spawn_load(&self, model: &AcceleratedModel) {
        for _ in 0..2 {
            let (golden, ends, stop) = (self.golden.clone(), Arc::clone(&self.ends), self.stop.clone());
            let model = model.clone();
            self.load.spawn(async move {
                let mut turns = tokio::time::interval(Duration::from_millis(40));
                turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !stop.is_cancelled() {
                    turns.tick().await;
                    ends.lock().sent += 1;
                    let answer = model.run(Arc::clone(&golden.inputs)).await;
                    let mut ends = ends.lock();
                    match answer {
                        Ok(done) => match golden.right(&done.outputs) {
                            Ok(_) => ends.right += 1,
                            Err(wrong) => ends.wrong.push(wrong),
                        },
                        Err(error) => {
                            let text = format!("{error:?}");
                            let kind = text.split(['(', ' ']).next().unwrap_or_default().to_owned();
                            *ends.errors.entry(kind).or_default() += 1;
                        }
                    }
                }
            });
        }
    }

    /// Waits until every engine is in the pool with its models, and requests have been answered for a while.
    async fn settled(&self, browsers: &[BrowserName]) -> bool {
        let right = self.ends.lock().right;
        let hash = self.held.model.hash();
        let done = || {
            let workers = self.accelerator.stats().core.workers;
            let whole = |browser: &BrowserName| {
                let its = workers.iter().find(|worker| worker.browser == *browser);
                its.is_some_and(|worker| {
                    let mut sessions = worker.sessions.iter();
                    sessions.any(|session| session.model == hash && session.phase == SessionPhase::Ready)
                })
            };
            // A fault may hit several engines, and each takes its own time.
            self.going() == 0 && browsers.iter().all(whole) && self.ends.lock().right >= right + 20
        };
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let started = Instant::now();
        while started.elapsed() < BACK {
            looks.tick().await;
            if done() {
                return true;
            }
        }
        false
    }

    /// Recoveries that go on.
    fn going(&self) -> u64 {
        let counters = self.accelerator.telemetry().snapshot().counters;
        let sum = |start: &str| -> u64 {
            counters.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, count)| count).sum()
        };
        sum("recoveries_started.") - sum("recoveries_ended.")
    }

    fn worker(&self, browser: BrowserName) -> Option<WorkerId> {
        let stats = self.accelerator.stats();
        stats.core.workers.iter().rev().find(|worker| worker.browser == browser).map(|worker| worker.worker)
    }

    /// Inflicts a fault and waits until the engine is back with its models.
    async fn suffer(&self, fault: ChaosFault, browser: BrowserName) -> Result<Went, String> {
        let before = self.worker(browser).ok_or_else(|| format!("no {browser} in the pool"))?;
        let pages = self.accelerator.pages();
        let page = pages.iter().find(|page| page.worker_info().browser == browser).expect("its page");
        let from = self.last_event();
        let started = Instant::now();
        let hit = fault.inflict(self.accelerator.mark(), page.label(), browser, &self.proxy).await;
        let (first_good, ended) =
            tokio::join!(self.first_good(browser, before, started), self.recovered(before, from, started));
        let went = match (first_good, ended) {
            (Some((first_good, _)), Ok((rung, tried, proved))) => {
                Went { fault, browser, tried, rung, first_good, proved }
            }
            (good, ended) => {
                return Err(format!("{} of {browser} ({hit} hit): {good:?}, {ended:?}", fault.name()));
            }
        };
        // Nobody has asked for this model since it was lost.
        let worker = self.worker(browser).expect("it is back");
        let stats = self.accelerator.stats();
        let stats = stats.core.workers.iter().find(|known| known.worker == worker).expect("its figures");
        let back = stats.sessions.iter().any(|session| session.model == self.held.model.hash());
        assert!(back, "{}: the model is not back: {stats:?}", fault.name());
        let done = self.held.on(browser).run(Arc::clone(&self.held.inputs)).await;
        let done = done.map_err(|error| format!("{} of {browser}: {error:?}", fault.name()))?;
        self.held.right(&done.outputs)?;
        assert_eq!(done.report.load_ms, None, "it was loaded before it was asked for");
        println!(
            "{browser}: {} ({hit} hit): first good answer after {:.2} s, models back after {:.2} s, {} (tried {})",
            fault.name(),
            went.first_good.as_secs_f64(),
            went.proved.as_secs_f64(),
            went.rung.map_or("-", Rung::as_str),
            went.tried.iter().map(|rung| rung.as_str()).collect::<Vec<_>>().join(", "),
        );
        Ok(went)
    }

    /// The first right answer of another worker of this engine.
    async fn first_good(
        &self,
        browser: BrowserName,
        before: WorkerId,
        started: Instant,
    ) -> Option<(Duration, WorkerId)> {
        let model = self.golden.on(browser);
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while started.elapsed() < BACK {
            turns.tick().await;
            let mut options = RunOptions::default();
            options.timeout = Some(Duration::from_secs(20));
            if let Ok(done) = model.run_with(Arc::clone(&self.golden.inputs), options).await {
                self.golden.right(&done.outputs).expect("right numbers");
                if done.report.worker != before {
                    return Some((started.elapsed(), done.report.worker));
                }
            }
        }
        None
    }

    fn last_event(&self) -> u64 {
        let recent = self.accelerator.telemetry().snapshot().recent;
        recent.last().map_or(0, |recorded| recorded.sequence)
    }

    /// The rung that revived a worker, those that were tried, and when the proof was there.
    async fn recovered(
        &self,
        worker: WorkerId,
        from: u64,
        started: Instant,
    ) -> Result<(Option<Rung>, Vec<Rung>, Duration), String> {
        let mut turns = tokio::time::interval(Duration::from_millis(50));
        let (mut seen, mut tried, mut told, mut missed) = (from, Vec::new(), Vec::new(), 0);
        while started.elapsed() < BACK {
            turns.tick().await;
            for recorded in self.accelerator.telemetry().snapshot().recent {
                if recorded.sequence <= seen {
                    continue;
                }
                missed += recorded.sequence - seen - 1;
                seen = recorded.sequence;
                match &*recorded.event {
                    event @ Event::RungTried { worker: of, rung, .. } if *of == worker => {
                        tried.push(*rung);
                        told.push(format!("{event:?}"));
                    }
                    Event::RecoveryEnded { worker: of, end, rung, .. } if *of == worker => {
                        if end.as_str() == "recovered" {
                            return Ok((*rung, tried, started.elapsed()));
                        }
                        return Err(format!("{end} after {told:?}"));
                    }
                    _ => {}
                }
            }
        }
        Err(format!("no end of it was told; {told:?}, {missed} events missed"))
    }

    /// Ends the load and the pool: every request has ended once, with right numbers or a typed error, and nothing is left.
    async fn close(self) {
        self.stop.cancel();
        self.load.close();
        self.load.wait().await;
        let counters = self.accelerator.telemetry().snapshot().counters;
        let finished: u64 = counters
            .iter()
            .filter(|(name, _)| name.starts_with("requests_finished."))
            .map(|(_, count)| count)
            .sum();
        let ends = std::mem::take(&mut *self.ends.lock());
        println!("requests meanwhile: {} sent, {} right, {:?}", ends.sent, ends.right, ends.errors);
        assert_eq!(ends.wrong, Vec::<String>::new());
        assert_eq!(ends.sent, ends.right + ends.errors.values().sum::<u64>(), "each ends once");
        assert_eq!(counters["requests_accepted"], finished, "the pool knows of no other");
        let mark = self.accelerator.mark().to_owned();
        self.accelerator.shutdown().await;
        let gone = || marked(&mark).is_empty() && self.temp.names().is_empty();
        until("processes and folders are gone", Duration::from_secs(10), gone).await;
    }
}

/// The launch of an installed browser, with the WASM backend alone.
fn spec(browser: BrowserName) -> LaunchSpec {
    let home = Home::locate().expect("a home");
    let Detection::Found(installed) = detect(&home, browser) else { panic!("{browser} is not installed") };
    let mut spec = LaunchSpec::installed(installed);
    spec.backends = vec![Backend::Wasm];
    spec
}

/// The faults, in an order that the seed decides, on a pool of one engine.
async fn sample(browser: BrowserName) {
    let rig = Rig::open(vec![spec(browser)], true).await;
    let mut faults: Vec<ChaosFault> =
        ChaosFault::ALL.into_iter().filter(|fault| fault.possible(browser)).collect();
    Dice(SEED).shuffle(&mut faults);
    for fault in faults {
        rig.suffer(fault, browser).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(rig.settled(&[browser]).await, "requests are answered again");
    }
    let export = rig.accelerator.export_telemetry(webnn_pool::TelemetryOptions::default()).await;
    let report = export.expect("an export").recovery.expect("recovery is on");
    assert!(report.going == 0 && !report.learned.is_empty(), "{report:?}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_comes_back() {
    sample(BrowserName::Chromium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firefox_comes_back() {
    sample(BrowserName::Firefox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webkitgtk_comes_back() {
    sample(BrowserName::WebKitGtk).await;
}

/// Our own process stands still for longer than a page may be silent: that is no fault of the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_ours_is_no_trouble() {
    let browser = BrowserName::Chromium;
    let rig = Rig::open(vec![spec(browser)], true).await;
    let before = rig.worker(browser);
    let script = "kill -STOP $0; sleep 9; kill -CONT $0";
    let mut shell = tokio::process::Command::new("sh");
    let ended = shell.args(["-c", script, &std::process::id().to_string()]).status().await;
    assert!(ended.expect("a shell").success());
    assert!(rig.settled(&[browser]).await, "requests are answered");
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..5 {
        looks.tick().await;
    }
    let counters = rig.accelerator.telemetry().snapshot().counters;
    let begun: Vec<_> =
        counters.iter().filter(|(name, n)| name.starts_with("recoveries_started") && **n > 0).collect();
    assert_eq!((rig.worker(browser), begun), (before, Vec::new()));
    rig.close().await;
}

/// A browser whose program is not there any more cannot be launched again; another one takes over, with its models.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_browser_takes_over() {
    let lost = BrowserName::Chromium;
    let folder = Kept::new();
    let program = folder.path().join("browser");
    let mut moved = spec(lost);
    let BrowserSource::Installed(installed) = &mut moved.source else { panic!("an installed browser") };
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", installed.binary.display());
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("a script");
    installed.binary.clone_from(&program);
    let rig = Rig::open(vec![moved], false).await;
    std::fs::remove_file(&program).expect("removed");
    let before = rig.worker(lost).expect("a worker");
    let (from, started) = (rig.last_event(), Instant::now());
    let label = rig.accelerator.pages()[0].label().to_owned();
    ChaosFault::KillBrowser.inflict(rig.accelerator.mark(), &label, lost, &rig.proxy).await;
    let (rung, tried, took) = rig.recovered(before, from, started).await.expect("it is replaced");
    println!("{lost} is gone for good: {rung:?} after {:.2} s (tried {tried:?})", took.as_secs_f64());
    assert_eq!(rung, Some(Rung::Switch));
    assert!(tried.contains(&Rung::Restart), "{tried:?}");
    let done = rig.held.model.run(Arc::clone(&rig.held.inputs)).await.expect("the model is there");
    rig.held.right(&done.outputs).expect("right numbers");
    assert!(done.report.browser != lost && done.report.load_ms.is_none(), "{:?}", done.report);
    println!("{} has taken over", done.report.browser);
    let by = done.report.browser;
    assert!(rig.settled(&[by]).await, "requests are answered again");
    rig.close().await;
}

/// What was asked for: the seed and for how long. `cargo xtask e2e --chaos` does.
fn chaos() -> Option<(u64, Duration)> {
    let asked = std::env::var("WEBNN_POOL_CHAOS").ok()?;
    let (seed, minutes) = asked.split_once(':')?;
    let minutes: f64 = minutes.parse().ok()?;
    Some((seed.parse().ok()?, Duration::from_secs_f64(minutes * 60.0)))
}

/// How long the same deeds take where nothing is wrong: the launch of a browser until its page is in the pool, and loading
/// the model that was held.
async fn bare(browser: BrowserName) -> (Duration, Duration) {
    let started = Instant::now();
    let accelerator = Accelerator::builder().launch(spec(browser)).build().await.expect("it starts");
    let launched = started.elapsed();
    let held = Known::open(&accelerator, "minilm", "sentence-0").await;
    let started = Instant::now();
    held.model.preload(tensor::Bindings::new()).await.expect("it loads");
    let loaded = started.elapsed();
    accelerator.shutdown().await;
    (launched, loaded)
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((share * times.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Faults at random, for as long as was asked; the table of how they went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_for_as_long_as_was_asked() {
    let Some((seed, length)) = chaos() else { return };
    // Why a rung did not help is in the log only.
    let _ = tracing_subscriber::fmt()
        .with_env_filter("webnn_pool=info,recovery=debug")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    let engines = [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk];
    for engine in engines {
        let (launch, load) = bare(engine).await;
        println!("{engine}: bare launch {:.2} s, load {:.2} s", launch.as_secs_f64(), load.as_secs_f64());
    }
    let rig = Rig::open(engines.map(spec).into(), true).await;
    let mut dice = Dice(seed);
    let mut times: BTreeMap<(ChaosFault, BrowserName), Vec<Went>> = BTreeMap::new();
    let mut failed: BTreeMap<(ChaosFault, BrowserName), Vec<String>> = BTreeMap::new();
    let started = Instant::now();
    let mut all = Vec::new();
    while started.elapsed() < length {
        // Each pair once in a random order, then again: so every pair gets its share.
        if all.is_empty() {
            all = engines
                .iter()
                .flat_map(|&engine| ChaosFault::ALL.map(|fault| (fault, engine)))
                .filter(|(fault, engine)| fault.possible(*engine))
                .collect();
            dice.shuffle(&mut all);
        }
        let Some((fault, engine)) = all.pop() else { break };
        match rig.suffer(fault, engine).await {
            Ok(went) => times.entry((fault, engine)).or_default().push(went),
            Err(error) => {
                println!("NOT RECOVERED: {error}");
                failed.entry((fault, engine)).or_default().push(error);
            }
        }
        for engine in engines {
            if rig.worker(engine).is_none() && !rig.settled(&[engine]).await {
                rig.accelerator.add(spec(engine)).await.expect("a fresh browser");
                rig.held.on(engine).preload(tensor::Bindings::new()).await.expect("it loads");
            }
        }
        assert!(rig.settled(&engines).await, "all engines are back");
    }
    println!("| fault | engine | times | recovered | p50, s | p99, s | rungs |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let (mut good, mut bad) = (0, 0);
    for fault in ChaosFault::ALL {
        for engine in engines {
            let went = times.get(&(fault, engine)).map_or(&[][..], Vec::as_slice);
            let lost = failed.get(&(fault, engine)).map_or(0, Vec::len);
            if went.len() + lost == 0 {
                continue;
            }
            good += went.len();
            bad += lost;
            let mut seconds: Vec<f64> = went.iter().map(|went| went.first_good.as_secs_f64()).collect();
            let mut rungs: BTreeMap<&str, usize> = BTreeMap::new();
            for went in went {
                assert_eq!((went.fault, went.browser), (fault, engine));
                *rungs.entry(went.rung.map_or("-", Rung::as_str)).or_default() += 1;
            }
            println!(
                "| {} | {engine} | {} | {} | {:.2} | {:.2} | {} |",
                fault.name(),
                went.len() + lost,
                went.len(),
                quantile(&mut seconds, 0.5),
                quantile(&mut seconds, 0.99),
                rungs.iter().map(|(rung, n)| format!("{rung} {n}")).collect::<Vec<_>>().join(", "),
            );
        }
    }
    let counters = rig.accelerator.telemetry().snapshot().counters;
    for (name, count) in counters.iter().filter(|(name, count)| {
        **count > 0 && ["recoveries", "rungs", "workers"].iter().any(|start| name.starts_with(start))
    }) {
        println!("{name}: {count}");
    }
    println!("{good} of {} recovered in {:.1} min", good + bad, started.elapsed().as_secs_f64() / 60.0);
    for rung in rig.accelerator.export_telemetry(webnn_pool::TelemetryOptions::default()).await.iter() {
        println!("{}", serde_json::to_string(&rung.recovery).expect("JSON"));
    }
    rig.close().await;
    assert!(bad * 100 <= good + bad, "{failed:?}");
}
