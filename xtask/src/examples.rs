//! Programs that use one of our crates alone. Those under `examples/` stand outside of the workspace, as a user does.
//!
//! What such a user may not be made to pull in, `tidy` checks.

use std::path::Path;

use anyhow::Result;

use crate::sh::Cmd;
use crate::{compile, metadata};

const SHARD_IN_PROCESS: &str = "examples/shard-in-process/Cargo.toml";

/// Cuts models and runs their parts, embedded in a program that has no browser; it fails where the parts together give
/// something else than the whole model. Then revives a child process by the recovery layer alone.
pub(crate) fn run() -> Result<()> {
    Cmd::cargo("fmt").args(["--check", "--manifest-path", SHARD_IN_PROCESS]).run()?;
    let built = metadata::load()?.target;
    let target = Path::new(&built).join("examples");
    let program = Cmd::cargo("run").args(["--locked", "--quiet", "--manifest-path", SHARD_IN_PROCESS]);
    let program = program.arg("--target-dir").arg(target);
    program.run()?;
    compile::cargo("build")?.args(["--example", "revive_child"]).run()?;
    Cmd::new(Path::new(&built).join("debug/examples/revive_child")).run()
}
