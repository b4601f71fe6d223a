//! Cuts a model with the crate `sharding`, runs the parts in this process with tract, and compares their answer with that
//! of the whole model. No browser, no socket, no database: this is all that a user of the crate has to write.
//!
//!     cargo run -- [MODEL [SHARDS [STRATEGY [REQUEST]]]]
//!
//! Exit status: 0 the answers are the same; 1 they are not, or something failed; 2 the command line was wrong.

mod arguments;
mod failure;
mod host;
mod model;
mod tensors;

use std::error::Error;
use std::process::ExitCode;

use sharding::{Answer, Executor, ExecutorConfig, ModelFile, Plan, Request, WriteOptions, plan, write};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, Limits};

use arguments::{Arguments, USAGE};
use host::TractHost;
use model::TractModel;
use tensors::{difference, is_numbers, made_up};

/// How far an output may be off, as a part of its largest magnitude or of 1, whichever is more.
const TOLERANCE: f64 = 1e-4;

#[tokio::main]
async fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let Some(arguments) = Arguments::parse(&given) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            eprintln!("{}", causes.fold(format!("error: {error}"), |text, cause| format!("{text}: {cause}")));
            ExitCode::FAILURE
        }
    }
}

/// Says whether the parts gave what the whole gives.
async fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let file = ModelFile::open(&arguments.model)?;
    let sharding = plan(&file, &Request::new(arguments.strategy, arguments.shards))?;
    let parts = tempfile::tempdir()?;
    let plan = write(&sharding, parts.path(), &WriteOptions::default())?;
    println!("{plan}");

    let inputs = inputs(arguments, &plan)?;
    let outputs = plan.outputs.iter().map(|output| output.spec.name.clone()).collect();
    let whole = TractModel::open(&arguments.model, outputs)?.run(&inputs)?;
    if let Some(output) = whole.iter().find(|output| !is_numbers(&output.tensor)) {
        let name = &output.name;
        return Err(format!("with these inputs {name} has no numbers to compare: hand in a request").into());
    }

    let host = TractHost::new(arguments.shards as u64);
    let executor = Executor::new(plan, parts.path(), host, ExecutorConfig::default())?;
    executor.deploy().await?;
    let answer = executor.run(inputs).await?;
    report_stages(&answer);
    let same = report_outputs(&whole, &answer.outputs)?;
    executor.shutdown().await;
    Ok(same)
}

fn inputs(arguments: &Arguments, plan: &Plan) -> Result<Vec<NamedTensor>, Box<dyn Error>> {
    match &arguments.request {
        Some(path) => Ok(InferRequest::from_json(&std::fs::read(path)?, &Limits::default())?.inputs),
        None => plan.inputs.iter().map(|spec| made_up(spec, |dim| plan.assumptions.size(dim))).collect(),
    }
}

fn report_stages(answer: &Answer) {
    println!("{:>5} {:>6} {:>9} {:>9} {:>10} {:>10}", "stage", "worker", "attempts", "ms", "B in", "B out");
    for of in &answer.metrics.components {
        println!(
            "{:>5} {:>6} {:>9} {:>9.2} {:>10} {:>10}",
            of.stage, of.worker, of.attempts, of.compute_ms, of.input_bytes, of.output_bytes
        );
    }
}

fn report_outputs(whole: &[NamedTensor], parts: &[NamedTensor]) -> Result<bool, Box<dyn Error>> {
    println!("\n{:<28} {:<20} {:>14} {:>12}", "output", "shape", "max |value|", "max |diff|");
    let mut same = whole.len() == parts.len();
    for (expected, got) in whole.iter().zip(parts) {
        let (apart, scale) = difference(&expected.tensor, &got.tensor)?;
        let right = expected.name == got.name && apart <= TOLERANCE * scale.max(1.0);
        let shape = expected.tensor.shape().to_string();
        let verdict = if right { "" } else { "  WRONG" };
        println!("{:<28} {shape:<20} {scale:>14.6} {apart:>12.3e}{verdict}", expected.name);
        same &= right;
    }
    println!(
        "{}",
        if same { "the parts give what the whole gives" } else { "the parts give something else" }
    );
    Ok(same)
}
