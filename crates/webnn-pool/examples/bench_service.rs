//! What batching gains and what telemetry costs, through the whole server: clients over HTTP.
//! `cargo xtask bench service` runs it.
//!
//! - **batching**: MiniLM with 16 tokens a text, 32 clients, one headless shell; batches of up to 16 against none, on WebNN and on
//!   WASM, by turns. What counts is the better backend with batches against the better one without.
//! - **telemetry**: a small model and MiniLM, 8 clients; traces, metrics and a log of events against none, by turns. Each
//!   side has a browser of its own, and the sides change places half-way.
//!
//! Flags: `--fixtures DIR` (default: the home's), `--json FILE`, `--rounds N` (default 5), `--seconds N` a round (default 5),
//! `--only batching|telemetry`.

#[path = "support/stats.rs"]
mod stats;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exporters::json_lines::{self, JsonLines};
use exporters::otlp::{self, Exporter};
use serde_json::{Value, json};
use service::{Batching, ListenConfig, ModelSettings, Server, Service, ServiceConfig};
use stats::{Failure, flag, quantile, say, write_json};
use tensor::oip::InferRequest;
use tensor::{NamedTensor, Tensor};
use tokio::time::Instant;
use vocab::{Backend, BrowserName};
use webnn_pool::Accelerator;

/// Tokens of a text.
const TOKENS: u64 = 16;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    webnn_bridge::ensure_tls_provider();
    let fixtures = match flag("--fixtures") {
        Some(folder) => PathBuf::from(folder),
        None => provision::Home::locate()?.fixtures(),
    };
    let rounds: usize = flag("--rounds").map_or(Ok(5), |rounds| rounds.parse())?;
    let seconds: f64 = flag("--seconds").map_or(Ok(5.0), |seconds| seconds.parse())?;
    let only = flag("--only");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let round = Duration::from_secs_f64(seconds);
    let mut report = serde_json::Map::new();
    if wanted("batching") {
        report.insert("batching".to_owned(), batching(&fixtures, rounds, round).await?);
    }
    if wanted("telemetry") {
        report.insert("telemetry".to_owned(), telemetry(&fixtures, rounds, round).await?);
    }
    write_json(&json!({ "bench": "service", "rounds": rounds, "seconds": seconds, "results": report }))
}

/// A server over one browser.
struct Bench {
    accelerator: Arc<Accelerator>,
    service: Service,
    server: Server,
    told: Option<(Arc<Exporter>, Arc<JsonLines>)>,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(
        models: &[(&str, PathBuf)],
        batched: &[&str],
        told: Option<&Path>,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        for (name, source) in models {
            std::os::unix::fs::symlink(source, folder.path().join(name))?;
        }
        let mut builder = Accelerator::builder()
            .browser(BrowserName::ChromiumHeadlessShell)
            .backends([Backend::WebNn, Backend::Wasm]);
        let log = told
            .map(|into| JsonLines::append_to(into, json_lines::Settings::default()))
            .transpose()?
            .map(Arc::new);
        if let Some(log) = &log {
            builder = builder.event_sink(Arc::new(log.sink()));
        }
        let accelerator = Arc::new(builder.build().await?);
        let mut parts = accelerator.service_parts(BTreeMap::new());
        let mut told = None;
        if let Some(log) = log {
            let telemetry = accelerator.telemetry().clone();
            let families = move || exporters::families(&telemetry.snapshot());
            let collector = collector().await?;
            let exporter = Arc::new(Exporter::start(otlp::Settings::new(collector), families)?);
            parts.exporter = Some(Arc::clone(&exporter));
            told = Some((exporter, log));
        }
        let mut config = ServiceConfig::default();
        config.models = vec![folder.path().to_owned()];
        for name in batched {
            let mut batching = Batching::default();
            (batching.max_batch, batching.max_delay) = (16, Duration::from_millis(5));
            // WebNN compiles a graph for each size, so there is one. Smaller preferred ones would let batches go early, and small.
            batching.fill = true;
            let mut settings = ModelSettings::default();
            settings.batching = Some(batching);
            config.model_settings.insert((*name).to_owned(), settings);
        }
        let service = Service::new(parts, config)?;
        service.refresh().await?;
        let mut listen = ListenConfig::default();
        listen.address.set_port(0);
        let server = service.listen(listen).await?;
        Ok(Self { accelerator, service, server, told, _folder: folder })
    }

