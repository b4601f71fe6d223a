//! `cargo xtask shards`: parts of models against the whole, in a runtime that we did not write.

use std::path::Path;

use anyhow::Result;

use crate::compile;
use crate::fixtures;
use crate::flags::Shards;
use crate::home::home;
use crate::metadata;
use crate::sh::Cmd;

/// Builds what cuts, and hands it to the check in `fixtures/shards.py`, which prints a table.
pub(crate) fn run(flags: &Shards) -> Result<()> {
    let home = home()?;
    let python = fixtures::python(&home)?;
    compile::cargo("build")?.args(["--example", "shard"]).run()?;
    let program = Path::new(&metadata::load()?.target).join("debug/examples/shard");
    let mut check = Cmd::new(python).arg("fixtures/shards.py").arg("--shard").arg(program);
    check = check.arg("--fixtures").arg(fixtures::folder(&home));
    for (wanted, flag) in [(flags.sample, "--sample"), (flags.optimised, "--optimised")] {
        if wanted {
            check = check.arg(flag);
        }
    }
    for (value, flag) in [(&flags.only, "--only"), (&flags.json, "--json")] {
        if let Some(value) = value {
            check = check.args([flag, value]);
        }
    }
    check.run()
}
