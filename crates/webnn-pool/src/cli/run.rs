//! `webnn-pool run`

use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use pool_core::PoolConfig;
use serde_json::json;
use sharding::Strategy;
use tensor::oip::{InferRequest, InferResponse};
use vocab::{Backend, BrowserName, DeviceKind, ModelType, PolicyName};
use webnn_pool::{
    AcceleratedModel, Accelerator, Location, ModelShardingManager, ModelSpec, ResolvedModel, RunOptions,
    ShardingOptions, response, sharded_response,
};

use super::{Failure, out, read, summary::summary};

/// How often a component of a sharded model is repeated at most.
const RETRIES: u32 = 5;

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
    #[arg(long, value_parser = super::parse_device, value_name = "KIND")]
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
    /// Cut the model into so many shards, each held by a browser of its own: at least as many are launched, those of --browser
    /// in turn. For models that are too large for one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), conflicts_with_all = ["explain", "policy", "device"])]
    shards: Option<u16>,
    /// How --shards cuts: layer, attention-feedforward, component or optimal.
    #[arg(long, value_name = "S", requires = "shards", default_value_t = Strategy::Layer)]
    strategy: Strategy,
    /// Hold each part of --shards in a second browser as well, which takes over at once.
    #[arg(long, requires = "shards")]
    standby: bool,
    /// Draw the plan of --shards into this file.
    #[arg(long, value_name = "FILE", requires = "shards")]
    svg: Option<PathBuf>,
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

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    // Everything that can be wrong without a browser is found before one is started.
    for path in args.output.iter().chain(&args.svg) {
        read::check_output(path)?;
    }
    let request = read::request(args.input.clone()).await?;
    if let Some(shards) = args.shards {
        let response = sharded(&args, usize::from(shards), request).await?;
        return give(&args, &response);
    }
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
    let accelerator = build(&args, &args.browser, bridge).await?;
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
    give(&args, &ran?)
}

