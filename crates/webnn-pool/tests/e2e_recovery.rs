//! Browsers are killed, stopped, cut off and driven mad while requests run; the pool revives them, with their models, and
//! nothing is lost.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use support::{
    Backend, BareBench, BrowserName, ChaosFault, Dice, ENGINES, Kept, PAIRS, Rig, Run, Went, full, rss_mib,
    spec,
};
use tokio::time::Instant;
use vocab::Rung;
use webnn_pool::BrowserSource;

/// How many faults there are to one measurement of the bare deeds.
const BARE: usize = 3;
/// What the sample is drawn with.
const SEED: u64 = 7;

/// The faults that an engine can be given while others are given theirs, in an order that the seed decides. In the short
/// form each is given to two of the four engines.
fn sample(dice: &mut Dice, browser: BrowserName, backend: Backend) -> Vec<ChaosFault> {
    let fits = |fault: &ChaosFault| fault.usual() && fault.hits_one() && fault.possible(browser, backend);
    let mut faults: Vec<ChaosFault> = ChaosFault::ALL.into_iter().filter(fits).collect();
    if !full() {
        let half = ENGINES.iter().position(|&engine| engine == browser).unwrap_or_default() % 2;
        let mut at = 0;
        faults.retain(|_| {
            at += 1;
            at % 2 == half
        });
    }
    dice.shuffle(&mut faults);
    faults
}

/// One fault after the other.
async fn suffers(rig: &Rig, browser: BrowserName, faults: Vec<ChaosFault>) {
    for fault in faults {
        let went = rig.suffer(fault, browser, None).await;
        assert_eq!(went.failed, None, "{} of {browser}", fault.name());
        assert!(rig.settled(&[browser]).await, "requests are answered again");
    }
}

/// Each fault on two engines, or on all in the long form. The engines have theirs at the same time, because much of it is waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_comes_back_from_every_fault() {
    let rig = Rig::open(ENGINES.map(|engine| spec(engine, Backend::Wasm)).into(), Backend::Wasm, true).await;
    let mut dice = Dice(SEED);
    let lanes = ENGINES.map(|engine| suffers(&rig, engine, sample(&mut dice, engine, Backend::Wasm)));
    join_all(lanes).await;
    let export = rig.accelerator.export_telemetry(webnn_pool::TelemetryOptions::default()).await;
    let report = export.expect("an export").recovery.expect("recovery is on");
    assert!(report.going == 0 && !report.learned.is_empty(), "{report:?}");
    rig.close().await;
}

/// The page starts the engine anew; nobody else has to do anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_graphics_device_comes_back() {
    let browser = BrowserName::Chromium;
    let rig = Rig::open(vec![spec(browser, Backend::WebGpu)], Backend::WebGpu, true).await;
    suffers(&rig, browser, vec![ChaosFault::LoseDevice]).await;
    rig.close().await;
}

/// Our own process stands still for longer than a page may be silent: that is no fault of the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_of_ours_is_no_trouble() {
    let browser = BrowserName::Chromium;
    let rig = Rig::open(vec![spec(browser, Backend::Wasm)], Backend::Wasm, true).await;
    suffers(&rig, browser, vec![ChaosFault::Pause]).await;
    let ends = rig.close().await;
    assert_eq!(ends.failed(), 0, "{:?}", ends.errors);
}

/// A browser whose program is not there any more cannot be launched again; another one takes over, with its models.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_browser_takes_over() {
    let lost = BrowserName::Chromium;
    let folder = Kept::new();
    let program = folder.path().join("browser");
    let mut moved = spec(lost, Backend::Wasm);
    let BrowserSource::Installed(installed) = &mut moved.source else { panic!("an installed browser") };
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", installed.binary.display());
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("a script");
    installed.binary.clone_from(&program);
    let rig = Rig::open(vec![moved], Backend::Wasm, false).await;
    std::fs::remove_file(&program).expect("removed");
    let before = rig.worker(lost).expect("a worker");
    let (from, started) = (rig.last_event(), Instant::now());
    let label = rig.label(lost).expect("a page");
    let hit = ChaosFault::KillBrowser.inflict(rig.accelerator.mark(), &label, lost, &rig.proxy).await;
    hit.expect("a browser to kill");
    let (rung, tried) = rig.recovery_of(lost, before, from).await.expect("it is replaced");
    println!("{lost} is gone for good: {rung:?} after {:.2?} (tried {tried:?})", started.elapsed());
    assert_eq!(rung, Some(Rung::Switch));
    assert!(tried.contains(&Rung::Restart.to_string()), "{tried:?}");
    let done = rig.held.model.run(Arc::clone(&rig.held.inputs)).await.expect("the model is there");
    rig.held.right(&done.outputs).expect("right numbers");
    assert!(done.report.browser != lost && done.report.load_ms.is_none(), "{:?}", done.report);
    println!("{} has taken over", done.report.browser);
    let by = done.report.browser;
    assert!(rig.settled(&[by]).await, "requests are answered again");
    rig.close().await;
}

/// What was asked for. `cargo xtask e2e --chaos` does.
struct Asked {
    seed: u64,
    length: Duration,
    faults: Vec<ChaosFault>,
    browsers: Vec<BrowserName>,
}

