//! The folder that holds what the pool installs for itself.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::host::{Host, Os};
use crate::pins;

/// The folder in which the pool keeps what it installs for itself.
///
/// | what | where |
/// |---|---|
/// | `bin/` | programs built for the pool, such as geckodriver |
/// | `chromium-headless-shell/<version>/` | the headless shell and its graphics libraries |
/// | `runtime/onnxruntime-web/<version>/` | the files of onnxruntime-web that the page loads |
/// | `runtime/uplot/<version>/` | what the live page draws with |
/// | `fixtures/` | models and references that are generated or fetched |
/// | `tmp/` | work in progress; emptied by the next installation |
/// | `install.lock` | held while something is being installed |
///
/// A `Home` is only a path: making one creates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why no folder of our own could be named.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// None of the variables that say where a user's files live is set.
    #[error("no folder for the pool's own files: set WEBNN_POOL_HOME to one (neither {looked_at} is set)")]
    NoUserFolder {
        /// The variables that were looked at, in words.
        looked_at: &'static str,
    },
    /// `WEBNN_POOL_HOME` is not an absolute path, so it would mean another folder in every working directory.
    #[error("WEBNN_POOL_HOME must be an absolute path, not {path}")]
    NotAbsolute {
        /// The value of the variable.
        path: PathBuf,
    },
}

impl Home {
    /// The home of this user: [`Home::of`] this machine.
    ///
    /// # Errors
    /// See [`HomeError`].
    pub fn locate() -> Result<Self, HomeError> {
        Self::of(&Host::current())
    }

    /// `$WEBNN_POOL_HOME` where it is set; otherwise the user's data folder.
    ///
    /// That is `$XDG_DATA_HOME/webnn-pool` or `~/.local/share/webnn-pool` on Linux,
    /// `~/Library/Application Support/webnn-pool` on macOS, and `%LOCALAPPDATA%\webnn-pool` on Windows.
    ///
    /// # Errors
    /// See [`HomeError`].
    pub fn of(host: &Host) -> Result<Self, HomeError> {
        if let Some(value) = host.var("WEBNN_POOL_HOME") {
            let path = PathBuf::from(value);
            return if path.is_absolute() {
                Ok(Self::at(path))
            } else {
                Err(HomeError::NotAbsolute { path })
            };
        }
        let folder = |name: &str| host.var(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let (data, looked_at) = match host.os() {
            Os::Windows => (host.var("LOCALAPPDATA").map(PathBuf::from), "WEBNN_POOL_HOME nor LOCALAPPDATA"),
            Os::MacOs => {
                let library = folder("HOME").map(|home| home.join("Library").join("Application Support"));
                (library, "WEBNN_POOL_HOME nor HOME")
            }
            Os::Linux | Os::Other => {
                let shared = || folder("HOME").map(|home| home.join(".local").join("share"));
                (folder("XDG_DATA_HOME").or_else(shared), "WEBNN_POOL_HOME, XDG_DATA_HOME nor HOME")
            }
        };
        data.map(|data| Self::at(data.join("webnn-pool"))).ok_or(HomeError::NoUserFolder { looked_at })
    }

    /// The home at a folder of the caller's choice.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Programs that were built for the pool.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// The headless shell of the version that this release expects.
    pub fn headless_shell(&self) -> PathBuf {
        self.root.join("chromium-headless-shell").join(pins::HEADLESS_SHELL)
    }

    /// The onnxruntime-web files of the version that this release expects.
    pub fn onnxruntime_web(&self) -> PathBuf {
        self.root.join("runtime").join("onnxruntime-web").join(pins::ONNXRUNTIME_WEB)
    }

    /// The uPlot files of the version that this release expects.
    pub fn uplot(&self) -> PathBuf {
        self.root.join("runtime").join("uplot").join(pins::UPLOT)
    }

    /// Models and references that are generated or fetched.
    pub fn fixtures(&self) -> PathBuf {
        self.root.join("fixtures")
    }

    /// Work in progress of an installation.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The file whose lock says that an installation is going on.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.root.join("install.lock")
    }
}