/// Puts the response where it was asked for.
fn give(args: &Args, response: &InferResponse) -> Result<(), Failure> {
    if let Some(path) = &args.output {
        let json = response.to_json()?;
        std::fs::write(path, json).map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    if args.json {
        out::result(std::str::from_utf8(&response.to_json()?)?)
    } else {
        out::result(&summary(response))
    }
}

/// Runs the model over shards.
async fn sharded(args: &Args, shards: usize, request: InferRequest) -> Result<InferResponse, Failure> {
    fits(args.model.clone(), sharding::Request::new(args.strategy, shards), &request).await?;
    let runtime = provision::find_runtime(&provision::Home::locate()?)?;
    let bridge = webnn_pool::BridgeConfig::new(runtime);
    let mut options = ShardingOptions::new(shards, args.strategy);
    options.backends.clone_from(&args.backend);
    options.model_type = args.model_type;
    options.standby = args.standby;
    options.timeout = Duration::from_secs(args.timeout);
    options.run_timeout = options.timeout;
    options.load_timeout = options.timeout;
    let browsers = match args.browser.as_slice() {
        [] => vec![webnn_pool::preferred_browser()?],
        named => named.to_vec(),
    };
    let count = browsers.len().max(shards + usize::from(args.standby && shards == 1));
    let browsers: Vec<BrowserName> = browsers.iter().copied().cycle().take(count).collect();
    out::note(&format!("launching {}", names(&browsers, "")));
    let accelerator = build(args, &browsers, bridge).await?;
    let manager = ModelShardingManager::new(&accelerator, &args.model, options);
    let ran = repeat_sharded(args, &manager, request).await;
    manager.shutdown().await;
    accelerator.shutdown().await;
    ran
}

/// Finds out before a browser is started whether the model can be cut like this, and whether the request fits it.
async fn fits(model: PathBuf, how: sharding::Request, request: &InferRequest) -> Result<(), Failure> {
    let planned = tokio::task::spawn_blocking(move || {
        let onnx = webnn_pool::locate_model(&model)?;
        let file = sharding::ModelFile::open(&onnx)?;
        Ok::<_, Failure>(sharding::plan(&file, &how)?.plan().clone())
    });
    let plan = planned.await??;
    let outputs = plan.outputs.iter().map(|output| output.spec.clone()).collect();
    let signature = tensor::Signature { inputs: plan.inputs, outputs };
    signature
        .bind(&request.inputs)
        .map_err(|error| format!("the inputs do not fit {}: {error}", plan.model))?;
    match request.outputs.iter().find(|output| signature.output(&output.name).is_none()) {
        Some(unknown) => Err(format!("{} has no output {:?}", plan.model, unknown.name).into()),
        None => Ok(()),
    }
}

async fn repeat_sharded(
    args: &Args,
    manager: &ModelShardingManager,
    request: InferRequest,
) -> Result<InferResponse, Failure> {
    let InferRequest { id, inputs, outputs: wanted, .. } = request;
    let mut plan = manager.initialize_sharding().await?;
    let mut figures = Figures::new(args.repeat)?;
    let mut last = None;
    for _ in 0..args.repeat {
        match manager.run_inference_sharded(inputs.clone(), RETRIES).await {
            Ok(outcome) => {
                let metrics = &outcome.metrics;
                let in_page = metrics.components.iter().map(|component| component.run_ms).sum();
                figures.took(metrics.inference_time_ms, in_page)?;
                last = Some(outcome);
            }
            Err(error) => figures.failed(error.into()),
        }
    }
    figures.finish();
    let Some(mut outcome) = last else { return Err(figures.error()) };
    if let Some(path) = &args.svg {
        for (stage, component) in plan.stages.iter_mut().zip(&outcome.metrics.components) {
            stage.worker = component.place();
        }
        std::fs::write(path, sharding::svg(&plan))
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
    }
    outcome
        .outputs
        .retain(|output| wanted.is_empty() || wanted.iter().any(|name| *name.name == *output.name));
    let mut response = sharded_response(&manager.name()?, id, &plan, outcome);
    figures.add_to(&mut response, args.repeat);
    Ok(response)
}

async fn build(
    args: &Args,
    browsers: &[BrowserName],
    bridge: webnn_pool::BridgeConfig,
) -> Result<Accelerator, Failure> {
    let mut pool = PoolConfig::default();
    pool.load_timeout = Duration::from_secs(args.timeout);
    pool.selection.policy = args.policy;
    let mut builder = Accelerator::builder()
        .browsers(browsers.iter().copied())
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
    let mut figures = Figures::new(args.repeat)?;
    let mut last = None;
    for _ in 0..args.repeat {
        match model.run_with(std::sync::Arc::clone(&inputs), options.clone()).await {
            Ok(completed) => {
                figures.took(completed.report.total_ms, completed.report.in_page_ms)?;
                last = Some(completed);
            }
            Err(error) => figures.failed(error.into()),
        }
    }
    figures.finish();
    let Some(completed) = last else { return Err(figures.error()) };
    let mut response = response(model, id, completed);
    if args.backend.len() > 1 {
        let first = args.backend.first().map(|backend| json!(backend));
        let fell_back = response.parameters.get("backend") != first.as_ref();
        response.parameters.insert("fallback".to_owned(), json!(fell_back));
        response.parameters.insert("backends_requested".to_owned(), json!(args.backend));
    }
    figures.add_to(&mut response, args.repeat);
    Ok(response)
}

/// What many runs took.
struct Figures {
    bar: indicatif::ProgressBar,
    total: Histogram<u64>,
    in_page: Histogram<u64>,
    failures: u32,
    last: Option<Failure>,
}

impl Figures {
    fn new(repeat: u32) -> Result<Self, Failure> {
        let bar = progress(repeat);
        Ok(Self { bar, total: Histogram::new(3)?, in_page: Histogram::new(3)?, failures: 0, last: None })
    }

    fn took(&mut self, total_ms: f64, in_page_ms: f64) -> Result<(), Failure> {
        self.bar.inc(1);
        self.total.record(microseconds(total_ms))?;
        Ok(self.in_page.record(microseconds(in_page_ms))?)
    }

    fn failed(&mut self, error: Failure) {
        self.bar.inc(1);
        self.failures += 1;
        self.last = Some(error);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Why nothing came of it.
    fn error(self) -> Failure {
        self.last.unwrap_or_else(|| "nothing was run".into())
    }

    fn add_to(&self, response: &mut InferResponse, repeat: u32) {
        if repeat < 2 {
            return;
        }
        let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        let distribution = json!({
            "count": repeat,
            "failures": self.failures,
            "last_failure": self.last.as_ref().map(|error| error.to_string()),
            "p50": ms(&self.total, 0.5),
            "p95": ms(&self.total, 0.95),
            "in_page_p50": ms(&self.in_page, 0.5),
            "in_page_p95": ms(&self.in_page, 0.95),
        });
        response.parameters.insert("repeat".to_owned(), distribution);
    }
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
