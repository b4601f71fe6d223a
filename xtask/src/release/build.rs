//! The binary of a release: of optimised code, without what differs from one machine or day to the next.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{commit, root};
use crate::metadata;
use crate::sh::Cmd;

/// Builds the binary exactly as the lock file says. Its folder is one of its own, because other options would make
/// cargo compile everything anew in turns.
pub(super) fn release() -> Result<PathBuf> {
    let target = PathBuf::from(metadata::load()?.target).join("release-build");
    let homes = [("CARGO_HOME", ".cargo", "cargo"), ("RUSTUP_HOME", ".rustup", "rustup")];
    let mut moved = vec![(root(), "webnn-pool".to_owned())];
    for (variable, below_home, name) in homes {
        let folder = std::env::var_os(variable).map(PathBuf::from);
        let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below_home)));
        moved.extend(folder.map(|folder| (folder.display().to_string(), name.to_owned())));
    }
    // Separated by a byte that no path holds.
    let rust: Vec<String> =
        moved.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let c: Vec<String> = moved.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    Cmd::cargo("build")
        .args(["--release", "--locked", "--package", "webnn-pool", "--bin", "webnn-pool"])
        .args(["--config", "profile.release.strip=\"debuginfo\""])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env("CFLAGS", c.join(" "))
        .env("SOURCE_DATE_EPOCH", epoch()?.to_string())
        .env("WEBNN_POOL_COMMIT", commit()?)
        .env("CARGO_INCREMENTAL", "0")
        .run()?;
    Ok(target.join("release/webnn-pool"))
}

/// The time that everything in a release bears, in seconds since 1970: what SOURCE_DATE_EPOCH says, or when the commit
/// was made.
pub(super) fn epoch() -> Result<u64> {
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(told) => told,
        Err(_) => Cmd::new("git").args(["log", "-1", "--format=%ct"]).read()?,
    };
    told.trim().parse().with_context(|| format!("SOURCE_DATE_EPOCH is no number of seconds: {told:?}"))
}