fn asked() -> Option<Asked> {
    let asked = std::env::var("WEBNN_POOL_CHAOS").ok()?;
    let (seed, minutes) = asked.split_once(':').expect("SEED:MINUTES");
    let minutes: f64 = minutes.parse().expect("minutes");
    let list = |name: &str| {
        let text = std::env::var(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let faults = list("WEBNN_POOL_CHAOS_FAULT");
    let known: Vec<String> = ChaosFault::ALL.iter().map(|fault| fault.slug()).collect();
    assert!(faults.iter().all(|fault| known.contains(fault)), "the faults are: {}", known.join(", "));
    let wanted = |fault: &ChaosFault| match faults.is_empty() {
        true => fault.usual(),
        false => faults.contains(&fault.slug()),
    };
    let browsers = list("WEBNN_POOL_CHAOS_BROWSER");
    let engine = |name: &String| name.parse().unwrap_or_else(|error| panic!("{name}: {error:?}"));
    Some(Asked {
        seed: seed.parse().expect("a seed"),
        length: Duration::from_secs_f64(minutes * 60.0),
        faults: ChaosFault::ALL.into_iter().filter(wanted).collect(),
        browsers: if browsers.is_empty() { ENGINES.to_vec() } else { browsers.iter().map(engine).collect() },
    })
}

/// Faults at random on all engines of one backend, for so long.
async fn part(asked: &Asked, backend: Backend, length: Duration, dice: &mut Dice, run: &mut Run) {
    let engines: Vec<BrowserName> =
        asked.browsers.iter().copied().filter(|engine| PAIRS.contains(&(*engine, backend))).collect();
    let pairs: Vec<(ChaosFault, BrowserName)> = engines
        .iter()
        .flat_map(|&engine| asked.faults.iter().map(move |&fault| (fault, engine)))
        .filter(|(fault, engine)| fault.possible(*engine, backend))
        .collect();
    if pairs.is_empty() {
        return;
    }
    let rig = Rig::open(engines.iter().map(|&engine| spec(engine, backend)).collect(), backend, true).await;
    let bench = BareBench::open(&rig.golden, &rig.held, backend).await;
    assert!(rig.settled(&engines).await, "all engines answer");
    let started = Instant::now();
    let (mut left, mut half) = (Vec::new(), false);
    run.rss_mib.push(rss_mib());
    while started.elapsed() < length {
        // Each pair once in a random order, then again: so every pair gets its share.
        if left.is_empty() {
            left.clone_from(&pairs);
            dice.shuffle(&mut left);
        }
        let Some((fault, engine)) = left.pop() else { break };
        // It takes longer than most recoveries.
        let bare = match fault {
            ChaosFault::Pause => None,
            _ if !run.went.len().is_multiple_of(BARE) => None,
            _ => rig
                .without(engine, bench.measure(spec(engine, backend)))
                .await
                .map_err(|error| println!("{error}"))
                .ok(),
        };
        let went: Went = rig.suffer(fault, engine, bare).await;
        run.went.push(went);
        for &engine in &engines {
            if rig.worker(engine).is_none() && !rig.settled(&[engine]).await {
                println!("a fresh {engine} takes the place of one that was given up");
                rig.accelerator.add(spec(engine, backend)).await.expect("a fresh browser");
                rig.preload(engine).await;
            }
        }
        assert!(rig.settled(&engines).await && rig.rests().await, "all engines are back");
        if !half && started.elapsed() > length / 2 {
            half = true;
            run.rss_mib.push(rss_mib());
        }
    }
    run.rss_mib.push(rss_mib());
    run.minutes += started.elapsed().as_secs_f64() / 60.0;
    let export = rig.accelerator.export_telemetry(webnn_pool::TelemetryOptions::default()).await;
    println!("{}", serde_json::to_string(&export.expect("an export").recovery).expect("JSON"));
    bench.close().await;
    let ends = rig.close().await;
    run.requests(&ends);
}

/// Faults at random, for as long as was asked; the table of how they went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_for_as_long_as_was_asked() {
    let Some(asked) = asked() else { return };
    // Why a rung did not help is in the log only.
    let _ = tracing_subscriber::fmt()
        .with_env_filter("webnn_pool=info,webnn_bridge=info,recovery=debug")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    let mut run = Run { seeds: vec![asked.seed], ..Run::default() };
    let mut dice = Dice(asked.seed);
    // Software that stands in for a graphics device would slow all others down, so its faults have a time of their own.
    let graphics = |fault: &ChaosFault| fault.possible(BrowserName::Chromium, Backend::WebGpu);
    let share = match (asked.faults.iter().any(graphics), asked.faults.iter().all(graphics)) {
        (_, true) => 1.0,
        (true, false) => 0.12,
        (false, _) => 0.0,
    };
    part(&asked, Backend::Wasm, asked.length.mul_f64(1.0 - share), &mut dice, &mut run).await;
    part(&asked, Backend::WebGpu, asked.length.mul_f64(share), &mut dice, &mut run).await;
    run.print();
    let sum = run.keep();
    if sum.seeds.len() > 1 {
        println!(
            "
All runs that are kept there:"
        );
        sum.print();
    }
    let (good, all) = run.recovered();
    let failed: Vec<_> = run.went.iter().filter(|went| went.failed.is_some()).collect();
    assert!(good * 100 >= all * 99, "{failed:?}");
    // What was altered on purpose got through before anybody could know.
    assert!((run.right + run.lied) * 100 >= run.sent * 99, "{:?}", run.errors);
}
