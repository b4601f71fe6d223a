//! The tests on a real PostgreSQL server: its programs are installed, and each test binary starts a server of its own.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::compile;
use crate::metadata;
use crate::sh::Cmd;
use crate::system;
use crate::tally::Tally;

/// The feature that these tests require, so that plain `cargo test` leaves them out.
pub(crate) const FEATURE: &str = "postgres-tests";

/// Whether the programs are where the tests look for them.
const PROBE: &str = r#"
for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb)"; do
    [ -x "$initdb" ] && exit 0
done
exit 1
"#;

/// What Debian's and Ubuntu's packages read before they make a server that always runs.
const SETTINGS: &str = "/etc/postgresql-common";

/// Installs the server's programs where they are missing.
pub(crate) fn ensure() -> Result<()> {
    let probe = Cmd::new("sh").args(["-c", PROBE]);
    if probe.succeeds() {
        return Ok(());
    }
    let _no_server = NoServer::new(Path::new(SETTINGS));
    let what = "PostgreSQL, of which the tests of the history start a server, is missing";
    system::ensure(what, &probe, &["postgresql"])
}

/// Runs every test binary that needs a server, and adds its results.
pub(crate) fn run_into(tally: &mut Tally) -> Result<()> {
    ensure()?;
    let mut names = Vec::new();
    for member in metadata::load()?.members {
        for target in member.targets {
            if target.required_features.iter().any(|feature| feature == FEATURE) {
                names.extend(["--test".to_owned(), target.name]);
            }
        }
    }
    if names.is_empty() {
        bail!("no test needs `{FEATURE}`: has the feature another name now?");
    }
    tally.run(compile::cargo("test")?.arg("--no-fail-fast").args(names))
}

/// Keeps the packages from making a server that always runs, as long as it exists: tests start their own. Where
/// anything of PostgreSQL is installed already, it does nothing.
struct NoServer(Option<PathBuf>);

impl NoServer {
    fn new(settings: &Path) -> Self {
        let folder = settings.join("createcluster.d");
        let file = folder.join("webnn-pool.conf");
        let write = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&file, "create_main_cluster = false\n")
        };
        // Who may not write there may not install anything either, and is told so.
        let written = !settings.exists() && write().is_ok();
        Self(written.then_some(file))
    }
}

impl Drop for NoServer {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_installation_makes_no_server_and_one_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = dir.path().join("postgresql-common");
        let file = settings.join("createcluster.d/webnn-pool.conf");
        let no_server = NoServer::new(&settings);
        let text = std::fs::read_to_string(&file).expect("it is there meanwhile");
        assert_eq!(text, "create_main_cluster = false\n");
        drop(no_server);
        assert!(!file.exists(), "it is gone afterwards");
        let no_server = NoServer::new(&settings);
        assert!(!file.exists(), "what is installed is left alone");
        drop(no_server);
    }
}
