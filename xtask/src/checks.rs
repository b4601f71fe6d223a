//! The checks that read code and run none of it: formatting, house rules, lints, documentation.

use anyhow::Result;

use crate::sh::Cmd;

/// Formatting is as `cargo fmt` leaves it.
pub(crate) fn formatting() -> Result<()> {
    Cmd::cargo("fmt").args(["--all", "--check"]).run()
}

/// Clippy has nothing to say, with the browser-backed tests included.
pub(crate) fn clippy() -> Result<()> {
    Cmd::cargo("clippy")
        .args(["--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
        .run()
}

/// The documentation builds without a warning.
pub(crate) fn documentation() -> Result<()> {
    Cmd::cargo("doc")
        .args(["--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}
