//! What the whole recovery layer costs where nothing is wrong: the same browser twice, one of them supervised, guarded by
//! circuit breakers and checked, the other one not; asked in turns. `cargo xtask bench recovery` runs it.
//!
//! Flags: `--fixtures DIR` (default: the home's), `--json FILE`, `--turns N` (default 20), `--seconds N` of a turn
//! (default 2).

#[path = "support/stats.rs"]
mod stats;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stats::{Failure, flag, quantile, say, spread, write_json};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, Limits};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_pool::{AcceleratedModel, Accelerator, ModelSpec, PoolConfig, RecoveryOptions};

/// Callers that ask at once: the page has one run while the next one waits there.
const CALLERS: usize = 2;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let fixtures = match flag("--fixtures") {
        Some(folder) => PathBuf::from(folder),
        None => provision::Home::locate()?.fixtures(),
    };
    let turns: usize = flag("--turns").map_or(Ok(20), |turns| turns.parse())?;
    let length = Duration::from_secs_f64(flag("--seconds").map_or(Ok(2.0), |seconds| seconds.parse())?);
    let mut rows = Vec::new();
    for browser in [BrowserName::Chromium, BrowserName::Firefox, BrowserName::WebKitGtk] {
        let (Ok(on), Ok(off)) = (build(browser, true).await, build(browser, false).await) else { continue };
        for (model, case) in [("minilm", "s16"), ("identity/float32", "values")] {
            let row = compare([&on, &off], &fixtures.join(model), case, turns, length).await?;
            say(&format!(
                "{browser:12} {model:18} on ÷ off: throughput {:.3}, p50 {:.3}, p99 {:.3}   ({:.0} runs/s on)",
                row["throughput"].as_f64().unwrap_or(f64::NAN),
                row["p50"].as_f64().unwrap_or(f64::NAN),
                row["p99"].as_f64().unwrap_or(f64::NAN),
                row["runs_per_second"].as_f64().unwrap_or(f64::NAN),
            ));
            rows.push(json!({ "browser": browser, "model": model, "ratios": row }));
        }
        on.shutdown().await;
        off.shutdown().await;
    }
    if rows.is_empty() {
        return Err("no browser could be launched: run webnn-pool setup".into());
    }
    write_json(&json!({ "bench": "recovery", "turns": turns, "rows": rows }))
}

async fn build(browser: BrowserName, on: bool) -> Result<Accelerator, Failure> {
    let mut recovery = RecoveryOptions::default();
    recovery.enabled = on;
    let mut pool = PoolConfig::default();
    pool.breakers.enabled = on;
    pool.checks.enabled = on;
    let builder = Accelerator::builder().browser(browser).backends([Backend::Wasm]);
    Ok(builder.recovery(recovery).pool(pool).build().await?)
}

/// One turn's figures.
struct Turn {
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// Both in turns, A B B A, so that a machine that becomes slower disturbs both alike.
async fn compare(
    both: [&Accelerator; 2],
    folder: &Path,
    case: &str,
    turns: usize,
    length: Duration,
) -> Result<Value, Failure> {
    let json = std::fs::read(folder.join("cases").join(case).join("request.json"))?;
    let inputs: Arc<[NamedTensor]> = InferRequest::from_json(&json, &Limits::default())?.inputs.into();
    let mut models = Vec::new();
    for accelerator in both {
        let model = accelerator.accelerate_model(ModelSpec::path(folder)).await?;
        turn(&model, &inputs, length).await?;
        models.push(model);
    }
    let (mut throughput, mut p50, mut p99, mut speed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for at in 0..turns {
        let (on, off) = if at % 2 == 0 {
            let on = turn(&models[0], &inputs, length).await?;
            (on, turn(&models[1], &inputs, length).await?)
        } else {
            let off = turn(&models[1], &inputs, length).await?;
            (turn(&models[0], &inputs, length).await?, off)
        };
        throughput.push(on.per_second / off.per_second);
        p50.push(on.p50 / off.p50);
        p99.push(on.p99 / off.p99);
        speed.push(on.per_second);
    }
    Ok(json!({
        "throughput": quantile(&throughput, 0.5), "throughput_quartiles": spread(&throughput),
        "p50": quantile(&p50, 0.5), "p50_quartiles": spread(&p50),
        "p99": quantile(&p99, 0.5), "p99_quartiles": spread(&p99),
        "runs_per_second": quantile(&speed, 0.5),
    }))
}

async fn turn(
    model: &AcceleratedModel,
    inputs: &Arc<[NamedTensor]>,
    length: Duration,
) -> Result<Turn, Failure> {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (model, inputs) = (model.clone(), Arc::clone(inputs));
        callers.spawn(async move {
            let mut took = Vec::new();
            while started.elapsed() < length {
                let asked = Instant::now();
                model.run(Arc::clone(&inputs)).await?;
                took.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, webnn_pool::RunError>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = callers.join_next().await {
        took.extend(caller??);
    }
    let per_second = took.len() as f64 / started.elapsed().as_secs_f64();
    Ok(Turn { per_second, p50: quantile(&took, 0.5), p99: quantile(&took, 0.99) })
}