    fn url(&self, model: &str) -> String {
        format!("http://{}/v2/models/{model}/infer", self.server.address())
    }

    async fn end(self) {
        let Self { accelerator, service, server, told, _folder } = self;
        service.drain(Duration::from_secs(5)).await;
        server.shutdown(Duration::from_secs(5)).await;
        service.shutdown(Duration::from_secs(5)).await;
        drop(service);
        if let Some((exporter, log)) = told {
            let stats = exporter.stats();
            say(&format!("traces: {stats:?}"));
            let _ = exporter.shutdown().await;
            log.close();
        }
        if let Some(accelerator) = Arc::into_inner(accelerator) {
            accelerator.shutdown().await;
        }
    }
}

/// A collector that takes whatever comes.
async fn collector() -> Result<url::Url, Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?).parse()?;
    let app = axum::Router::new().fallback(async |_: axum::body::Bytes| axum::http::StatusCode::OK);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// One text of random words: its answer does not matter, its time does.
fn text() -> Result<InferRequest, Failure> {
    let ids: Vec<i64> = (0..TOKENS as i64).map(|at| 1_000 + at * 37).collect();
    let of = |name: &str, values: &[i64]| -> Result<NamedTensor, Failure> {
        Ok(NamedTensor::new(name, Tensor::from_slice([1, TOKENS], values)?))
    };
    let inputs = vec![
        of("input_ids", &ids)?,
        of("attention_mask", &vec![1; TOKENS as usize])?,
        of("token_type_ids", &vec![0; TOKENS as usize])?,
    ];
    Ok(request(inputs))
}

fn small() -> Result<InferRequest, Failure> {
    let values = vec![0.5_f32; 96];
    Ok(request(vec![NamedTensor::new("x", Tensor::from_slice([1, 6, 16], &values)?)]))
}

fn request(inputs: Vec<NamedTensor>) -> InferRequest {
    let mut request = InferRequest { inputs, ..InferRequest::default() };
    request.parameters.insert("binary_data_output".to_owned(), json!(true));
    request
}

/// Requests a second that so many clients get answered, and their times in milliseconds.
async fn load(
    url: &str,
    request: &InferRequest,
    clients: usize,
    round: Duration,
) -> Result<(f64, Vec<f64>), Failure> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(clients).build()?;
    let message = request.to_binary()?;
    let header = message.header.len().to_string();
    let body = message.into_bytes();
    let until = Instant::now() + round;
    let began = Instant::now();
    let one = || {
        let (client, url, header, body) = (client.clone(), url.to_owned(), header.clone(), body.clone());
        tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let sent = Instant::now();
                let post =
                    client.post(&url).header("Inference-Header-Content-Length", &header).body(body.clone());
                let answer = post.send().await?.error_for_status()?;
                answer.bytes().await?;
                times.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, reqwest::Error>(times)
        })
    };
    let tasks: Vec<_> = (0..clients).map(|_| one()).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok((all.len() as f64 / began.elapsed().as_secs_f64(), all))
}

/// One way to be answered.
struct Arm {
    name: &'static str,
    url: String,
    request: InferRequest,
}

/// All arms by turns: requests a second of each round, and how long clients waited.
async fn by_turns(
    arms: &[Arm],
    clients: usize,
    (rounds, round): (usize, Duration),
) -> Result<Vec<(Vec<f64>, Vec<f64>)>, Failure> {
    // Sessions are loaded and compilers have settled before anything counts.
    for arm in arms {
        load(&arm.url, &arm.request, clients, round).await?;
    }
    let mut measured = vec![(Vec::new(), Vec::new()); arms.len()];
    for at in 0..rounds {
        // Whoever comes behind another one may find the machine warmer, so the order changes.
        for step in 0..arms.len() {
            let turn = if at % 2 == 0 { step } else { arms.len() - 1 - step };
            let (rate, times) = load(&arms[turn].url, &arms[turn].request, clients, round).await?;
            measured[turn].0.push(rate);
            measured[turn].1.extend(times);
        }
    }
    Ok(measured)
}

