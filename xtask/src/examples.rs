//! The programs under `examples/`: each stands outside of the workspace, as a user of our crates does.
//!
//! What such a user may not be made to pull in, `tidy` checks.

use std::path::Path;

use anyhow::Result;

use crate::metadata;
use crate::sh::Cmd;

const SHARD_IN_PROCESS: &str = "examples/shard-in-process/Cargo.toml";

/// Cuts models and runs their parts, embedded in a program that has no browser. It fails where the parts together give
/// something else than the whole model.
pub(crate) fn run() -> Result<()> {
    Cmd::cargo("fmt").args(["--check", "--manifest-path", SHARD_IN_PROCESS]).run()?;
    let target = Path::new(&metadata::load()?.target).join("examples");
    let program = Cmd::cargo("run").args(["--locked", "--quiet", "--manifest-path", SHARD_IN_PROCESS]);
    let program = program.arg("--target-dir").arg(target);
    program.run()
}
