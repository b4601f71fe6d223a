//! `cargo xtask fixtures`: models with their native references, built by Python in an environment of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::flags::Fixtures;
use crate::home::home;
use crate::sh::{self, Cmd};
use crate::system;

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

/// The interpreter of an environment that holds exactly what the lock file names; made when it is missing.
pub(crate) fn python(home: &Path) -> Result<PathBuf> {
    let environment = home.join("python");
    let python = environment.join("bin/python");
    let lock =
        std::fs::read_to_string(sh::root().join(LOCK)).with_context(|| format!("cannot read {LOCK}"))?;
    // The stamp is the lock file as it was when pip last finished: equal means that nothing is left to do.
    let stamp = environment.join("installed.lock");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(python);
    }
    println!("The fixtures need ONNX and ONNX Runtime for Python: making an environment for them alone.");
    // Debian ships Python without what makes environments.
    let probe =
        Cmd::new("python3").args(["-c", "import ensurepip, venv, sys; sys.exit(sys.version_info < (3, 11))"]);
    system::ensure(
        "Python 3.11 or newer, able to make environments, is missing",
        &probe,
        &["python3", "python3-venv"],
    )?;
    std::fs::create_dir_all(home).with_context(|| format!("cannot make {}", home.display()))?;
    Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).run()?;
    Cmd::new(&python)
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", LOCK])
        .run()
        .context("pip could not install the fixtures' packages: is there a network, or a mirror in pip's settings?")?;
    std::fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}
