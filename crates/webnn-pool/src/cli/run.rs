//! `webnn-pool run`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use pool_core::PoolConfig;
use serde_json::{Value, json};
use tensor::oip::{InferRequest, InferResponse, Limits};
use vocab::{Backend, BrowserName, DeviceKind, ModelType, PolicyName};
use webnn_pool::{AcceleratedModel, Accelerator, Location, ModelSpec, ResolvedModel, RunOptions, response};

use super::{Failure, out, summary::summary};

/// The longest request that is read, in bytes. As JSON, tensors take some ten times the room that they take on a page.
const REQUEST_LIMIT: u64 = 1 << 30;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ONNX file, or a directory that holds one (also in the Hugging Face layout).
    model: PathBuf,
    /// The Open Inference Protocol request with the inputs, as JSON; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where to write the response. Without it and without --json, a summary is printed.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the model is for. Default: what its files say.
    #[arg(long, value_name = "TYPE")]
    model_type: Option<ModelType>,
    /// The browsers to use, comma separated. Default: the first that is found.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    browser: Vec<BrowserName>,
    /// The backends to use, best first, comma separated. With several, the next one is used where one cannot run the
    /// model, and the response says which one did. Default: the browser's best.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    backend: Vec<Backend>,
    /// The device to ask WebNN and WebGPU for: cpu, gpu or npu. Default: gpu for WebGPU, cpu for WebNN.
    #[arg(long, value_parser = parse_device, value_name = "KIND")]
    device: Option<DeviceKind>,
    /// Threads for WASM. Default: one a core, four at most.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: u32,
    /// Run so many times and answer with the last response and the distribution of times.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// Seconds that a run may take, loading included.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// The database of what was observed, an SQLite file or a postgres:// address. With it the browser and backend are
    /// chosen by experience, and this run adds to it. Several browsers then compete: name them with --browser.
    #[arg(long, value_name = "DB")]
    history: Option<Location>,
    /// How the browser and backend are chosen: weighted, ucb, thompson or round-robin.
    #[arg(long, value_name = "POLICY", default_value = "weighted", value_parser = parse_policy)]
    policy: PolicyName,
    /// Show the table that the choice was made from: below the summary, and as `parameters.decision` in JSON.
    #[arg(long)]
    explain: bool,
    /// Print the response as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn parse_policy(text: &str) -> Result<PolicyName, String> {
    match text.parse::<PolicyName>().map_err(|error| error.to_string())? {
        PolicyName::Fixed => Err("to stay with one arm, name its --browser and --backend".to_owned()),
        policy => Ok(policy),
    }
}

