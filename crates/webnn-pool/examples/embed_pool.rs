//! A program with a pool of its own: callers that do not wait for each other, a deadline for each, errors told apart, what
//! happens to browsers on the side, and an orderly end.
//!
//! `cargo run -p webnn-pool --example embed_pool -- MODEL REQUEST.json`
#![allow(clippy::print_stdout, reason = "its output is for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use telemetry::{Event, Sink};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, Limits};
use tokio::task::JoinSet;
use vocab::BrowserName;
use webnn_pool::{Accelerator, Location, ModelSpec, RunError, RunOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many callers ask at the same time.
const CALLERS: usize = 8;
/// How long each of them waits, wherever its request is meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
#[allow(dead_code, reason = "a test calls what follows instead")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, request] = args.as_slice() else {
        return Err("usage: embed_pool MODEL REQUEST.json".into());
    };
    let browsers = [BrowserName::ChromiumHeadlessShell, BrowserName::Firefox];
    serve(&browsers, Path::new(model), Path::new(request), Path::new("history.db")).await?;
    Ok(())
}

/// Hears of every event on the thread where it happens, and so returns at once.
struct Watch;

impl Sink for Watch {
    fn record(&self, at_ms: f64, event: &Arc<Event>) {
        match &**event {
            Event::WorkerJoined { .. } | Event::WorkerLeft { .. } => println!("{at_ms:>8.0} ms: {event:?}"),
            _ => {}
        }
    }
}

/// Answers all callers, and says how many answers each arm gave.
pub(crate) async fn serve(
    browsers: &[BrowserName],
    model: &Path,
    request: &Path,
    history: &Path,
) -> Result<BTreeMap<String, usize>, Failure> {
    let inputs: Arc<[NamedTensor]> =
        InferRequest::from_json(&std::fs::read(request)?, &Limits::default())?.inputs.into();
    let accelerator = Accelerator::builder()
        .browsers(browsers.iter().copied())
        .tolerate_missing(browsers.len() > 1)
        .history(Location::Sqlite(history.into()))
        .event_sink(Arc::new(Watch))
        .build()
        .await?;
    for failure in accelerator.launch_failures() {
        println!("going on without {}: {}", failure.browser, failure.error);
    }
    let model = accelerator.accelerate_model(ModelSpec::path(model)).await?;

    let mut options = RunOptions::default();
    options.timeout = Some(PATIENCE);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        // Both are cheap to clone: the tensors' bytes are shared.
        let (model, inputs, options) = (model.clone(), Arc::clone(&inputs), options.clone());
        callers.spawn(async move { model.run_with(inputs, options).await });
    }
    let mut answers = BTreeMap::new();
    while let Some(ended) = callers.join_next().await {
        match ended? {
            Ok(completed) => {
                let report = &completed.report;
                println!("{} on {}: {:.1} ms", report.browser, report.backend, report.total_ms);
                *answers.entry(format!("{} on {}", report.browser, report.backend)).or_default() += 1;
            }
            // What a caller may do something about: ask later, ask for less, or give the reason on.
            Err(RunError::QueueFull { .. }) => println!("too many at once: ask again later"),
            Err(error @ RunError::DeadlineExceeded { .. }) => println!("too late: {error}"),
            Err(error) => return Err(error.into()),
        }
    }
    accelerator.shutdown().await;
    Ok(answers)
}
