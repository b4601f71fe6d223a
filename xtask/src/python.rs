//! Environments for Python, each with exactly what a lock file names.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sh::{self, Cmd};
use crate::system;

/// The interpreter of an environment in the home that holds exactly what the lock file names; made when it is missing.
///
/// `why` says in words who needs what, for whoever waits.
pub(crate) fn environment(home: &Path, name: &str, lock: &str, why: &str) -> Result<PathBuf> {
    let environment = home.join(name);
    let python = environment.join("bin/python");
    let wanted =
        std::fs::read_to_string(sh::root().join(lock)).with_context(|| format!("cannot read {lock}"))?;
    // The stamp is the lock file as it was when pip last finished: equal means that nothing is left to do.
    let stamp = environment.join("installed.lock");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("{why}: making an environment for them alone.");
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
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-r",
            lock,
        ])
        .run()
        .with_context(|| {
            format!("pip could not install {lock}: is there a network, or a mirror in pip's settings?")
        })?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}