fn told(arms: &[Arm], measured: &[(Vec<f64>, Vec<f64>)]) -> Value {
    let each = arms.iter().zip(measured).map(|(arm, (rates, times))| {
        let figures = json!({
            "per_second": quantile(rates, 0.5), "rates": rates,
            "p50_ms": quantile(times, 0.5), "p95_ms": quantile(times, 0.95),
        });
        (arm.name.to_owned(), figures)
    });
    Value::Object(each.collect())
}

/// The median of the ratios of the rounds.
fn ratio(over: &[f64], under: &[f64]) -> f64 {
    let ratios: Vec<f64> = over.iter().zip(under).map(|(over, under)| over / under).collect();
    quantile(&ratios, 0.5)
}

async fn batching(fixtures: &Path, rounds: usize, round: Duration) -> Result<Value, Failure> {
    let minilm = fixtures.join("minilm");
    let bench = Bench::start(&[("batched", minilm.clone()), ("plain", minilm)], &["batched"], None).await?;
    let arm = |name: &'static str, model: &str, backend: &str| -> Result<Arm, Failure> {
        let mut request = text()?;
        request.parameters.insert("backend".to_owned(), json!(backend));
        Ok(Arm { name, url: bench.url(model), request })
    };
    let arms = [
        arm("batches, webnn", "batched", "webnn")?,
        arm("batches, wasm", "batched", "wasm")?,
        arm("none, webnn", "plain", "webnn")?,
        arm("none, wasm", "plain", "wasm")?,
    ];
    let measured = by_turns(&arms, 32, (rounds, round)).await;
    bench.end().await;
    let measured = measured?;
    for (arm, (rates, times)) in arms.iter().zip(&measured) {
        let (rate, late) = (quantile(rates, 0.5), quantile(times, 0.95));
        say(&format!("  {:16} {rate:6.0} a second, p95 {late:5.0} ms", arm.name));
    }
    let better = |a: usize, b: usize| {
        if quantile(&measured[a].0, 0.5) >= quantile(&measured[b].0, 0.5) { a } else { b }
    };
    let (with, without) = (better(0, 1), better(2, 3));
    let ratio = ratio(&measured[with].0, &measured[without].0);
    say(&format!(
        "batching, MiniLM S=16, 32 clients, one worker: {} ÷ {} {ratio:.2}",
        arms[with].name, arms[without].name
    ));
    Ok(
        json!({ "clients": 32, "ratio": ratio, "with": arms[with].name, "without": arms[without].name, "arms": told(&arms, &measured) }),
    )
}

async fn telemetry(fixtures: &Path, rounds: usize, round: Duration) -> Result<Value, Failure> {
    let models = [("small", fixtures.join("micro/golden-f32")), ("minilm", fixtures.join("minilm"))];
    let log = tempfile::NamedTempFile::new()?;
    let mut results = serde_json::Map::new();
    let mut all: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    // Whoever starts first may get the better pages of memory, so they change places.
    for first in [true, false] {
        let (on, off) = if first {
            let on = Bench::start(&models, &[], Some(log.path())).await?;
            (on, Bench::start(&models, &[], None).await?)
        } else {
            let off = Bench::start(&models, &[], None).await?;
            (Bench::start(&models, &[], Some(log.path())).await?, off)
        };
        for (name, mut request) in [("small", small()?), ("minilm", text()?)] {
            request.parameters.insert("backend".to_owned(), json!("wasm"));
            let arm = |name, bench: &Bench, model: &str| Arm {
                name,
                url: bench.url(model),
                request: request.clone(),
            };
            let arms = [arm("on", &on, name), arm("off", &off, name)];
            let measured = by_turns(&arms, 8, (rounds, round)).await?;
            let (over, under) = all.entry(name).or_default();
            over.extend(&measured[0].0);
            under.extend(&measured[1].0);
            results.insert(
                format!("{name}, {} first", if first { "on" } else { "off" }),
                told(&arms, &measured),
            );
        }
        on.end().await;
        off.end().await;
    }
    for (name, (on, off)) in &all {
        let ratio = ratio(on, off);
        say(&format!("telemetry, {name}, 8 clients: throughput on ÷ off {ratio:.3}"));
        results.insert((*name).to_owned(), json!({ "ratio": ratio }));
    }
    Ok(Value::Object(results))
}
