//! The code of our pages, the workers' and the live one: types by `tsc --checkJs`, habits by eslint. A developer's check; no user of the pool needs it.
//!
//! The versions run on Node.js 18, which is what Debian's stable release of 2023 has; eslint 10 does not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::metadata;
use crate::sh::{self, Cmd};
use crate::system;

/// Where the modules of each page lie.
const PAGES: [&str; 2] = ["crates/webnn-bridge/page", "crates/service/page"];

/// The settings, and the packages pinned by hash.
const SETTINGS: &str = "xtask/page-check";

/// Checks every module of every page, the others also after one has failed.
pub(crate) fn run() -> Result<()> {
    let tools = install()?;
    let mut whole = Ok(());
    for page in PAGES {
        whole = whole.and(check(&tools, &sh::root().join(page)));
    }
    whole
}

fn check(tools: &Path, page: &Path) -> Result<()> {
    if !has_module(page) {
        bail!("there is no JavaScript module in {}", page.display());
    }
    let types = types_settings(tools, page)?;
    let program = |name: &str| Cmd::new(tools.join("node_modules/.bin").join(name));
    let types = program("tsc").arg("--project").arg(types).run();
    let habits = program("eslint")
        .args(["--max-warnings", "0", "--config"])
        .arg(tools.join("eslint.config.js"))
        .arg(page)
        .run();
    types.and(habits)
}

fn has_module(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .any(|path| path.extension().is_some_and(|end| end == "js") || has_module(&path))
}

/// Installs the tools into the target directory, so that no `node_modules` appears in the tree. axe-core is among them, by
/// which the tests of the live page look at it.
pub(crate) fn install() -> Result<PathBuf> {
    let settings = sh::root().join(SETTINGS);
    let tools = Path::new(&metadata::load()?.target).join("page-check");
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot make {}", tools.display()))?;
    for name in ["package.json", "package-lock.json", "tsconfig.json", "eslint.config.js"] {
        std::fs::copy(settings.join(name), tools.join(name))
            .with_context(|| format!("cannot copy {SETTINGS}/{name}"))?;
    }
    // npm writes its own lock last: one that is equal to ours means that everything is there.
    let lock =
        std::fs::read_to_string(tools.join("package-lock.json")).context("cannot read the lock file")?;
    let stamp = tools.join("node_modules/installed.lock");
    if !std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        system::ensure("npm is missing", &Cmd::new("npm").arg("--version"), &["nodejs", "npm"])?;
        Cmd::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).dir(&tools).run().context(
            "npm could not install the page's checkers: are Node.js, npm and a network or a mirror in npm's settings there?",
        )?;
        std::fs::write(&stamp, lock).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(tools)
}

/// The committed settings, pointed at the page: `tsc` takes no files next to a project.
fn types_settings(tools: &Path, page: &Path) -> Result<PathBuf> {
    let file = tools.join("tsconfig.page.json");
    let settings = json!({ "extends": "./tsconfig.json", "include": [page.join("**/*.js")] });
    std::fs::write(&file, settings.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}
