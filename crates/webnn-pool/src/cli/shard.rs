//! `webnn-pool shard`

use std::path::PathBuf;

use sharding::{ModelFile, Request, Strategy, WriteOptions};

use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, an ONNX file; weights beside it are found.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// How many shards to cut for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: u16,
    /// How to cut: layer, attention-feedforward, component or optimal.
    #[arg(long, value_name = "S")]
    strategy: Strategy,
    /// The folder for one .onnx a stage and plan.json; made where it is missing. An older plan's parts there are removed.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The size of a dimension that the model leaves open, for estimates: NAME=SIZE. May be repeated.
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    dim: Vec<(String, u64)>,
    /// Requests that will be on their way at the same time, for estimates.
    #[arg(long, value_name = "N", default_value_t = 1)]
    in_flight: u32,
    /// Also draw the plan into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the plan as JSON on standard output.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    // Reading and writing files of gigabytes would hold up an interrupt.
    tokio::task::spawn_blocking(move || cut(&args)).await?
}

fn cut(args: &Args) -> Result<(), Failure> {
    let file = ModelFile::open(&args.model)?;
    let mut request = Request::new(args.strategy, args.shards.into());
    request.assumptions.sizes.extend(args.dim.iter().cloned());
    request.in_flight = args.in_flight.max(1);
    let sharding = sharding::plan(&file, &request)?;
    let plan = sharding::write(&sharding, &args.out, &WriteOptions::default())?;
    out::note(&format!("wrote {} parts and plan.json to {}", plan.stages.len(), args.out.display()));
    if let Some(path) = &args.svg {
        std::fs::write(path, sharding::svg(&plan))
            .map_err(|error| format!("could not write {}: {error}", path.display()))?;
        out::note(&format!("wrote {}", path.display()));
    }
    if args.json {
        return out::result(&serde_json::to_string(&plan)?);
    }
    out::result(plan.to_string().trim_end())
}

fn dimension(text: &str) -> Result<(String, u64), String> {
    let (name, size) = text.split_once('=').ok_or("expected NAME=SIZE")?;
    let size = size.parse().ok().filter(|&size| size > 0).ok_or_else(|| format!("{size:?} is no size"))?;
    Ok((name.to_owned(), size))
}
