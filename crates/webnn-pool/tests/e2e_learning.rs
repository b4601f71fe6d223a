//! The pool finds out which browser and backend is best for a size of a model, remembers it, and learns anew when a
//! browser becomes slow.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pool_core::Completed;
use pool_core::selection::Why;
use rustix::process::{Pid, Signal, kill_process};
use support::{Backend, BrowserName, ENGINES, Kept, fixture};
use tensor::{NamedTensor, Tensor};
use webnn_pool::{AcceleratedModel, Accelerator, Location, ModelSpec, RunOptions, Source};

type Pair = (BrowserName, Backend);

async fn open(browsers: &[BrowserName], database: &Path) -> (Accelerator, AcceleratedModel) {
    let builder = Accelerator::builder().browsers(browsers.iter().copied());
    let accelerator =
        builder.history(Location::Sqlite(database.into())).build().await.expect("browsers that start");
    let spec = ModelSpec::path(&fixture("minilm").directory);
    let model = accelerator.accelerate_model(spec).await.expect("a model");
    (accelerator, model)
}

/// Inputs of MiniLM with this many tokens.
fn tokens(model: &AcceleratedModel, n: u64) -> Arc<[NamedTensor]> {
    let ids: Vec<i64> = (0..n).map(|i| 1_000 + i as i64 * 37 % 20_000).collect();
    let input = |name: &Arc<str>| {
        let values = match &**name {
            "input_ids" => ids.clone(),
            "attention_mask" => vec![1; ids.len()],
            _ => vec![0; ids.len()],
        };
        NamedTensor::new(name.clone(), Tensor::from_slice([1, n], &values).expect("they fit"))
    };
    model.signature().inputs.iter().map(|spec| input(&spec.name)).collect()
}

async fn one(model: &AcceleratedModel, inputs: &Arc<[NamedTensor]>) -> Completed {
    let mut options = RunOptions::default();
    options.explain = true;
    model.run_with(Arc::clone(inputs), options).await.expect("it gives its result")
}

fn pair(completed: &Completed) -> Pair {
    (completed.report.browser, completed.report.backend)
}

fn shares(of: &[Pair]) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for (browser, backend) in of {
        *shares.entry(format!("{browser}/{backend}")).or_default() += 1;
    }
    shares
}

/// How often each pair has its turn, and how many runs in a row that is. The pool sends one run after the other to the
/// pair that leads, so that is what is measured; turns, so that what else the machine does hits all.
const TURNS: usize = 3;
const RUNS: usize = 8;
/// How many runs of a session warm it up.
const WARM_UP: usize = 3;
/// Arms whose medians differ by less than this share are equally fast, as far as this machine can tell.
const TIE: f64 = 0.10;

/// The times of runs on every pair. The first two of each turn warm up.
async fn measure(
    model: &AcceleratedModel,
    pairs: &[Pair],
    inputs: &Arc<[NamedTensor]>,
    turns: usize,
    times: &mut BTreeMap<Pair, Vec<f64>>,
) {
    for _ in 0..turns {
        for &(browser, backend) in pairs {
            let model = model.clone().in_browsers([browser]).on_backends([backend]);
            for run in 0..RUNS {
                let report = model.run(Arc::clone(inputs)).await.expect("it gives its result").report;
                if run >= 2 {
                    times.entry((browser, backend)).or_default().push(report.total_ms - report.queue_ms);
                }
            }
        }
    }
}

fn quantile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(share * (sorted.len() - 1) as f64).round() as usize]
}

/// The pairs that are the fastest: by the median, or so that the middle halves of the times overlap, and nobody can
/// tell them apart. Prints all.
fn fastest(n: u64, times: &BTreeMap<Pair, Vec<f64>>) -> Vec<Pair> {
    let medians = times.iter().map(|(pair, times)| (pair, quantile(times, 0.5)));
    let (first, least) = medians.min_by(|a, b| a.1.total_cmp(&b.1)).expect("pairs");
    let upper = quantile(&times[first], 0.75);
    let mut found = Vec::new();
    for (pair, times) in times {
        let [lower, median, upmost] = [0.25, 0.5, 0.75].map(|share| quantile(times, share));
        let equal = median <= least * (1.0 + TIE) || lower <= upper;
        println!(
            "n={n}: {}/{} {median:.1} ms ({lower:.1} to {upmost:.1}){}",
            pair.0,
            pair.1,
            if equal { " *" } else { "" }
        );
        if equal {
            found.push(*pair);
        }
    }
    found
}

