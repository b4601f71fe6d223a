//! The pool finds out which browser and backend is best for a size of a model, remembers it, and learns anew when a
//! browser becomes slow.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use pool_core::Completed;
use pool_core::selection::Why;
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

/// The median time of warm runs on every pair, one run of each in turn, so that what else the machine does hits all.
async fn measure(
    model: &AcceleratedModel,
    pairs: &[Pair],
    inputs: &Arc<[NamedTensor]>,
) -> BTreeMap<Pair, f64> {
    let mut times: BTreeMap<Pair, Vec<f64>> = BTreeMap::new();
    for round in 0..12 {
        for &(browser, backend) in pairs {
            let model = model.clone().in_browsers([browser]).on_backends([backend]);
            let report = model.run(Arc::clone(inputs)).await.expect("it gives its result").report;
            if round > 0 {
                times.entry((browser, backend)).or_default().push(report.total_ms - report.queue_ms);
            }
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.into_iter().map(|(pair, times)| (pair, median(times))).collect()
}

/// Arms whose medians differ by less than this share are equally fast, as far as this machine can tell.
const TIE: f64 = 0.10;

#[tokio::test(flavor = "multi_thread")]
async fn each_size_finds_its_best_arm_and_a_new_process_still_knows() {
    let folder = Kept::new();
    let database = folder.path().join("history.db");
    let (accelerator, model) = open(&ENGINES, &database).await;
    let mut best = BTreeMap::new();
    for n in [128, 16] {
        let inputs = tokens(&model, n);
        let mut went = Vec::new();
        let mut candidates = Vec::new();
        for _ in 0..60 {
            let completed = one(&model, &inputs).await;
            let decision = completed.report.decision.as_deref().expect("it was asked for");
            candidates = decision.candidates.iter().map(|c| (c.browser, c.backend)).collect();
            went.push(pair(&completed));
        }
        println!("n={n}: 60 runs {:?}, the last 20 {:?}", shares(&went), shares(&went[40..]));
        // Software adapters take seconds for what the others do in milliseconds: one run shows it.
        let quick: Vec<Pair> = candidates.into_iter().filter(|pair| pair.1 != Backend::WebGpu).collect();
        let times = measure(&model, &quick, &inputs).await;
        let least = times.values().copied().fold(f64::INFINITY, f64::min);
        let fastest: Vec<Pair> =
            times.iter().filter(|(_, ms)| **ms <= least * (1.0 + TIE)).map(|(&pair, _)| pair).collect();
        for (pair, ms) in &times {
            println!(
                "n={n}: {}/{} {ms:.1} ms{}",
                pair.0,
                pair.1,
                if fastest.contains(pair) { " *" } else { "" }
            );
        }
        let right = went[40..].iter().filter(|pair| fastest.contains(pair)).count();
        assert!(right >= 18, "n={n}: {right} of the last 20 went to the fastest, {fastest:?}");
        best.insert(n, fastest);
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

/// Stops the processes of a browser for three quarters of the time, until it is dropped.
struct Slowed(std::process::Child, Vec<String>);

impl Slowed {
    fn new(processes: &[(i32, String)]) -> Self {
        assert!(!processes.is_empty(), "the browser runs");
        let ids: Vec<String> = processes.iter().map(|(id, _)| id.to_string()).collect();
        let script =
            "while :; do kill -STOP \"$@\"; sleep 0.15; kill -CONT \"$@\"; sleep 0.05; done 2>/dev/null";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script, "slow"]).args(&ids);
        Self(shell.spawn().expect("a shell"), ids)
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::process::Command::new("kill").arg("-CONT").args(&self.1).status();
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
    drop(slowed);
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
