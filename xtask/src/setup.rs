//! `cargo xtask setup`: everything that the demo and the tests need from outside.

use anyhow::Result;

use crate::fixtures;
use crate::flags::Setup;
use crate::home::{HOME_VARIABLE, home};
use crate::sh::Cmd;

/// Lets the product's own `setup` do its work, and prepares the Python that builds the fixtures.
pub(crate) fn run(flags: &Setup) -> Result<()> {
    let home = home()?;
    println!("Everything that is installed for this project goes to {}.", home.display());
    println!("Set {HOME_VARIABLE} to put it elsewhere; delete that folder to be rid of it.");
    browsers(flags)?;
    fixtures::python(&home)?;
    Ok(())
}

fn browsers(flags: &Setup) -> Result<()> {
    let home = home()?;
    let mut setup = Cmd::cargo("run").args(["--package", "webnn-pool", "--bin", "webnn-pool", "--", "setup"]);
    if let Some(list) = &flags.browsers {
        setup = setup.args(["--browsers", list]);
    }
    setup.env(HOME_VARIABLE, home).run()
}
