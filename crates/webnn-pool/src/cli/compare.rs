//! `webnn-pool compare`

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tensor::oip::{InferResponse, Limits};
use vocab::{Backend, BrowserName, DeviceKind, ModelType};
use webnn_pool::ModelSpec;
use webnn_pool::compare::{
    ArmName, CompareOptions, CompareReport, Fault, Progress, Reference, RegressionRules, Requirements,
    Tolerance, compare, html, junit, table,
};

use super::read::{self, REQUEST_LIMIT};
use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ONNX file, or a directory that holds one (also in the Hugging Face layout).
    model: PathBuf,
    /// The Open Inference Protocol request with the inputs, as JSON; `-` reads standard input. Default: inputs made from the
    /// model's signature.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The size of a symbolic dimension for inputs that are made: `--dim sequence=128`. May be given several times.
    #[arg(long, value_name = "NAME=SIZE", value_parser = parse_dim, conflicts_with = "input")]
    dim: Vec<(String, u64)>,
    /// What inputs are made with.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "input")]
    seed: u64,
    /// The Open Inference Protocol response with the right numbers, as JSON. Default: what ONNX Runtime computes natively
    /// where a Python of this machine has it, or else what most browsers give.
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// The Python whose onnxruntime gives the reference; `none` for what most browsers give.
    #[arg(long, value_name = "PYTHON", conflicts_with = "reference")]
    native: Option<PathBuf>,
    /// What the model is for. Default: what its files say.
    #[arg(long, value_name = "TYPE")]
    model_type: Option<ModelType>,
    /// The browsers, comma separated. Default: every one that is here.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    browser: Vec<BrowserName>,
    /// The backends, comma separated. Default: all.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    backend: Vec<Backend>,
    /// The device to ask WebNN and WebGPU for: cpu, gpu or npu. Default: gpu for WebGPU, cpu for WebNN.
    #[arg(long, value_parser = super::parse_device, value_name = "KIND")]
    device: Option<DeviceKind>,
    /// Threads for WASM. Default: one a core, four at most.
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: u32,
    /// How often each browser is launched afresh with each backend. All have their turn in each round.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Timed runs in each launch, at most.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    repeat: u32,
    /// Runs after the first one that do not count, at most.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    warmup: u32,
    /// Seconds that the timed runs of one launch may go on; at least two are made.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = parse_positive)]
    seconds: f64,
    /// Seconds that loading, or one run, may take.
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// How far numbers may be off: a share of each output's largest magnitude, and at least that much. With two values,
    /// `ABS,REL`. Default: what fits the model's precision and the backend.
    #[arg(long, value_name = "T", value_parser = parse_tolerance)]
    tolerance: Option<Tolerance>,
    /// An earlier --json of the same model or another version of it: says what became slower, larger or wrong since.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// The ratio from which on a change of latency counts. Loading has the same and half as much again.
    #[arg(long, default_value_t = 1.25, value_name = "RATIO", value_parser = parse_ratio, requires = "baseline")]
    min_ratio: f64,
    /// What makes the exit status 1, comma separated: wrong, failed, refused, missing, unverified, fallback, regression.
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_value = "wrong,failed,regression")]
    fail_on: Vec<Fault>,
    /// What must run and have right numbers, comma separated: chromium-headless-shell/webnn,firefox/wasm.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    require: Vec<ArmName>,
    /// Milliseconds in the page that 95 of 100 runs must stay below, everywhere.
    #[arg(long, value_name = "MS", value_parser = parse_positive)]
    max_p95_ms: Option<f64>,
    /// Milliseconds that loading may take, everywhere; the middle of the launches.
    #[arg(long, value_name = "MS", value_parser = parse_positive)]
    max_load_ms: Option<f64>,
    /// MiB that a browser with the model may take, everywhere; what processes share counts once.
    #[arg(long, value_name = "MIB", value_parser = parse_positive)]
    max_memory_mib: Option<f64>,
    /// Write everything as JSON to this file; `-` for standard output, which then holds that alone.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the checks as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report with plots, as one page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn parse_dim(text: &str) -> Result<(String, u64), String> {
    let (name, size) = text.split_once('=').ok_or("expected NAME=SIZE")?;
    Ok((name.to_owned(), size.parse().map_err(|_| format!("{size:?} is no size"))?))
}

fn parse_positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.filter(|number| *number < 1e9).ok_or_else(|| "expected a number above zero".to_owned())
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    parse_positive(text)?;
    text.parse::<f64>()
        .ok()
        .filter(|ratio| *ratio > 1.0)
        .ok_or_else(|| "expected a number above 1".to_owned())
}

