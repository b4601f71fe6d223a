//! Embeds three sentences in every browser and on every backend of this machine, and holds each result against a native
//! runtime's. `cargo xtask demo` runs it with all set-up included.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Deserialize;
use tensor::{NamedTensor, Tensor};
use tokenizers::Tokenizer;
use vocab::{Backend, BrowserName};
use webnn_pool::{Accelerator, Admission, ModelSpec, Page, Verdict};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often each sentence is run for the times in the table, after the run that loads the model.
const RUNS: usize = 3;
/// The largest error against the native runtime that still counts as the same numbers.
const TOLERANCE: f64 = 1e-4;
/// The cosines that the native runtime gives, and how far off they may be.
const COSINES: [(usize, usize, f64); 2] = [(0, 1, 0.8749), (0, 2, -0.1050)];
const COSINE_TOLERANCE: f64 = 1e-3;

/// What the native runtime gave: written by `fixtures/build.py` with ONNX Runtime.
#[derive(Deserialize)]
struct Reference {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    input_ids: Vec<i64>,
    embedding: Vec<f64>,
}

/// One row of the table.
struct Row {
    browser: BrowserName,
    backend: Backend,
    device: String,
    load_ms: f64,
    in_page_ms: f64,
    total_ms: f64,
    off: f64,
    embeddings: Vec<Vec<f64>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = fixtures()?.join("minilm");
    let reference: Reference = serde_json::from_slice(&std::fs::read(folder.join("sentences.json"))?)?;
    let requests = tokenize(&folder, &reference)?;

    say(
        "Launching every browser of this machine, and running a small model on each backend that it offers …",
    )?;
    let accelerator = Accelerator::builder()
        .browsers(BrowserName::ALL.iter().copied())
        .tolerate_missing(true)
        .build()
        .await?;
    let rows = embed_everywhere(&accelerator, &folder, &reference, &requests).await;
    accelerator.shutdown().await;
    report(&reference, &rows?)
}

fn fixtures() -> Result<PathBuf, Failure> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("--fixtures"), Some(folder)) => Ok(folder.into()),
        _ => Err("usage: demo --fixtures DIR; `cargo xtask demo` makes the fixtures and calls this".into()),
    }
}

/// Turns the sentences into inputs, and checks that the tokens are those that the native runtime was given.
fn tokenize(folder: &Path, reference: &Reference) -> Result<Vec<Vec<NamedTensor>>, Failure> {
    let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    // The file asks for padding to 128 tokens; each sentence is run at its own length here.
    tokenizer.with_padding(None);
    let mut requests = Vec::new();
    for sentence in &reference.sentences {
        let encoding = tokenizer.encode(sentence.text.as_str(), true)?;
        let ids: Vec<i64> = encoding.get_ids().iter().map(|&id| i64::from(id)).collect();
        if ids != sentence.input_ids {
            return Err(
                format!("{:?} has tokens {ids:?}, not {:?}", sentence.text, sentence.input_ids).into()
            );
        }
        let shape = [1, ids.len() as u64];
        let named = |name: &str, values: Vec<i64>| -> Result<NamedTensor, Failure> {
            Ok(NamedTensor { name: name.into(), tensor: Tensor::from_vec(shape, values)? })
        };
        let (ones, zeros) = (vec![1; ids.len()], vec![0; ids.len()]);
        requests.push(vec![
            named("input_ids", ids)?,
            named("attention_mask", ones)?,
            named("token_type_ids", zeros)?,
        ]);
    }
    Ok(requests)
}

async fn embed_everywhere(
    accelerator: &Accelerator,
    folder: &Path,
    reference: &Reference,
    requests: &[Vec<NamedTensor>],
) -> Result<Vec<Row>, Failure> {
    for failure in accelerator.launch_failures() {
        say(&format!("  {}", failure.error))?;
    }
    let mut rows = Vec::new();
    for page in accelerator.pages() {
        for (backend, verdict) in page.verdicts() {
            if verdict.verdict == Admission::Rejected {
                continue;
            }
            say(&format!("  {} on {backend}: embedding {} sentences", page.label(), requests.len()))?;
            rows.push(embed(accelerator, folder, reference, requests, &page, backend, &verdict).await?);
        }
    }
    Ok(rows)
}

