//! `cargo xtask fixtures`: models with their native references, built by Python in an environment of its own.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::flags::Fixtures;
use crate::home::home;
use crate::python;
use crate::sh::Cmd;

/// What pip may install, by hash.
const LOCK: &str = "fixtures/requirements.lock";

/// Builds the fixtures that are asked for into the home.
pub(crate) fn run(flags: &Fixtures) -> Result<()> {
    let home = home()?;
    let python = python(&home)?;
    let mut build = Cmd::new(python).arg("fixtures/build.py").arg("--out").arg(folder(&home));
    if let Some(list) = &flags.only {
        build = build.args(["--only", list]);
    }
    build.run()
}

/// Where the built fixtures lie.
pub(crate) fn folder(home: &Path) -> PathBuf {
    home.join("fixtures")
}

/// The interpreter that builds them.
pub(crate) fn python(home: &Path) -> Result<PathBuf> {
    python::environment(home, "python", LOCK, "The fixtures need ONNX and ONNX Runtime for Python")
}
