//! `cargo xtask clients`: the server before clients that we did not write.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::flags::Clients;
use crate::home::home;
use crate::leftovers::Snapshot;
use crate::sh::{Cmd, Reported};
use crate::tally::Tally;
use crate::{fixtures, python, setup};

/// What pip may install, by hash.
const LOCK: &str = "fixtures/clients/requirements.lock";

/// Builds the binary, and lets the tests in `fixtures/clients` start it and ask it.
pub(crate) fn run(flags: &Clients) -> Result<()> {
    let mut tally = Tally::default();
    let done = run_alone(flags, &mut tally);
    if let Err(error) = &done {
        eprintln!("error: {error:#}");
    }
    println!("\n{tally}");
    done.map_err(|_| Reported.into())
}

/// The same, with its results added to a tally.
pub(crate) fn run_alone(flags: &Clients, tally: &mut Tally) -> Result<()> {
    let binary = setup::build()?.join("webnn-pool");
    let before = Snapshot::take()?;
    let done = ask(&binary, flags, tally);
    let clean = before.expect_nothing_more();
    if clean.is_err() {
        tally.failed += 1;
    }
    done.and(clean)
}

/// The same with a binary that is there, while other pools run.
pub(crate) fn run_beside(flags: &Clients, tally: &mut Tally) -> Result<()> {
    ask(&setup::built()?.join("webnn-pool"), flags, tally)
}

fn ask(binary: &Path, flags: &Clients, tally: &mut Tally) -> Result<()> {
    let home = home()?;
    let python = environment(&home)?;
    // Python writes its compiled files nowhere: the tree stays as it is. Each option is one word with its value, because
    // pytest looks for tests beside every word that could be a path.
    let word = |option: &str, path: &Path| format!("--{option}={}", path.display());
    let mut tests = Cmd::new(python).args(["-B", "-m", "pytest", "-c", "fixtures/clients/pytest.ini"]);
    tests = tests.arg(word("binary", binary)).arg(word("built", &fixtures::folder(&home)));
    tests = tests.arg("fixtures/clients");
    if flags.full {
        tests = tests.arg("--full");
    }
    if let Some(expression) = &flags.only {
        tests = tests.args(["-k", expression]);
    }
    tally.run(tests)
}

/// The interpreter that has the clients.
pub(crate) fn environment(home: &Path) -> Result<PathBuf> {
    python::environment(home, "python-clients", LOCK, "The tests need clients for Python that others wrote")
}
