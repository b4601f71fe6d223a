//! The machine as detection and installation see it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An operating system whose usual places are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Os {
    /// Any Linux distribution.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
    /// Anything else: nothing is looked for there.
    Other,
}

/// What is read of a machine: its operating system, its environment variables, and its files under one root.
///
/// Everything in this crate that looks at the machine looks through a `Host`, so that a test can hand in a folder
/// with a few scripts as a whole machine. [`Host::current`] is the real one.
#[derive(Debug, Clone)]
pub struct Host {
    os: Os,
    arch: String,
    root: PathBuf,
    env: BTreeMap<OsString, OsString>,
}

impl Host {
    /// This machine, with the environment that this process has now.
    pub fn current() -> Self {
        let os = match std::env::consts::OS {
            "linux" => Os::Linux,
            "macos" => Os::MacOs,
            "windows" => Os::Windows,
            _ => Os::Other,
        };
        Self {
            os,
            arch: std::env::consts::ARCH.to_owned(),
            root: PathBuf::new(),
            env: std::env::vars_os().collect(),
        }
    }

    /// A machine made up of the files under `root`, which stands for `/`, with no environment variables.
    ///
    /// `arch` is a name as in [`std::env::consts::ARCH`], for example `x86_64`.
    pub fn rooted(os: Os, arch: &str, root: impl Into<PathBuf>) -> Self {
        Self { os, arch: arch.to_owned(), root: root.into(), env: BTreeMap::new() }
    }

    /// The same machine with one environment variable set; programs started through it see the variable too.
    #[must_use]
    pub fn with_var(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The operating system.
    pub fn os(&self) -> Os {
        self.os
    }

    /// The processor architecture, named as in [`std::env::consts::ARCH`].
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The value of an environment variable; an empty one counts as not set.
    pub fn var(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.env.get(name.as_ref()).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The place of an absolute path of this machine below its root.
    pub fn place(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        if self.root.as_os_str().is_empty() {
            return absolute.to_owned();
        }
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// Every file called `program` in the folders of `PATH` that can be started, in the order of `PATH`.
    pub fn programs(&self, program: &str) -> Vec<PathBuf> {
        let Some(path) = self.var("PATH") else {
            return Vec::new();
        };
        let file_name = match self.os {
            Os::Windows => format!("{program}.exe"),
            _ => program.to_owned(),
        };
        let mut found = Vec::new();
        for folder in std::env::split_paths(path).filter(|folder| !folder.as_os_str().is_empty()) {
            let candidate = folder.join(&file_name);
            if is_program(&candidate) && !found.contains(&candidate) {
                found.push(candidate);
            }
        }
        found
    }

    /// The first file called `program` in the folders of `PATH` that can be started.
    pub fn program(&self, program: &str) -> Option<PathBuf> {
        self.programs(program).into_iter().next()
    }

    /// A command that runs with exactly this machine's environment variables.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.env);
        command
    }

    /// The names of all environment variables.
    pub(crate) fn var_names(&self) -> impl Iterator<Item = &OsStr> {
        self.env.keys().map(OsString::as_os_str)
    }
}

/// Whether the path is a file that this system would start.
pub(crate) fn is_program(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    {
        metadata.is_file()
    }
}
