//! `cargo xtask demo`: from nothing to sentences embedded on real engines.

use anyhow::Result;

use crate::flags::{Fixtures, Setup};
use crate::home::{HOME_VARIABLE, home};
use crate::sh::Cmd;
use crate::{fixtures, setup};

/// Sets up, builds the one model that is needed, and runs the example.
pub(crate) fn run() -> Result<()> {
    let home = home()?;
    setup::run(&Setup::default())?;
    fixtures::run(&Fixtures { only: Some("minilm".to_owned()) })?;
    let demo = setup::build()?.join("examples/demo");
    Cmd::new(demo).arg("--fixtures").arg(fixtures::folder(&home)).env(HOME_VARIABLE, home).run()
}
