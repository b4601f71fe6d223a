//! What detection answers.

use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;
use vocab::BrowserName;

use crate::probe::ProbeError;

/// Whether a browser can be used here.
///
/// As JSON it is one object with `"status": "found"` or `"missing"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
#[non_exhaustive]
pub enum Detection {
    /// The browser and its driver are there, and both were executed or are known to a package manager.
    Found(Installed),
    /// It cannot be used.
    Missing {
        /// What is wrong.
        reason: MissingReason,
        /// The exact command, or the sentence, that helps.
        hint: String,
    },
}

impl Detection {
    /// What was found, or nothing.
    pub fn found(&self) -> Option<&Installed> {
        match self {
            Self::Found(installed) => Some(installed),
            Self::Missing { .. } => None,
        }
    }
}

/// A browser that can be launched, with the driver that launches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Installed {
    /// Which browser.
    pub name: BrowserName,
    /// Its version, as it writes it: `156.0.8078.79`, `153.7.0esr`.
    pub version: String,
    /// The program to launch.
    pub binary: PathBuf,
    /// The WebDriver server to launch it with.
    pub driver: PathBuf,
    /// The driver's version; nothing where neither the driver nor a package manager tells it.
    pub driver_version: Option<String>,
    /// Whether the browser has no headless mode and so needs a display.
    pub needs_display: bool,
    /// The virtual display server for a browser that needs a display; nothing where none is needed or installed.
    pub display_server: Option<PathBuf>,
    /// Whether the driver's major version differs from the browser's, so that the driver must be told not to mind
    /// (`chromedriver --disable-build-check`). Only the headless shell is ever found with such a pair.
    pub driver_mismatch: bool,
}

/// Why a browser cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum MissingReason {
    /// There is no such browser for this operating system or processor.
    #[error("{name} does not exist for {os} on {arch}")]
    UnsupportedOs {
        /// Which browser.
        name: BrowserName,
        /// The operating system here.
        os: String,
        /// The processor architecture here.
        arch: String,
    },
    /// No program of the browser's name is in `PATH` or in the usual places.
    #[error("{name} was not found, neither in PATH nor in its usual places")]
    BrowserNotFound {
        /// Which browser.
        name: BrowserName,
    },
    /// The browser is there, its WebDriver server is not.
    #[error("{name} is at {}, but its driver {driver} was not found", binary.display())]
    DriverNotFound {
        /// Which browser.
        name: BrowserName,
        /// Where the browser is.
        binary: PathBuf,
        /// What the missing program is called.
        driver: &'static str,
    },
    /// The browser or the driver did not tell its version, so it would not work either.
    #[error("{} did not tell its version: {cause}", program.display())]
    VersionUnreadable {
        /// The program that was asked.
        program: PathBuf,
        /// What it did instead.
        cause: ProbeError,
    },
    /// Browser and driver are of different major versions, which the driver refuses.
    #[error("{} is version {browser_version}, but {} is version {driver_version}", binary.display(), driver.display())]
    VersionMismatch {
        /// The browser's program.
        binary: PathBuf,
        /// The browser's version.
        browser_version: String,
        /// The driver's program.
        driver: PathBuf,
        /// The driver's version.
        driver_version: String,
    },
    /// The browser has no headless mode, there is no display, and there is no virtual one to start.
    #[error("{name} needs a display: neither DISPLAY nor WAYLAND_DISPLAY is set, and Xvfb was not found")]
    DisplayNotFound {
        /// Which browser.
        name: BrowserName,
    },
    /// The browser is there, but no Vulkan driver, without which its WebGPU has nothing to run on.
    ///
    /// Only an installation asks for it; [`detect`](crate::detect) does not.
    #[error("{name} is there, but no Vulkan driver was found, so that it has no WebGPU")]
    VulkanNotFound {
        /// Which browser.
        name: BrowserName,
    },
    /// The driver is not there, whether the browser is or not.
    #[error("the driver {driver} was not found")]
    DriverAloneNotFound {
        /// What the missing program is called.
        driver: &'static str,
    },
    /// A variable names a program that is not there, or that cannot be started.
    #[error("{variable} names {}, which is not a program", path.display())]
    OverrideNotFound {
        /// The environment variable.
        variable: String,
        /// Its value.
        path: PathBuf,
    },
    /// Our own copy of the browser is there, but not whole.
    #[error("the copy in {} is not whole: {detail}", folder.display())]
    BrokenInstall {
        /// Where it lies.
        folder: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}
