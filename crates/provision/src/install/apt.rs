//! Debian's packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Work;
use super::error::PartError;
use super::report::Item;
use crate::probe;

/// How apt-get can be run with root's rights.
enum Root {
    /// We are root.
    Ourselves,
    /// sudo works without asking.
    Sudo(PathBuf),
}

impl Work<'_> {
    /// Installs those of the packages that are missing, and says which these were.
    pub(super) fn apt_install(
        &mut self,
        item: Item,
        wanted: &[&str],
        why: &str,
    ) -> Result<Vec<String>, PartError> {
        let missing: Vec<String> = wanted
            .iter()
            .filter(|name| !self.is_package_installed(name))
            .map(|&name| name.to_owned())
            .collect();
        if missing.is_empty() {
            return Ok(missing);
        }
        let by_hand = format!("sudo apt-get install {}", missing.join(" "));
        let Some(apt_get) = self.host.program("apt-get") else {
            return Err(PartError::ByHand { advice: by_hand });
        };
        let root = self.root().ok_or(PartError::NotRoot { command: by_hand })?;
        if !self.indexes_updated {
            self.indexes_updated = true;
            self.begin(item, "running apt-get update", "packages are missing and their list may be old");
            let mut update = self.apt_get(&root, &apt_get);
            update.args(["-q", "update"]);
            // One dead repository fails the whole update, though what we need may come from another one. Whether that
            // matters shows when the packages are installed.
            let _ = self.run(item, "apt-get update", update);
        }
        let missing = self.first_available(missing);
        let mut install = self.apt_get(&root, &apt_get);
        install.args(["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]);
        install.args(["-o", "Dpkg::Use-Pty=0", "install"]).args(&missing);
        self.begin(item, &format!("installing the packages {}", missing.join(", ")), why);
        self.run(item, "apt-get install", install)?;
        Ok(missing)
    }

    fn is_package_installed(&self, package: &str) -> bool {
        let Some(query) = self.host.program("dpkg-query") else {
            return false;
        };
        let status = probe::ask(self.host, &query, &["-W", "-f=${db:Status-Status}", package]);
        status.is_ok_and(|status| status.trim() == "installed")
    }

    /// Newer Debian releases call WebKitGTK's driver by another name.
    fn first_available(&self, mut packages: Vec<String>) -> Vec<String> {
        let Some(cache) = self.host.program("apt-cache") else {
            return packages;
        };
        let knows = |package: &str| probe::ask(self.host, &cache, &["show", package]).is_ok();
        for package in &mut packages {
            if package == "webkit2gtk-driver" && !knows(package) && knows("webkitgtk-webdriver") {
                "webkitgtk-webdriver".clone_into(package);
            }
        }
        packages
    }

    fn root(&self) -> Option<Root> {
        let id = self.host.program("id").and_then(|id| probe::ask(self.host, &id, &["-u"]).ok());
        if id.is_some_and(|id| id.trim() == "0") {
            return Some(Root::Ourselves);
        }
        let sudo = self.host.program("sudo")?;
        probe::ask(self.host, &sudo, &["-n", "true"]).ok()?;
        Some(Root::Sudo(sudo))
    }

    fn apt_get(&self, root: &Root, apt_get: &Path) -> Command {
        match root {
            Root::Ourselves => {
                let mut command = self.host.command(apt_get);
                command.env("DEBIAN_FRONTEND", "noninteractive");
                command
            }
            Root::Sudo(sudo) => {
                // sudo drops the environment, so the variable has to be set on its far side.
                let mut command = self.host.command(sudo);
                command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive"]).arg(apt_get);
                command
            }
        }
    }
}