fn parse_tolerance(text: &str) -> Result<Tolerance, String> {
    let number = |text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| "expected a number that is not negative, or two with a comma".to_owned())
    };
    match text.split_once(',') {
        Some((abs, rel)) => Ok(Tolerance { abs: number(abs)?, rel: number(rel)? }),
        None => Ok(Tolerance { abs: number(text)?, rel: number(text)? }),
    }
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    // Everything that can be wrong without a browser is found before one is started.
    let json_out = args.json.as_deref().is_some_and(is_standard);
    for path in args.json.iter().filter(|_| !json_out).chain(&args.junit).chain(&args.html) {
        read::check_output(path)?;
    }
    let baseline = match &args.baseline {
        Some(path) => Some(read_baseline(path.clone()).await?),
        None => None,
    };
    let options = options(&args).await?;
    let mut spec = ModelSpec::path(&args.model);
    if let Some(model_type) = args.model_type {
        spec = spec.model_type(model_type);
    }
    let bar = ProgressBar::hidden();
    let shown = bar.clone();
    let compared = compare(spec, options, move |progress| show(&shown, progress)).await;
    bar.finish_and_clear();
    let mut report = compared?;
    if let Some(before) = &baseline {
        let mut rules = RegressionRules::default();
        rules.latency.least = args.min_ratio;
        rules.load.least = args.min_ratio * 1.2;
        report.compare_with(before, &rules)?;
    }
    report.judge(&requirements(&args));
    write(&args, &report)?;
    if json_out {
        out::result(&serde_json::to_string(&report)?)?;
    } else {
        out::result(&table(&report))?;
    }
    verdict(&report)
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

async fn options(args: &Args) -> Result<CompareOptions, Failure> {
    let mut options = CompareOptions::default();
    options.browsers.clone_from(&args.browser);
    options.backends.clone_from(&args.backend);
    if let Some(device) = &args.device {
        options.devices = [Backend::WebNn, Backend::WebGpu].map(|backend| (backend, device.clone())).into();
    }
    options.threads = args.threads;
    options.rounds = args.rounds;
    options.repeat = args.repeat;
    options.warmup = args.warmup;
    options.budget = Duration::from_secs_f64(args.seconds);
    options.timeout = Duration::from_secs(args.timeout);
    options.tolerance = args.tolerance;
    options.sizes = args.dim.iter().map(|(name, size)| (name.as_str().into(), *size)).collect();
    options.seed = args.seed;
    if let Some(path) = &args.input {
        options.inputs = Some(read::request(path.clone()).await?.inputs);
    }
    options.reference = match (&args.reference, &args.native) {
        (Some(path), _) => read_reference(path.clone()).await?,
        (None, Some(python)) if python == Path::new("none") => Reference::Majority,
        (None, Some(python)) => Reference::Native(Some(python.clone())),
        (None, None) => Reference::Auto,
    };
    Ok(options)
}

async fn read_reference(path: PathBuf) -> Result<Reference, Failure> {
    let json = read::file(path.clone(), REQUEST_LIMIT).await?;
    let response = InferResponse::from_json(&json, &Limits::default())
        .map_err(|error| format!("{} is not a usable response: {}", path.display(), read::chain(&error)))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Reference::Given { outputs: response.outputs, from: name })
}

async fn read_baseline(path: PathBuf) -> Result<CompareReport, Failure> {
    let json = read::file(path.clone(), REQUEST_LIMIT).await?;
    CompareReport::from_json(&json)
        .map_err(|error| format!("{}: {}", path.display(), read::chain(&error)).into())
}

fn requirements(args: &Args) -> Requirements {
    let mut requirements = Requirements::default();
    requirements.fail_on.clone_from(&args.fail_on);
    requirements.required.clone_from(&args.require);
    requirements.max_p95_ms = args.max_p95_ms;
    requirements.max_load_ms = args.max_load_ms;
    requirements.max_memory_bytes = args.max_memory_mib.map(|mib| mib * 1_048_576.0);
    requirements
}

/// Tells whoever waits what is being done: lines that stay, and a bar where somebody looks.
fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Generated { inputs, assumed } => {
            let sizes: Vec<String> = assumed.iter().map(|(name, size)| format!("{name}={size}")).collect();
            let assumed = match sizes.is_empty() {
                true => String::new(),
                false => format!("; sizes assumed, change them with --dim: {}", sizes.join(" ")),
            };
            out::note(&format!("inputs made from the model's signature: {}{assumed}", inputs.join(", ")));
        }
        Progress::Reference { description } => out::note(&format!("reference: {description}")),
        Progress::Planned { arms, rounds } => {
            out::note(&format!("launching {arms} browsers with a backend, {rounds} times each"));
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_length(u64::from(rounds) * arms as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
        }
        Progress::Launching { round, arm } => bar.set_message(format!("round {}: {arm}", round + 1)),
        Progress::Launched { .. } => bar.inc(1),
        _ => {}
    }
}

fn write(args: &Args, report: &CompareReport) -> Result<(), Failure> {
    let put = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|error| format!("could not write {}: {error}", path.display()))
    };
    if let Some(path) = args.json.as_deref().filter(|path| !is_standard(path)) {
        put(path, serde_json::to_string_pretty(report)? + "\n")?;
    }
    if let Some(path) = &args.junit {
        put(path, junit(report))?;
    }
    if let Some(path) = &args.html {
        put(path, html(report))?;
    }
    Ok(())
}

/// What the exit status comes from: a check that failed, or nothing that ran.
fn verdict(report: &CompareReport) -> Result<(), Failure> {
    let failures: Vec<String> = report.failures().map(ToString::to_string).collect();
    match failures.as_slice() {
        [] if report.arms.iter().all(|arm| !arm.status.ran()) => {
            let each: Vec<String> = report
                .arms
                .iter()
                .map(|arm| format!("{}: {}", arm.name(), arm.reason.as_deref().unwrap_or("–")))
                .collect();
            Err(format!("the model ran nowhere: {}", each.join("; ")).into())
        }
        [] => Ok(()),
        [one] => Err(format!("1 check failed: {one}").into()),
        several => Err(format!("{} checks failed: {}", several.len(), several.join("; ")).into()),
    }
}
