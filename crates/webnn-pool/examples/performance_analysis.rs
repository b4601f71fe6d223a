//! Performance analysis and reporting: what follows from a history, type of model by type of model, and everything that
//! an accelerator tells about itself.
//!
//! `cargo run -p webnn-pool --example performance_analysis -- MODEL REQUEST.json HISTORY.db`
#![allow(clippy::print_stdout, reason = "its output is for people")]

use std::path::Path;

use tensor::oip::{InferRequest, Limits};
use vocab::BrowserName;
use webnn_pool::{Accelerator, Location, ModelSpec, TelemetryExport, TelemetryOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
#[allow(dead_code, reason = "a test calls what follows instead")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, request, history] = args.as_slice() else {
        return Err("usage: performance_analysis MODEL REQUEST.json HISTORY.db".into());
    };
    analyze(Path::new(model), Path::new(request), Path::new(history)).await?;
    Ok(())
}

/// Runs the model once, then tells all there is to tell.
pub(crate) async fn analyze(
    model: &Path,
    request: &Path,
    history: &Path,
) -> Result<TelemetryExport, Failure> {
    let inputs = InferRequest::from_json(&std::fs::read(request)?, &Limits::default())?.inputs;
    let accelerator = Accelerator::builder()
        .browser(BrowserName::Firefox)
        .history(Location::Sqlite(history.into()))
        .build()
        .await?;
    let model = accelerator.accelerate_model(ModelSpec::path(model)).await?;
    model.run(inputs).await?;

    let analysis = accelerator.analyze_performance_trends().await?;
    for (model_type, recommendation) in &analysis.recommendations {
        println!("{model_type}: {}", recommendation.recommendation);
        println!(
            "    source: {:?}, samples: {}, confidence: {:.2}",
            recommendation.source, recommendation.samples, recommendation.confidence
        );
    }

    let all = TelemetryOptions { connections: true, models: true, performance: true };
    let export = accelerator.export_telemetry(all).await?;
    println!("{}", serde_json::to_string_pretty(&export)?);
    accelerator.shutdown().await;
    Ok(export)
}
