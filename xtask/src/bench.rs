//! `cargo xtask bench`: a benchmark of the pool, compiled as users compile it.

use anyhow::{Context as _, Result};

use crate::flags::Bench;
use crate::home::{HOME_VARIABLE, home};
use crate::sh::Cmd;

/// Runs the example that measures what was asked for.
pub(crate) fn run(flags: &Bench) -> Result<()> {
    let (package, example, features) = flags.what.example();
    let mut bench = Cmd::cargo("run").args(["--release", "--package", package, "--example", example]);
    bench = bench.args(["--features", features, "--"]);
    if let Some(file) = &flags.json {
        // The benchmark runs in the workspace root; the file is meant relative to where the user stands.
        let file = std::path::absolute(file).with_context(|| format!("{file} is no usable path"))?;
        bench = bench.arg("--json").arg(file);
    }
    bench.args(&flags.rest).env(HOME_VARIABLE, home()?).run()
}
