//! `cargo xtask setup`: everything that the demo and the tests need from outside.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::flags::Setup;
use crate::home::{HOME_VARIABLE, home};
use crate::sh::Cmd;
use crate::{compile, fixtures, metadata, postgres};

/// Everything that the tests need: what the demo needs, and PostgreSQL.
pub(crate) fn all(flags: &Setup) -> Result<()> {
    run(flags)?;
    postgres::ensure()
}

/// Lets the product's own `setup` do its work, and prepares the Python that builds the fixtures.
pub(crate) fn run(flags: &Setup) -> Result<()> {
    let home = home()?;
    println!("Everything that is installed for this project goes to {}.", home.display());
    println!("Set {HOME_VARIABLE} to put it elsewhere; delete that folder to be rid of it.");
    // The one waits for downloads, the other compiles. Both are over before anything else asks for system packages.
    let (built, python) = std::thread::scope(|scope| {
        let python = scope.spawn(|| fixtures::python(&home));
        (build(), python.join())
    });
    let mut setup = Cmd::new(built?.join("webnn-pool")).arg("setup");
    if let Some(list) = &flags.browsers {
        setup = setup.args(["--browsers", list]);
    }
    setup.env(HOME_VARIABLE, &home).run()?;
    python.unwrap_or_else(|_| bail!("preparing Python panicked"))?;
    Ok(())
}

/// Builds the binary and the demo, and returns the folder in which the binary lies.
///
/// With an example among what is built, cargo resolves the features of everything below as it does for
/// `cargo test --workspace`: what is compiled for the first step is not compiled again for the tests.
pub(crate) fn build() -> Result<PathBuf> {
    compile::cargo("build")?.args(["--bin", "webnn-pool", "--example", "demo"]).run()?;
    built()
}

/// The folder in which the binary lies once it is built.
pub(crate) fn built() -> Result<PathBuf> {
    Ok(Path::new(&metadata::load()?.target).join("debug"))
}
