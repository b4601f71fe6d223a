//! Pages that run out of memory, browsers that are replaced while they work, and processes that nobody knows.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pool_core::core::SessionPhase;
use pool_core::{Phase, PoolConfig, RunError};
use support::{Backend, BrowserName, Dice, Kept, fixture, marked, of_browser, until};
use telemetry::{Event, Relief};
use tensor::{Bindings, NamedTensor, Tensor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vocab::WorkerId;
use webnn_pool::{
    AcceleratedModel, Accelerator, BridgeConfig, ModelSpec, RecoveryOptions, RunOptions, TelemetryOptions,
    Thresholds,
};

const MIB: u64 = 1 << 20;

/// What the pages of the trials may have: so little that what fits a fresh page does not fit one that has been used.
const LIMIT: u64 = 256 * MIB;

/// A pool in a folder of its own.
struct Rig {
    accelerator: Accelerator,
    temp: Kept,
}

impl Rig {
    async fn open(browsers: &[BrowserName], pool: PoolConfig, options: RecoveryOptions) -> Self {
        let temp = Kept::new();
        let home = provision::Home::locate().expect("a home");
        let mut bridge = BridgeConfig::new(provision::find_runtime(&home).expect("run cargo xtask setup"));
        bridge.temp_dir = temp.path().to_owned();
        let builder = Accelerator::builder().browsers(browsers.iter().copied()).backends([Backend::Wasm]);
        let accelerator = builder.pool(pool).bridge(bridge).recovery(options).build().await;
        Self { accelerator: accelerator.expect("browsers that start"), temp }
    }

    /// A model of the fixtures under a hash of its own.
    async fn variant(&self, contents: &Bytes, number: usize) -> AcceleratedModel {
        let spec = ModelSpec::bytes(variant(contents, number)).name(format!("variant {number}"));
        self.accelerator.accelerate_model(spec).await.expect("a model")
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let all = self.accelerator.telemetry().snapshot().counters;
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn count(&self, name: &str) -> u64 {
        self.counters().get(name).copied().unwrap_or(0)
    }

    /// What was done about memory, in order.
    fn reliefs(&self) -> Vec<Relief> {
        let recent = self.accelerator.telemetry().snapshot().recent;
        let reliefs = recent.iter().filter_map(|recorded| match &*recorded.event {
            Event::MemoryRelieved { relief, .. } => Some(*relief),
            _ => None,
        });
        reliefs.collect()
    }

    fn workers(&self) -> Vec<WorkerId> {
        self.accelerator.stats().core.workers.iter().map(|worker| worker.worker).collect()
    }

    /// The size of the heap of the first page, in bytes.
    fn heap(&self) -> u64 {
        let pages = self.accelerator.pages();
        pages.first().and_then(|page| page.memory().heaps.first().map(|heap| heap.bytes)).unwrap_or(0)
    }

    async fn close(self) {
        let mark = self.accelerator.mark().to_owned();
        self.accelerator.shutdown().await;
        let gone = || marked(&mark).is_empty() && self.temp.names().is_empty();
        until("processes and folders are gone", Duration::from_secs(10), gone).await;
    }
}

fn contents(name: &str) -> Bytes {
    std::fs::read(fixture(name).directory.join("model.onnx")).expect("a model").into()
}

/// The same model with a document string at its end, which changes its hash and nothing that is computed.
fn variant(model: &Bytes, number: usize) -> Bytes {
    let text = format!("variant {number}");
    let mut bytes = Vec::with_capacity(model.len() + text.len() + 2);
    bytes.extend_from_slice(model);
    // Field 6 of a ModelProto, of the kind that begins with its length.
    bytes.extend([6 << 3 | 2, u8::try_from(text.len()).expect("a short text")]);
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

/// A vector of so many MiB.
fn vector(mib: u64) -> Arc<[NamedTensor]> {
    let count = mib * MIB / 4;
    let values = vec![1.0_f32; usize::try_from(count).expect("a size")];
    Arc::new([NamedTensor::new("x", Tensor::from_slice([count], &values).expect("a tensor"))])
}

/// Options that act soon.
fn brisk() -> RecoveryOptions {
    let mut options = RecoveryOptions::default();
    options.memory.interval = Duration::from_millis(200);
    options.memory.settle = Duration::from_secs(2);
    options.memory.pressure.dwell = Duration::from_secs(2);
    options
}

/// How a page fared.
#[derive(Debug)]
struct Trial {
    /// Requests that failed, as a text each.
    failed: Vec<String>,
    refreshed: u64,
    evicted: u64,
    /// Recoveries, and workers that left for another reason than to give memory back.
    lost: u64,
    /// The largest heap that was seen after a request, in bytes.
    largest: u64,
    took: Duration,
}

impl Trial {
    /// Memory became scarce, and nobody noticed.
    fn is_relieved(&self) -> bool {
        self.failed.is_empty() && self.lost == 0 && self.refreshed > 0
    }
}

/// Drives a page to the end of its heap, which the page enforces: vectors that grow from 8 to 64 MiB, and between them
/// models of three kinds that stay. Each vector would fit a fresh page that holds one or two models.
async fn drive(seed: u64, steps: usize, relief: bool) -> Trial {
    let mut options = brisk();
    options.memory.enabled = relief;
    options.memory.wasm_heap_bytes = Some(LIMIT);
    let rig = Rig::open(&[BrowserName::Chromium], PoolConfig::default(), options).await;
    let kinds = ["vit-tiny", "llama-tiny", "resnet-mini"].map(contents);
    let spec = ModelSpec::path(fixture("identity/float32").directory);
    let vectors = rig.accelerator.accelerate_model(spec).await.expect("a model");
    let (mut dice, mut mib, mut failed, mut largest) = (Dice(seed), 8, Vec::new(), 0);
    let started = Instant::now();
    for step in 0..steps {
        if let Some(kind) = kinds.get(dice.below(4)) {
            let loaded = rig.variant(kind, step).await.preload(Bindings::new()).await;
            failed.extend(loaded.err().map(|error| format!("load {step}: {error}")));
        }
        mib = if mib > 60 { 8 } else { mib + 1 + dice.below(4) as u64 };
        match vectors.run(vector(mib)).await {
            Ok(done) => assert_eq!(done.outputs[0].tensor.to_vec::<f32>().expect("floats")[..2], [1.0, 1.0]),
            Err(error) => failed.push(format!("{mib} MiB: {error}")),
        }
        largest = largest.max(rig.heap());
    }
    let counters = rig.counters();
    let sum = |start: &str, except: &str| -> u64 {
        let those = counters.iter().filter(|(name, _)| name.starts_with(start) && *name != except);
        those.map(|(_, count)| count).sum()
    };
    let trial = Trial {
        failed,
        refreshed: rig.count("memory_relieved.page_refreshed"),
        evicted: rig.count("memory_relieved.session_evicted"),
        lost: sum("recoveries_started.", "") + sum("workers_left.", "workers_left.relieved"),
        largest,
        took: started.elapsed(),
    };
    rig.close().await;
    trial
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_relieved_before_its_heap_is_full() {
    let trial = drive(1, 24, true).await;
    println!("{trial:?}");
    assert!(trial.is_relieved(), "{trial:?}");
    assert!(trial.largest <= LIMIT, "{trial:?}");
}

/// What was asked for: how many trials, and how many cycles. `cargo xtask e2e --memory` does.
fn asked() -> Option<(u64, usize)> {
    let asked = std::env::var("WEBNN_POOL_MEMORY").ok()?;
    let (trials, cycles) = asked.split_once(':')?;
    Some((trials.parse().ok()?, cycles.parse().ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_trials_of_relief() {
    let Some((trials, _)) = asked() else { return };
    if trials == 0 {
        return;
    }
    // The same without relief shows that there is something to be relieved of.
    let bare = trials.div_ceil(4);
    let mut died = 0;
    for seed in 1..=bare {
        let trial = drive(seed, 45, false).await;
        died += u64::from(!trial.failed.is_empty());
        println!(
            "without relief, seed {seed}: {} requests failed, heap up to {} MiB",
            trial.failed.len(),
            trial.largest / MIB
        );
    }
    let mut relieved = 0;
    for seed in 1..=trials {
        let trial = drive(seed, 45, true).await;
        relieved += u64::from(trial.is_relieved());
        println!(
            "seed {seed}: relieved {}, {} pages refreshed, {} sessions evicted, heap up to {} MiB, {:.0} s, failed {:?}, lost {}",
            trial.is_relieved(),
            trial.refreshed,
            trial.evicted,
            trial.largest / MIB,
            trial.took.as_secs_f64(),
            trial.failed,
            trial.lost
        );
    }
    println!("relieved {relieved}/{trials}; without relief {died}/{bare} ran out of memory");
    assert!(relieved * 10 >= trials * 9, "{relieved} of {trials}");
    assert!(died > 0, "the page is not driven to its limit");
}

/// What runs had to wait for, and how they ended.
#[derive(Debug, Default)]
struct Ends {
    right: u64,
    /// Requests that waited for a load or were tried again.
    waited: Vec<String>,
    failed: Vec<String>,
    slowest_ms: f64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_replaced_while_it_works() {
    let mut options = brisk();
    options.recycle.config.tasks = Some(150);
    let rig = Rig::open(&[BrowserName::Chromium], PoolConfig::default(), options).await;
    let known = fixture("micro/golden-f32");
    let golden = rig.accelerator.accelerate_model(ModelSpec::path(&known.directory)).await.expect("a model");
    let minilm = ModelSpec::path(fixture("minilm").directory);
    let minilm = rig.accelerator.accelerate_model(minilm).await.expect("a model");
    golden.preload(Bindings::new()).await.expect("it loads");
    minilm.preload(Bindings::new()).await.expect("it loads");
    let first = rig.workers();
    let label = rig.accelerator.pages()[0].label().to_owned();
    let mark = rig.accelerator.mark().to_owned();

    let (stop, load, ends) =
        (CancellationToken::new(), TaskTracker::new(), Arc::new(Mutex::new(Ends::default())));
    let inputs: Arc<[NamedTensor]> = known.inputs("golden").into();
    let known = Arc::new(known);
    for _ in 0..2 {
        let (golden, inputs, known) = (golden.clone(), Arc::clone(&inputs), Arc::clone(&known));
        let (stop, ends) = (stop.clone(), Arc::clone(&ends));
        load.spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_millis(30));
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stop.is_cancelled() {
                turns.tick().await;
                let done = golden.run(Arc::clone(&inputs)).await;
                let mut ends = ends.lock();
                match done {
                    Err(error) => ends.failed.push(error.to_string()),
                    Ok(done) => {
                        let report = &done.report;
                        if report.load_ms.is_some() || report.attempts != 1 {
                            ends.waited.push(format!("{report:?}"));
                        }
                        ends.slowest_ms = ends.slowest_ms.max(report.queue_ms);
                        match known.compare(known.case("golden"), &done.outputs) {
                            Ok(_) => ends.right += 1,
                            Err(wrong) => ends.failed.push(wrong),
                        }
                    }
                }
            }
        });
    }
    let times = if support::full() { 4 } else { 1 };
    let replaced = || rig.count("workers_replaced.tasks") >= times && rig.workers().len() == 1;
    until("it was replaced", Duration::from_secs(60 * times), replaced).await;
    stop.cancel();
    load.close();
    load.wait().await;
    let ends = std::mem::take(&mut *ends.lock());
    println!(
        "{} right while it was replaced {} times, the longest wait {:.1} ms",
        ends.right,
        rig.count("workers_replaced.tasks"),
        ends.slowest_ms
    );
    assert_eq!((ends.failed, ends.waited), (Vec::<String>::new(), Vec::<String>::new()));

    let stats = rig.accelerator.stats();
    let [worker] = &stats.core.workers[..] else { panic!("one is left: {stats:?}") };
    assert!(!first.contains(&worker.worker));
    let has = |model: &AcceleratedModel| {
        let mut sessions = worker.sessions.iter();
        sessions.any(|session| session.model == model.hash() && session.phase == SessionPhase::Ready)
    };
    assert!(has(&golden) && has(&minilm), "{worker:?}");
    assert_eq!(rig.accelerator.pages().len(), 1);
    let gone = || of_browser(&mark, &label).is_empty();
    until("the first browser is gone", Duration::from_secs(20), gone).await;
    assert_eq!(rig.count("workers_left.recycled"), rig.count("workers_replaced.tasks"));
    rig.close().await;
}

/// A machine that counts as full whatever it has: everything is given up in its order, but not the last browser; a model
/// that nobody has loaded waits for memory, and its request says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_machine_costs_sessions_pages_browsers_but_not_the_last() {
    let mut options = brisk();
    let limits = Thresholds { elevated: 1e-6, high: 1e-6, critical: 1e-6 };
    let rig = Rig::open(&[BrowserName::Chromium, BrowserName::Firefox], PoolConfig::default(), {
        options.settings.pressure.shares = limits;
        options
    })
    .await;
    let fewer = || rig.reliefs().contains(&Relief::PoolShrunk);
    until("a browser is ended", Duration::from_secs(90), fewer).await;
    until("one is left", Duration::from_secs(20), || rig.workers().len() == 1).await;
    let reliefs = rig.reliefs();
    println!("{reliefs:?}");
    let first = |relief: Relief| reliefs.iter().position(|one| *one == relief);
    let order = [Relief::LoadsRefused, Relief::PageRefreshed, Relief::BrowserRecycled, Relief::PoolShrunk];
    let places: Vec<_> = order.into_iter().map(first).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{reliefs:?}");
    assert_eq!(rig.accelerator.pages().len(), 1);

    let golden = ModelSpec::path(fixture("micro/golden-f32").directory);
    let golden = rig.accelerator.accelerate_model(golden).await.expect("a model");
    let mut soon = RunOptions::default();
    soon.timeout = Some(Duration::from_secs(3));
    let inputs = fixture("micro/golden-f32").inputs("golden");
    let end = golden.run_with(inputs, soon).await.map(|done| done.report);
    // A refresh or restart takes the worker away for a moment, and the request then waits for that.
    let waited = |phase: &Phase| matches!(phase, Phase::Memory | Phase::Queued);
    assert!(matches!(&end, Err(RunError::DeadlineExceeded { phase, .. }) if waited(phase)), "{end:?}");
    // It may be loaded anew itself, or launched again, but it comes back.
    until("the last one is there", Duration::from_secs(60), || rig.workers().len() == 1).await;
    assert_eq!(rig.count("memory_relieved.pool_shrunk"), 1, "the last one stays");
    assert_eq!(rig.accelerator.pages().len(), 1);
    rig.close().await;
}

/// A process that carries our mark and belongs to no browser that we know is ended; the browser is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_nobody_knows_is_ended() {
    let mut options = brisk();
    options.reconcile.interval = Duration::from_millis(500);
    options.reconcile.grace = Duration::from_secs(1);
    let rig = Rig::open(&[BrowserName::Chromium], PoolConfig::default(), options).await;
    let (before, mark) = (rig.workers(), rig.accelerator.mark().to_owned());
    let mut stray = std::process::Command::new("sleep");
    stray.arg("600").env(webnn_bridge::MARK, &mark).env("WEBNN_POOL_BROWSER", "chromium-99").process_group(0);
    let mut stray = stray.spawn().expect("a process");
    let mut ended = None;
    until("it is ended", Duration::from_secs(15), || {
        ended = stray.try_wait().expect("its state");
        ended.is_some()
    })
    .await;
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.expect("it has ended"));
    assert_eq!(signal, Some(9));
    assert_eq!(rig.count("repaired.orphan_process"), 1);
    assert_eq!(rig.workers(), before, "the browser stays");
    let golden = fixture("micro/golden-f32");
    let model = rig.accelerator.accelerate_model(ModelSpec::path(&golden.directory)).await.expect("a model");
    let done = model.run(golden.inputs("golden")).await.expect("it runs");
    golden.compare(golden.case("golden"), &done.outputs).expect("right numbers");
    rig.close().await;
}

/// What many loads and unloads do to a browser's memory.
#[derive(Debug)]
struct Growth {
    /// The mean of the first and of the last tenth of the readings, in MiB.
    first: f64,
    last: f64,
    /// In MiB for each 1 000 cycles, with the standard error of that.
    slope: f64,
    error: f64,
    replaced: u64,
    took: Duration,
}

/// Two models that take turns on a page that may hold one: each run is a load and an unload.
async fn cycles(count: usize, recycle: Option<u64>) -> Growth {
    let mut options = brisk();
    options.memory.interval = Duration::from_millis(500);
    options.recycle.enabled = recycle.is_some();
    options.recycle.config.tasks = recycle;
    let mut pool = PoolConfig::default();
    pool.sessions_per_worker = 1;
    let rig = Rig::open(&[BrowserName::Chromium], pool, options).await;
    let resnet = contents("resnet-mini");
    let models = [rig.variant(&resnet, 0).await, rig.variant(&resnet, 1).await];
    let known = fixture("resnet-mini");
    let inputs: Arc<[NamedTensor]> = known.inputs(&known.cases[0].name).into();
    let (started, mut readings) = (Instant::now(), Vec::new());
    for cycle in 0..count {
        let done = models[cycle % 2].run(Arc::clone(&inputs)).await.expect("it runs");
        if cycle % 20 == 0 {
            known.compare(&known.cases[0], &done.outputs).expect("right numbers");
            let told = rig.accelerator.export_telemetry(TelemetryOptions::default()).await.expect("figures");
            let resident: u64 = told
                .recovery
                .iter()
                .flat_map(|report| &report.memory)
                .filter(|memory| memory.worker == done.report.worker)
                .map(|memory| memory.resident_bytes)
                .sum();
            if resident > 0 {
                readings.push((cycle as f64 / 1e3, resident as f64 / MIB as f64));
            }
        }
    }
    let took = started.elapsed();
    let loads = rig.count("sessions_loaded");
    assert!(loads >= count as u64, "{loads} loads in {count} cycles");
    let slope = recovery::slope(readings.iter().copied()).expect("enough readings");
    let tenth = readings.len().div_ceil(10);
    let mean = |some: &[(f64, f64)]| some.iter().map(|(_, mib)| mib).sum::<f64>() / some.len() as f64;
    let growth = Growth {
        first: mean(&readings[..tenth]),
        last: mean(&readings[readings.len() - tenth..]),
        slope: slope.per_unit,
        error: slope.error,
        replaced: rig.count("workers_replaced.tasks"),
        took,
    };
    rig.close().await;
    growth
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_cycles_of_loads() {
    let Some((_, count)) = asked() else { return };
    if count == 0 {
        return;
    }
    for recycle in [None, Some(count as u64 / 8)] {
        let growth = cycles(count, recycle).await;
        println!(
            "{count} loads and unloads, replaced after {recycle:?} runs ({} times): {:.0} to {:.0} MiB, {:+.1} ± {:.1} MiB per 1 000, {:.0} s",
            growth.replaced,
            growth.first,
            growth.last,
            growth.slope,
            growth.error,
            growth.took.as_secs_f64()
        );
    }
}