fn parse_device(text: &str) -> Result<DeviceKind, String> {
    match DeviceKind::from(text) {
        DeviceKind::Unknown(_) => Err("expected cpu, gpu or npu".to_owned()),
        known => Ok(known),
    }
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    // Everything that can be wrong without a browser is found before one is started.
    if let Some(path) = &args.output {
        check_output(path)?;
    }
    let request = read_request(args.input.clone()).await?;
    let mut spec = ModelSpec::path(&args.model);
    if let Some(model_type) = args.model_type {
        spec = spec.model_type(model_type);
    }
    let runtime = provision::find_runtime(&provision::Home::locate()?)?;
    let bridge = webnn_pool::BridgeConfig::new(runtime);
    let model = ResolvedModel::read(spec, bridge.memory_budget_bytes).await?;
    model
        .signature()
        .bind(&request.inputs)
        .map_err(|error| format!("the inputs do not fit {}: {error}", model.name()))?;
    let outputs = wanted_outputs(&request, &model)?;

    out::note(&format!("launching {}", names(&args.browser, "a browser")));
    let accelerator = build(&args, bridge).await?;
    let accelerated = accelerator
        .accelerate(&model)
        .on_backends(args.backend.iter().copied())
        .with_fallback(args.backend.len() > 1);
    let mut options = RunOptions::default();
    options.outputs = outputs;
    options.timeout = Some(Duration::from_secs(args.timeout));
    options.explain = args.explain;
    let ran = repeat(&args, &accelerated, request, options).await;
    accelerator.shutdown().await;
    let response = ran?;

    if let Some(path) = &args.output {
        let json = response.to_json()?;
        std::fs::write(path, json).map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    if args.json {
        out::result(std::str::from_utf8(&response.to_json()?)?)
    } else {
        out::result(&summary(&response))
    }
}

async fn build(args: &Args, bridge: webnn_pool::BridgeConfig) -> Result<Accelerator, Failure> {
    let mut pool = PoolConfig::default();
    pool.load_timeout = Duration::from_secs(args.timeout);
    pool.selection.policy = args.policy;
    let mut builder = Accelerator::builder()
        .browsers(args.browser.iter().copied())
        .threads(args.threads)
        .pool(pool)
        .bridge(bridge);
    if !args.backend.is_empty() {
        builder = builder.backends(args.backend.iter().copied());
    }
    if let Some(history) = &args.history {
        builder = builder.history(history.clone());
    }
    if let Some(device) = &args.device {
        builder = builder.device(Backend::WebNn, device.clone()).device(Backend::WebGpu, device.clone());
    }
    Ok(builder.build().await?)
}

/// Runs the request as often as asked, one run after the other, and answers with the last response.
async fn repeat(
    args: &Args,
    model: &AcceleratedModel,
    request: InferRequest,
    options: RunOptions,
) -> Result<InferResponse, Failure> {
    let InferRequest { id, inputs, .. } = request;
    let inputs: std::sync::Arc<[_]> = inputs.into();
    let bar = progress(args.repeat);
    let mut total = Histogram::<u64>::new(3)?;
    let mut in_page = Histogram::<u64>::new(3)?;
    let mut last = None;
    let mut last_error = None;
    let mut failures = 0;
    for _ in 0..args.repeat {
        match model.run_with(std::sync::Arc::clone(&inputs), options.clone()).await {
            Ok(completed) => {
                total.record(microseconds(completed.report.total_ms))?;
                in_page.record(microseconds(completed.report.in_page_ms))?;
                last = Some(completed);
            }
            Err(error) => {
                failures += 1;
                last_error = Some(error);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (completed, error) = match (last, last_error) {
        (Some(completed), error) => (completed, error),
        (None, Some(error)) => return Err(error.into()),
        (None, None) => return Err("nothing was run".into()),
    };
    let mut response = response(model, id, completed);
    if args.backend.len() > 1 {
        let first = args.backend.first().map(|backend| json!(backend));
        let fell_back = response.parameters.get("backend") != first.as_ref();
        response.parameters.insert("fallback".to_owned(), json!(fell_back));
        response.parameters.insert("backends_requested".to_owned(), json!(args.backend));
    }
    if args.repeat > 1 {
        response
            .parameters
            .insert("repeat".to_owned(), distribution(args.repeat, failures, error, &total, &in_page));
    }
    Ok(response)
}

fn distribution(
    count: u32,
    failures: u32,
    error: Option<webnn_pool::RunError>,
    total: &Histogram<u64>,
    in_page: &Histogram<u64>,
) -> Value {
    let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    json!({
        "count": count,
        "failures": failures,
        "last_failure": error.map(|error| error.to_string()),
        "p50": ms(total, 0.5),
        "p95": ms(total, 0.95),
        "in_page_p50": ms(in_page, 0.5),
        "in_page_p95": ms(in_page, 0.95),
    })
}

/// A time as the histogram counts it; at least one, because it counts from there.
fn microseconds(ms: f64) -> u64 {
    // A time of a run is far below what a 64-bit number of microseconds holds.
    (ms * 1000.0).round().max(1.0) as u64
}

fn progress(repeat: u32) -> indicatif::ProgressBar {
    if repeat < 2 {
        return indicatif::ProgressBar::hidden();
    }
    indicatif::ProgressBar::new(u64::from(repeat))
}

/// Reads the request, on a thread of its own: standard input may be a terminal, and an interrupt must still be heard.
async fn read_request(path: PathBuf) -> Result<InferRequest, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        let standard_input = path == Path::new("-");
        let place = if standard_input { "standard input".to_owned() } else { path.display().to_string() };
        let json = if standard_input {
            read_at_most(REQUEST_LIMIT, std::io::stdin().lock())
        } else {
            std::fs::File::open(&path).and_then(|file| read_at_most(REQUEST_LIMIT, file))
        };
        let json = json.map_err(|error| format!("could not read {place}: {error}"))?;
        InferRequest::from_json(&json, &Limits::default())
            .map_err(|error| format!("{place} is not a usable request: {}", chain(&error)))
    });
    Ok(read.await??)
}

/// Reads to the end, which must come within `limit` bytes.
fn read_at_most(limit: u64, from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(std::io::Error::other(format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Finds out before anything is computed that the response will have no place to go to.
fn check_output(path: &Path) -> Result<(), Failure> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if path.is_dir() || !parent.is_dir() {
        return Err(
            format!("could not write {}: it must be a file in a folder that exists", path.display()).into()
        );
    }
    Ok(())
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

fn wanted_outputs(
    request: &InferRequest,
    model: &ResolvedModel,
) -> Result<Option<Vec<std::sync::Arc<str>>>, Failure> {
    if request.outputs.is_empty() {
        return Ok(None);
    }
    let known = |name: &str| {
        let spec = model.signature().output(name);
        spec.map(|spec| spec.name.clone()).ok_or_else(|| format!("{} has no output {name:?}", model.name()))
    };
    Ok(Some(request.outputs.iter().map(|output| known(&output.name)).collect::<Result<_, _>>()?))
}

fn names(browsers: &[BrowserName], none: &str) -> String {
    if browsers.is_empty() {
        return none.to_owned();
    }
    browsers.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}
