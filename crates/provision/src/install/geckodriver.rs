//! geckodriver, built from crates.io.

use std::ffi::OsStr;
use std::path::PathBuf;

use vocab::BrowserName;

use super::error::PartError;
use super::report::Item;
use super::{Done, Work};
use crate::detect::find_driver_alone;
use crate::pins;

impl Work<'_> {
    pub(super) fn geckodriver(&mut self) -> Result<Done, PartError> {
        let found = match find_driver_alone(self.host, self.home, BrowserName::Firefox) {
            Ok(found) => found,
            Err(reason) => return Err(PartError::StillMissing { reason }),
        };
        if let Some(found) = found {
            // One that the user has put somewhere is the user's choice; our own must be the expected version.
            let ours = found.path.starts_with(self.home.bin());
            if !ours || found.version == pins::GECKODRIVER {
                let detail = format!("geckodriver {} at {}", found.version, found.path.display());
                return Ok(Done::AlreadyThere(detail));
            }
        }
        let Some(cargo) = self.cargo() else {
            return Err(PartError::ProgramMissing {
                program: "cargo",
                why: "it builds geckodriver, which drives Firefox",
                advice: "install Rust from rustup.rs, or put a geckodriver of your own in PATH",
            });
        };
        let mut command = self.host.command(&cargo);
        // A build that is started from `cargo run` must not take over what cargo tells its own children.
        for name in self.host.var_names().filter(|name| is_callers(name)) {
            command.env_remove(name);
        }
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        // It passes messages on and computes nothing: optimising it would take longer than that ever saves.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        // The home folder has no toolchain file and no cargo configuration of somebody else's project.
        command.current_dir(self.home.root());
        command.args(["install", "geckodriver", "--version", pins::GECKODRIVER, "--locked", "--root"]);
        command.arg(self.home.root());
        let what =
            format!("building geckodriver {} with cargo, which takes a minute or two", pins::GECKODRIVER);
        self.begin(Item::Geckodriver, &what, "it drives Firefox");
        self.run(Item::Geckodriver, "cargo install geckodriver", command)?;
        match find_driver_alone(self.host, self.home, BrowserName::Firefox) {
            Ok(Some(built)) => {
                Ok(Done::Installed(format!("geckodriver {} in {}", built.version, built.path.display())))
            }
            Ok(None) => {
                Err(PartError::NotInPackage { package: "geckodriver", file: "bin/geckodriver".to_owned() })
            }
            Err(reason) => Err(PartError::StillMissing { reason }),
        }
    }

    fn cargo(&self) -> Option<PathBuf> {
        let in_home = || {
            let cargo = PathBuf::from(self.host.var("HOME")?).join(".cargo").join("bin").join("cargo");
            Some(cargo).filter(|cargo| crate::host::is_program(cargo))
        };
        let of_caller =
            || self.host.var("CARGO").map(PathBuf::from).filter(|cargo| crate::host::is_program(cargo));
        self.host.program("cargo").or_else(in_home).or_else(of_caller)
    }
}

/// Whether the variable describes the caller's own build rather than the user's cargo.
fn is_callers(name: &OsStr) -> bool {
    const USERS: &[&str] = &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const FLAGS: &[&str] =
        &["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "MAKEFLAGS"];
    let name = name.to_string_lossy();
    if name.starts_with("CARGO") {
        return !USERS.iter().any(|kept| name.starts_with(kept));
    }
    FLAGS.contains(&name.as_ref())
}
