//! Performance-aware browser selection: a few runs of an audio model in browsers that compete, then the browser that is
//! recommended for such models.
//!
//! `cargo run -p webnn-pool --example performance_aware -- MODEL REQUEST.json HISTORY.db`
//!
//! Run it again with the same database, and it begins with what it learnt the first time.
#![allow(clippy::print_stdout, reason = "its output is for people")]

use std::path::Path;
use std::sync::Arc;

use tensor::NamedTensor;
use tensor::oip::{InferRequest, Limits};
use vocab::{BrowserName, ModelType};
use webnn_pool::{Accelerator, Analysis, Location, ModelSpec, RunOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often the model is run.
const RUNS: usize = 8;

#[tokio::main]
#[allow(dead_code, reason = "a test calls what follows instead")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, request, history] = args.as_slice() else {
        return Err("usage: performance_aware MODEL REQUEST.json HISTORY.db".into());
    };
    select(Path::new(model), Path::new(request), Path::new(history)).await?;
    Ok(())
}

/// Runs the model wherever the pool thinks best, and tells what it has learnt.
pub(crate) async fn select(model: &Path, request: &Path, history: &Path) -> Result<Analysis, Failure> {
    let inputs: Arc<[NamedTensor]> =
        InferRequest::from_json(&std::fs::read(request)?, &Limits::default())?.inputs.into();
    let accelerator = Accelerator::builder()
        .browsers([BrowserName::Firefox, BrowserName::ChromiumHeadlessShell])
        .history(Location::Sqlite(history.into()))
        .build()
        .await?;
    let model = accelerator.accelerate_model(ModelSpec::path(model).model_type(ModelType::Audio)).await?;

    let mut options = RunOptions::default();
    options.explain = true;
    for run in 1..=RUNS {
        let report = model.run_with(Arc::clone(&inputs), options.clone()).await?.report;
        let why = report.decision.as_ref().map(|decision| decision.why);
        println!("run {run}: {} on {}, {:.0} ms ({why:?})", report.browser, report.backend, report.total_ms);
    }

    let analysis = accelerator.analyze_performance_trends().await?;
    let audio = &analysis.model_type_affinities["audio"];
    println!(
        "Recommended browser for audio models: {} on {} (source: {:?}, samples: {}, confidence: {:.2})",
        audio.optimal_browser, audio.optimal_backend, audio.source, audio.samples, audio.confidence
    );
    accelerator.shutdown().await;
    Ok(analysis)
}
