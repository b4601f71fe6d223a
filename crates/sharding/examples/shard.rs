//! Cuts a model from the command line: `shard MODEL STRATEGY SHARDS FOLDER [INLINE_LIMIT]`.
//!
//! Exit status: 0 cut; 1 failed; 3 the strategy does not fit the model, with the reason on standard error.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to its user's terminal")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use sharding::{ModelFile, PlanError, Request, WriteOptions, plan, write};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("{error}{cause}");
            let misfit = matches!(error.downcast_ref(), Some(PlanError::Misfit { .. }));
            ExitCode::from(if misfit { 3 } else { 1 })
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, strategy, shards, folder, limit @ ..] = arguments.as_slice() else {
        return Err("usage: shard MODEL STRATEGY SHARDS FOLDER [INLINE_LIMIT]".into());
    };
    let mut options = WriteOptions::default();
    if let [limit] = limit {
        options.inline_limit = limit.parse()?;
    }
    let file = ModelFile::open(model)?;
    let sharding = plan(&file, &Request::new(strategy.parse()?, shards.parse()?))?;
    println!("{}", write(&sharding, Path::new(folder), &options)?);
    Ok(())
}
