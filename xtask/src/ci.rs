//! `cargo xtask ci`: what `.ci/run` does, with the time of each step.

use anyhow::{Context as _, Result, bail};

use crate::home::HOME_VARIABLE;
use crate::metadata;
use crate::sh::{self, Cmd};

/// Runs the README's two commands in a home that starts out empty, so that set-up is really exercised.
pub(crate) fn run() -> Result<()> {
    let home = std::path::Path::new(&metadata::load()?.target).join("ci-home");
    if home.exists() {
        std::fs::remove_dir_all(&home).with_context(|| format!("cannot empty {}", home.display()))?;
    }
    // Each verb is its own process, because the home travels in the environment.
    let xtask = std::env::current_exe().context("cannot find our own executable")?;
    let mut failed = Vec::new();
    let mut times = Vec::new();
    for verb in ["demo", "test"] {
        let command = Cmd::new(&xtask).arg(verb).env(HOME_VARIABLE, &home).env("CARGO_INCREMENTAL", "0");
        let (done, took) = sh::timed(|| command.run());
        if let Err(error) = done {
            eprintln!("error: {error:#}");
            failed.push(verb);
        }
        times.push(format!("{verb:<6} {:>7.1} s", took.as_secs_f64()));
    }
    println!("\n{}", times.join("\n"));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
