//! `cargo xtask release`: the archive that users without a Rust toolchain download, and whether the crates could be
//! published.

mod archive;
mod build;
mod publish;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::flags::Release;
use crate::sh::{self, Cmd};
use crate::{metadata, setup, tidy};
use archive::{Archive, Packing};

/// Builds the archive and its sums, or sees whether the crates could be published.
pub(crate) fn run(flags: &Release) -> Result<()> {
    if flags.dry_run {
        return publish::dry_run(flags.verify);
    }
    // The lock files are among the house rules.
    tidy::run()?;
    let out = out_folder(flags.out.as_deref())?;
    let binary = if flags.debug { debug_binary()? } else { build::release()? };
    let archive = pack(&binary, &out, if flags.debug { Packing::Fast } else { Packing::Small })?;
    println!("\n{}\n{}", archive.file.display(), archive.sums.display());
    println!("check it: (cd {} && sha256sum -c SHA256SUMS)", out.display());
    Ok(())
}

/// Packs the binary of the tests twice, at different places, and fails where the archives differ, or where one cannot be
/// unpacked to a program that works.
pub(crate) fn check() -> Result<()> {
    let binary = debug_binary()?;
    let folder = PathBuf::from(metadata::load()?.target).join("release-check");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let first = pack(&binary, &folder.join("first"), Packing::Fast)?;
    let second = pack(&binary, &folder.join("elsewhere/second"), Packing::Fast)?;
    let [sums, again] = [&first, &second].map(|archive| std::fs::read_to_string(&archive.sums));
    if sums? != again? {
        bail!("two archives of one binary differ: what in them depends on time or place?");
    }
    Cmd::new("sha256sum").args(["--check", "--strict", archive::SUMS]).dir(first.folder()).run()?;
    archive::try_out(&first, &folder.join("unpacked"))?;
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn debug_binary() -> Result<PathBuf> {
    Ok(setup::build()?.join("webnn-pool"))
}

fn out_folder(asked: Option<&Path>) -> Result<PathBuf> {
    match asked {
        Some(folder) => std::path::absolute(folder).context("the folder for the archive is no path"),
        None => Ok(PathBuf::from(metadata::load()?.target).join("release-archive")),
    }
}

fn pack(binary: &Path, out: &Path, packing: Packing) -> Result<Archive> {
    let workspace = metadata::load()?;
    let name = format!("webnn-pool-{}-{}", workspace.member("webnn-pool")?.version, host()?);
    archive::write(&archive::Contents::collect(binary, &name, out)?, out, build::epoch()?, packing)
}

/// The triple that the compiler builds for.
fn host() -> Result<String> {
    let told = Cmd::new("rustc").arg("-vV").read()?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell what it builds for")
}

/// The commit that is checked out, short; with a mark where the tree has other changes.
fn commit() -> Result<String> {
    let git = |args: &[&str]| Cmd::new("git").args(args).read();
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.trim().is_empty();
    Ok(format!("{}{}", commit.trim(), if changed { ", changed" } else { "" }))
}

/// The root of the workspace as text, for the compiler's options.
fn root() -> String {
    sh::root().display().to_string()
}