/// The same model in a file with other contents: what is observed of it is nothing that the pool knows of the model.
fn double(folder: &Path) -> ModelSpec {
    let mut contents = std::fs::read(folder.join("model.onnx")).expect("a model");
    // Field 6 of a model is its documentation; one that is given twice is the later one.
    contents.extend_from_slice(&[6 << 3 | 2, 6]);
    contents.extend_from_slice(b"double");
    ModelSpec::bytes(contents).name("double")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_size_finds_its_best_arm_and_a_new_process_still_knows() {
    let folder = Kept::new();
    let database = folder.path().join("history.db");
    let (accelerator, model) = open(&ENGINES, &database).await;
    let double = accelerator.accelerate_model(double(&fixture("minilm").directory)).await.expect("a model");
    let mut pairs = Vec::new();
    for page in accelerator.pages() {
        let info = page.worker_info();
        // Software adapters take seconds for what the others do in milliseconds: one run shows it.
        let quick = info.backends.iter().map(|backend| backend.backend).filter(|&b| b != Backend::WebGpu);
        pairs.extend(quick.map(|backend| (info.browser, backend)));
    }
    // Loading keeps a browser's compilers busy for seconds, on all cores: nothing that is measured beside it is worth
    // much. So everything is loaded before, and the double is measured first without taking note of it.
    let mut before: BTreeMap<u64, BTreeMap<Pair, Vec<f64>>> = BTreeMap::new();
    for n in [128, 16] {
        let dims = model.signature().bind(&tokens(&model, n)).expect("sizes");
        for &(browser, backend) in &pairs {
            let one = model.clone().in_browsers([browser]).on_backends([backend]);
            one.preload(dims.clone()).await.expect("it loads");
            // Engines go on compiling during a session's first runs, which take up to twice as long as the later ones.
            for _ in 0..WARM_UP {
                one.run(tokens(&model, n)).await.expect("it gives its result");
            }
        }
        measure(&double, &pairs, &tokens(&double, n), 1, &mut BTreeMap::new()).await;
    }
    for n in [128, 16] {
        measure(&double, &pairs, &tokens(&double, n), TURNS, before.entry(n).or_default()).await;
    }
    let mut went: BTreeMap<u64, Vec<Pair>> = BTreeMap::new();
    for n in [128, 16] {
        let inputs = tokens(&model, n);
        let mut table = String::new();
        for _ in 0..60 {
            let completed = one(&model, &inputs).await;
            let decision = completed.report.decision.as_deref().expect("it was asked for");
            table = String::new();
            for c in decision.candidates.iter().filter(|c| c.backend != Backend::WebGpu) {
                let known = format!("{} samples, {:.1?} ms", c.samples, c.latency_ms);
                table += &format!("n={n}: {}/{} score {:.3}, {known}\n", c.browser, c.backend, c.score);
            }
            went.entry(n).or_default().push(pair(&completed));
        }
        println!("{table}n={n}: 60 runs {:?}, the last 20 {:?}", shares(&went[&n]), shares(&went[&n][40..]));
    }
    // What was the fastest when the pool began to learn may not be it when it is done: the machine does other things too, for
    // minutes. A pair that was among the fastest either time is a good one.
    let mut best = BTreeMap::new();
    for n in [128, 16] {
        let mut after = BTreeMap::new();
        measure(&double, &pairs, &tokens(&double, n), TURNS, &mut after).await;
        let found: BTreeSet<Pair> =
            [&before[&n], &after].into_iter().flat_map(|times| fastest(n, times)).collect();
        best.insert(n, found);
    }
    for (n, fastest) in &best {
        let right = went[n][40..].iter().filter(|pair| fastest.contains(pair)).count();
        println!("n={n}: {right} of the last 20 went to the fastest");
        assert!(right >= 18, "n={n}: {right} of the last 20 went to the fastest, {fastest:?}");
    }
    let analysis = accelerator.analyze_performance_trends().await.expect("an analysis");
    let affinity = &analysis.model_type_affinities["text_embedding"];
    assert_eq!(affinity.source, Source::History);
    assert!(affinity.samples >= 120, "{affinity:?}");
    accelerator.shutdown().await;

    let (accelerator, model) = open(&ENGINES, &database).await;
    for (n, fastest) in &best {
        let completed = one(&model, &tokens(&model, *n)).await;
        println!("n={n}: after a restart {}/{}", completed.report.browser, completed.report.backend);
        let decision = completed.report.decision.as_deref().expect("it was asked for");
        assert!(decision.candidates[0].samples >= 10 && decision.candidates[0].source == Source::History);
        if !decision.why.is_exploration() && decision.why != Why::Sooner {
            assert!(fastest.contains(&pair(&completed)), "n={n}: {decision:?}");
        }
    }
    accelerator.shutdown().await;
}

/// Stops the processes of a browser for three quarters of the time, until it is dropped. It starts no program for that: on
/// a busy machine that would take longer than the browser is to run.
struct Slowed {
    task: tokio::task::JoinHandle<()>,
    ids: Vec<Pid>,
}

impl Slowed {
    fn new(processes: &[(i32, String)]) -> Self {
        let ids: Vec<Pid> = processes.iter().filter_map(|(id, _)| Pid::from_raw(*id)).collect();
        assert!(!ids.is_empty(), "the browser runs");
        let slowed = ids.clone();
        let task = tokio::spawn(async move {
            loop {
                signal(&slowed, Signal::STOP);
                tokio::time::sleep(Duration::from_millis(150)).await;
                signal(&slowed, Signal::CONT);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { task, ids }
    }

    /// Lets them run again.
    async fn end(mut self) {
        self.task.abort();
        // Whatever it was about to do is done.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.task.abort();
        signal(&self.ids, Signal::CONT);
    }
}

fn signal(ids: &[Pid], signal: Signal) {
    for &id in ids {
        // One of them may have ended by itself.
        let _ = kill_process(id, signal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_slowed_loses_its_lead_and_gets_it_back() {
    let folder = Kept::new();
    let browsers = [BrowserName::ChromiumHeadlessShell, BrowserName::Firefox];
    let (accelerator, model) = open(&browsers, &folder.path().join("history.db")).await;
    let model = model.in_browsers(browsers);
    let inputs = tokens(&model, 128);
    let mut led = (browsers[0], Backend::Wasm);
    let leads = |completed: &Completed| {
        let decision = completed.report.decision.as_deref().expect("it was asked for");
        (decision.candidates[0].browser, decision.candidates[0].backend)
    };
    for _ in 0..50 {
        led = leads(&one(&model, &inputs).await);
    }
    let pages = accelerator.pages();
    let page = pages.iter().find(|page| page.worker_info().browser == led.0).expect("its page");
    let slowed = Slowed::new(&support::of_browser(accelerator.mark(), page.label()));
    let mut slow = Vec::new();
    let mut lost = None;
    for n in 0..45 {
        let completed = one(&model, &inputs).await;
        slow.push(completed.report.total_ms - completed.report.queue_ms);
        if leads(&completed).0 != led.0 {
            lost = lost.or(Some(n));
        }
    }
    slowed.end().await;
    let mut back = None;
    let mut after = Vec::new();
    for n in 0..70 {
        let completed = one(&model, &inputs).await;
        if leads(&completed) == led {
            back = back.or(Some(n));
        }
        after.push(pair(&completed));
    }
    println!("{}/{} lost its lead after {lost:?} slow runs and had it back after {back:?}", led.0, led.1);
    println!(
        "its first slow runs took {:.0?} ms; the last 10 went to {:?}",
        &slow[..3],
        shares(&after[60..])
    );
    accelerator.shutdown().await;
    assert!(lost.is_some_and(|lost| lost < 30), "it kept its lead while it was slow");
    assert!(back.is_some_and(|back| back < 60), "it did not get its lead back");
}
