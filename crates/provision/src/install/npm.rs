//! Fetching a pinned package with npm.

use std::path::{Path, PathBuf};

use super::Work;
use super::error::PartError;
use super::publish::at;
use super::report::Item;

/// What helps where npm is missing.
pub(super) const ADVICE: &str =
    "install Node.js with npm from your package manager (package npm or nodejs) or from nodejs.org";

/// A package with the manifest and the lockfile that pin it and everything it depends on.
///
/// The lockfile names no registry, so npm uses the one that the user has set, and compares what comes with the
/// integrity hashes.
pub(super) struct Pinned {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) manifest: &'static str,
    pub(super) lockfile: &'static str,
    /// The download's size, in words.
    pub(super) size: &'static str,
}

/// Settings for this one folder, which come before the user's own.
///
/// npm's defaults wait 70 s before they say that there is no network; these wait 7 s. The engine check is about running
/// the package's JavaScript, which never happens here.
const SETTINGS: &str = "engine-strict=false
fetch-retries=3
fetch-retry-factor=2
fetch-retry-mintimeout=1000
fetch-retry-maxtimeout=10000
progress=false
update-notifier=false
";

impl Work<'_> {
    /// Fetches the package into a folder for work in progress and returns the folder of the package itself.
    pub(super) fn npm_fetch(&mut self, item: Item, pinned: &Pinned, why: &str) -> Result<PathBuf, PartError> {
        let Some(npm) = self.host.program("npm") else {
            let why = "it fetches this and checks its integrity hash";
            return Err(PartError::ProgramMissing { program: "npm", why, advice: ADVICE });
        };
        let folder = self.scratch.folder().join(format!("npm-{item}"));
        write(&folder, "package.json", pinned.manifest)?;
        write(&folder, "package-lock.json", pinned.lockfile)?;
        write(&folder, ".npmrc", SETTINGS)?;
        let mut command = self.host.command(&npm);
        command.current_dir(&folder).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--omit=dev",
            "--omit=optional",
            "--loglevel=error",
        ]);
        let what = format!("fetching {} {} ({}) with npm", pinned.package, pinned.version, pinned.size);
        self.begin(item, &what, why);
        self.run(item, "npm ci", command)?;
        Ok(pinned.package.split('/').fold(folder.join("node_modules"), |path, part| path.join(part)))
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), PartError> {
    let path = folder.join(name);
    let done = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    done.map_err(at(&path))
}
