//! Two shards against the whole model, on the same backend and with one thread each: latency of one request, throughput of
//! four on their way, and the memory that each page takes; asked in turns. `cargo xtask bench sharding` runs it.
//!
//! Flags: `--fixtures DIR` (default: the home's), `--json FILE`, `--turns N` (default 12), `--seconds N` of a turn
//! (default 2).

#[path = "support/stats.rs"]
mod stats;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sharding::Strategy;
use stats::{Failure, flag, quantile, say, spread, write_json};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, Limits};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_pool::{AcceleratedModel, Accelerator, ModelShardingManager, ModelSpec, ShardingOptions};

const MODEL: &str = "minilm";
const CASE: &str = "s128";
/// Requests on their way where throughput is measured.
const IN_FLIGHT: usize = 4;

/// Whoever computes.
#[derive(Clone)]
enum Subject {
    Whole(AcceleratedModel),
    Shards(Arc<ModelShardingManager>),
}

impl Subject {
    async fn run(&self, inputs: &Arc<[NamedTensor]>) -> Result<(), Failure> {
        match self {
            Self::Whole(model) => drop(model.run(Arc::clone(inputs)).await?),
            Self::Shards(manager) => drop(manager.run_inference_sharded(inputs.to_vec(), 2).await?),
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let fixtures = match flag("--fixtures") {
        Some(folder) => PathBuf::from(folder),
        None => provision::Home::locate()?.fixtures(),
    };
    let turns: usize = flag("--turns").map_or(Ok(12), |turns| turns.parse())?;
    let length = Duration::from_secs_f64(flag("--seconds").map_or(Ok(2.0), |seconds| seconds.parse())?);
    let folder = fixtures.join(MODEL);
    let request = std::fs::read(folder.join("cases").join(CASE).join("request.json"))?;
    let inputs: Arc<[NamedTensor]> = InferRequest::from_json(&request, &Limits::default())?.inputs.into();
    let mut rows = Vec::new();
    for browser in [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk] {
        for strategy in [Strategy::Optimal, Strategy::Layer] {
            // New pages each time, because a heap that has grown stays so.
            let (Ok(one), Ok(two)) = (build(&[browser]).await, build(&[browser, browser]).await) else {
                continue;
            };
            let row = compare(&one, &two, &folder, strategy, &inputs, (turns, length)).await?;
            let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
            say(&format!(
                "{browser:12} {strategy:8} 2 shards ÷ whole: latency {:.3}, throughput with {IN_FLIGHT} {:.3}; heaps {} of {:.0} MiB, weights {}",
                number("latency"),
                number("throughput"),
                row["heap_shares"],
                number("whole_heap_mib"),
                row["weight_shares"],
            ));
            rows.push(json!({ "browser": browser, "strategy": strategy, "ratios": row }));
            one.shutdown().await;
            two.shutdown().await;
        }
    }
    if rows.is_empty() {
        return Err("no browser could be launched: run webnn-pool setup".into());
    }
    write_json(&json!({ "bench": "sharding", "model": MODEL, "case": CASE, "turns": turns, "rows": rows }))
}

async fn build(browsers: &[BrowserName]) -> Result<Accelerator, Failure> {
    let builder = Accelerator::builder().browsers(browsers.iter().copied());
    Ok(builder.backends([Backend::Wasm]).threads(1).build().await?)
}

/// What a page's WebAssembly heap has grown to, in MiB: it never shrinks, so this is its peak.
fn heaps(accelerator: &Accelerator) -> Vec<f64> {
    let pages = accelerator.pages();
    let heap = |page: &webnn_bridge::Page| page.memory().heaps.iter().map(|heap| heap.bytes).sum::<u64>();
    pages.iter().map(|page| heap(page) as f64 / f64::from(1 << 20)).collect()
}

async fn compare(
    one: &Accelerator,
    two: &Accelerator,
    folder: &Path,
    strategy: Strategy,
    inputs: &Arc<[NamedTensor]>,
    (turns, length): (usize, Duration),
) -> Result<serde_json::Value, Failure> {
    let mut options = ShardingOptions::new(2, strategy);
    options.sizes = vec![("sequence".to_owned(), 128)];
    options.in_flight = 4;
    let manager = ModelShardingManager::new(two, folder, options);
    let plan = manager.initialize_sharding().await?;
    let shards = Subject::Shards(Arc::new(manager));
    let whole = Subject::Whole(one.accelerate_model(ModelSpec::path(folder)).await?);
    for subject in [&whole, &shards] {
        turn(subject, inputs, 1, length).await?;
    }
    let (mut latency, mut throughput) = (Vec::new(), Vec::new());
    for at in 0..turns {
        for callers in [1, IN_FLIGHT] {
            let mut figures = [0.0; 2];
            // A B B A, so that a machine that becomes slower disturbs both alike.
            let order = if at % 2 == 0 { [0, 1] } else { [1, 0] };
            for subject in order {
                let (p50, rate) = turn([&whole, &shards][subject], inputs, callers, length).await?;
                figures[subject] = if callers == 1 { p50 } else { rate };
            }
            let ratio = figures[1] / figures[0];
            if callers == 1 { latency.push(ratio) } else { throughput.push(ratio) }
        }
    }
    let whole_heap = heaps(one).iter().sum::<f64>();
    let shares = |values: &[f64], of: f64| -> Vec<f64> {
        values.iter().map(|value| (value / of * 100.0).round() / 100.0).collect()
    };
    let weights: Vec<f64> = plan.stages.iter().map(|stage| stage.weight_bytes as f64).collect();
    let row = json!({
        "latency": quantile(&latency, 0.5), "latency_quartiles": spread(&latency),
        "throughput": quantile(&throughput, 0.5), "throughput_quartiles": spread(&throughput),
        "whole_heap_mib": whole_heap,
        "heap_shares": shares(&heaps(two), whole_heap),
        "weight_shares": shares(&weights, plan.weight_bytes as f64),
        "crossing_bytes": plan.transfer_bytes,
    });
    if let Subject::Shards(manager) = &shards {
        manager.shutdown().await;
    }
    Ok(row)
}

/// The median of the times in milliseconds, and runs a second.
async fn turn(
    subject: &Subject,
    inputs: &Arc<[NamedTensor]>,
    callers: usize,
    length: Duration,
) -> Result<(f64, f64), Failure> {
    let started = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let (subject, inputs) = (subject.clone(), Arc::clone(inputs));
        all.spawn(async move {
            let mut took = Vec::new();
            while started.elapsed() < length {
                let asked = Instant::now();
                subject.run(&inputs).await?;
                took.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = all.join_next().await {
        took.extend(caller??);
    }
    Ok((quantile(&took, 0.5), took.len() as f64 / started.elapsed().as_secs_f64()))
}
