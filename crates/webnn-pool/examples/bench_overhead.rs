//! What the way to the browser costs: the caller's time for a run against the page's own time for it, and the time that
//! a run of next to nothing takes. `cargo xtask bench overhead` runs it.
//!
//! Flags: `--fixtures DIR` (default: the home's), `--json FILE`, `--runs N` (default 60), `--all` to include software
//! adapters, which take seconds a run.

#[path = "support/stats.rs"]
mod stats;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stats::{Failure, flag, quantile, say, spread, write_json};
use tensor::oip::{InferRequest, Limits};
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_pool::{AcceleratedModel, Accelerator, Admission, ModelSpec};

/// Runs before anything is measured: caches, just-in-time compilers and the browsers' own heuristics settle.
const WARM_UP: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let fixtures = match flag("--fixtures") {
        Some(folder) => PathBuf::from(folder),
        None => provision::Home::locate()?.fixtures(),
    };
    let runs: usize = flag("--runs").map_or(Ok(60), |runs| runs.parse())?;
    let all = std::env::args().any(|arg| arg == "--all");
    let mut rows = Vec::new();
    for &browser in BrowserName::ALL {
        // One browser at a time: a second one would compete for the same cores.
        let Ok(accelerator) = Accelerator::builder().browser(browser).build().await else { continue };
        let measured = measure(&accelerator, &fixtures, browser, runs, all).await;
        accelerator.shutdown().await;
        rows.extend(measured?);
    }
    if rows.is_empty() {
        return Err("no browser could be launched: run webnn-pool setup".into());
    }
    write_json(&json!({ "bench": "overhead", "runs": runs, "rows": rows }))
}

async fn measure(
    accelerator: &Accelerator,
    fixtures: &Path,
    browser: BrowserName,
    runs: usize,
    all: bool,
) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    for page in accelerator.pages() {
        for (backend, verdict) in page.verdicts() {
            if verdict.verdict == Admission::Rejected || (verdict.software && !all) {
                continue;
            }
            let big = case(accelerator, &fixtures.join("minilm"), "s128", backend).await?;
            let tiny = case(accelerator, &fixtures.join("identity/float32"), "values", backend).await?;
            let runs = if verdict.software { 3 } else { runs };
            let ratio = end_to_end(&big.0, &big.1, runs).await?;
            let dispatch = dispatch(&tiny.0, &tiny.1, runs * 10).await?;
            say(&format!(
                "{browser:24} {backend:7} S=128: total ÷ in-page {:.3} (total {:.1} ms, in-page {:.1} ms)   dispatch p50 {:.3} ms, p99 {:.3} ms",
                ratio["ratio"].as_f64().unwrap_or(f64::NAN),
                ratio["total_ms"][1].as_f64().unwrap_or(f64::NAN),
                ratio["in_page_ms"][1].as_f64().unwrap_or(f64::NAN),
                dispatch["p50_ms"].as_f64().unwrap_or(f64::NAN),
                dispatch["p99_ms"].as_f64().unwrap_or(f64::NAN),
            ));
            rows.push(json!({
                "browser": browser, "backend": backend, "device_effective": verdict.device_effective,
                "adapter": verdict.adapter, "threads": verdict.threads,
                "end_to_end_s128": ratio, "dispatch": dispatch,
            }));
        }
    }
    Ok(rows)
}

async fn case(
    accelerator: &Accelerator,
    folder: &Path,
    case: &str,
    backend: Backend,
) -> Result<(AcceleratedModel, InferRequest), Failure> {
    let model = accelerator.accelerate_model(ModelSpec::path(folder)).await?.on_backends([backend]);
    let json = std::fs::read(folder.join("cases").join(case).join("request.json"))?;
    Ok((model, InferRequest::from_json(&json, &Limits::default())?))
}

/// The caller's time and the page's time of the same runs.
async fn end_to_end(model: &AcceleratedModel, request: &InferRequest, runs: usize) -> Result<Value, Failure> {
    let (mut totals, mut in_page) = (Vec::new(), Vec::new());
    for run in 0..runs + WARM_UP {
        let inputs = request.inputs.clone();
        let started = Instant::now();
        let completed = model.run(inputs).await?;
        let total = started.elapsed().as_secs_f64() * 1e3;
        if run >= WARM_UP {
            totals.push(total);
            in_page.push(completed.report.in_page_ms);
        }
    }
    // The ratio of each run with itself: what the machine does meanwhile happens to both.
    let ratios: Vec<f64> = totals.iter().zip(&in_page).map(|(total, in_page)| total / in_page).collect();
    Ok(json!({
        "ratio": quantile(&ratios, 0.5), "ratio_quartiles": spread(&ratios),
        "total_ms": spread(&totals), "in_page_ms": spread(&in_page),
    }))
}

/// The caller's time less the page's time, for a model that does nothing.
async fn dispatch(model: &AcceleratedModel, request: &InferRequest, runs: usize) -> Result<Value, Failure> {
    let mut overheads = Vec::new();
    for run in 0..runs + WARM_UP {
        let inputs = request.inputs.clone();
        let started = Instant::now();
        let completed = model.run(inputs).await?;
        let overhead = started.elapsed().as_secs_f64() * 1e3 - completed.report.in_page_ms;
        if run >= WARM_UP {
            overheads.push(overhead);
        }
    }
    Ok(json!({ "p50_ms": quantile(&overheads, 0.5), "p99_ms": quantile(&overheads, 0.99), "runs": runs }))
}