async fn embed(
    accelerator: &Accelerator,
    folder: &Path,
    reference: &Reference,
    requests: &[Vec<NamedTensor>],
    page: &Page,
    backend: Backend,
    verdict: &Verdict,
) -> Result<Row, Failure> {
    let browser = page.worker_info().browser;
    let model = accelerator
        .accelerate_model(ModelSpec::path(folder))
        .await?
        .on_backends([backend])
        .in_browsers([browser]);
    let mut load_ms = 0.0_f64;
    let (mut in_page, mut total) = (Vec::new(), Vec::new());
    let mut off = 0.0_f64;
    let mut embeddings = Vec::new();
    for (request, sentence) in requests.iter().zip(&reference.sentences) {
        let first = model.run(request.clone()).await?;
        load_ms = load_ms.max(first.report.load_ms.unwrap_or(0.0));
        let embedding = first.outputs[0].tensor.to_f64_vec()?;
        let differences = embedding.iter().zip(&sentence.embedding).map(|(got, want)| (got - want).abs());
        // `f64::max` passes over what is not a number; such a difference must count.
        off = differences.fold(off, |worst, off| if off.is_nan() || off > worst { off } else { worst });
        embeddings.push(embedding);
        // A software adapter takes seconds a run: one is enough to see that.
        for _ in 0..if verdict.software { 1 } else { RUNS } {
            let again = model.run(request.clone()).await?.report;
            in_page.push(again.in_page_ms);
            total.push(again.total_ms);
        }
    }
    let effective = verdict.device_effective.as_ref().map_or("?", |device| device.as_str());
    let adapter = verdict.adapter.as_deref().map(|adapter| format!(" ({adapter})")).unwrap_or_default();
    Ok(Row {
        browser,
        backend,
        device: format!("{} → {effective}{adapter}", verdict.device_requested),
        load_ms,
        in_page_ms: median(&mut in_page),
        total_ms: median(&mut total),
        off,
        embeddings,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

fn report(reference: &Reference, rows: &[Row]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "browser",
        "backend",
        "device: asked → effective",
        "load ms",
        "in-page ms",
        "total ms",
        "max |Δ|",
        "cosines",
    ]);
    let mut wrong = String::new();
    for row in rows {
        let mut cosines = Vec::new();
        for (a, b, want) in COSINES {
            let got = cosine(&row.embeddings[a], &row.embeddings[b]);
            cosines.push(format!("{got:.4}"));
            if (got - want).abs() > COSINE_TOLERANCE {
                write!(wrong, " {} on {}: cosine {got:.4} instead of {want:.4};", row.browser, row.backend)?;
            }
        }
        if row.off.is_nan() || row.off > TOLERANCE {
            write!(wrong, " {} on {}: off by {:.1e};", row.browser, row.backend, row.off)?;
        }
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        table.add_row([
            Cell::new(row.browser.as_str()),
            Cell::new(row.backend.as_str()),
            Cell::new(&row.device),
            number(format!("{:.0}", row.load_ms)),
            number(format!("{:.1}", row.in_page_ms)),
            number(format!("{:.1}", row.total_ms)),
            number(format!("{:.1e}", row.off)),
            number(cosines.join(" ")),
        ]);
    }
    say(&format!("\n{table}\n"))?;
    say("max |Δ| is the largest difference from what ONNX Runtime computes natively. The cosines:")?;
    for (a, b, want) in COSINES {
        let (a, b) = (&reference.sentences[a].text, &reference.sentences[b].text);
        say(&format!("  {want:7.4}  {a:?} · {b:?}"))?;
    }
    let mut engines: Vec<BrowserName> = rows.iter().map(|row| row.browser).collect();
    engines.dedup();
    let mut backends: Vec<Backend> = rows.iter().map(|row| row.backend).collect();
    backends.sort_unstable();
    backends.dedup();
    let names = backends.iter().map(|backend| backend.as_str()).collect::<Vec<_>>().join(", ");
    say(&format!("\n{} results from {} browsers on {names}.", rows.len(), engines.len()))?;
    match (rows.is_empty(), wrong.is_empty()) {
        (true, _) => Err("no browser computed anything".into()),
        (false, false) => Err(format!("wrong numbers:{wrong}").into()),
        (false, true) => Ok(()),
    }
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
