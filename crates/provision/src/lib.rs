//! Finds and installs what the pool needs: browsers, their WebDriver servers, and the page's runtime files.
//!
//! Detection looks in `PATH`, in the usual places of each operating system and in the pool's own [`Home`], runs what
//! it finds with `--version`, and answers either with a browser that can be launched or with a reason and the command
//! that helps.
//!
//! Installation brings what is missing: packages by the system's package manager where that is apt, geckodriver by
//! cargo, the headless shell and onnxruntime-web by npm under a lockfile with integrity hashes. What npm brings counts
//! as installed only once it is whole and in its place.
//!
//! This crate holds no WebDriver session, no socket, no model, no browser flag and no terminal output: it never opens
//! a page, and it never decides which browser is used.
//!
//! ```
//! use provision::{Detection, Home, detect};
//! use vocab::BrowserName;
//!
//! let home = Home::at(std::env::temp_dir().join("no-pool-here"));
//! match detect(&home, BrowserName::ChromiumHeadlessShell) {
//!     Detection::Found(installed) => println!("{} {}", installed.name, installed.version),
//!     Detection::Missing { reason, hint } => println!("{reason}: {hint}"),
//!     _ => {}
//! }
//! ```

mod detect;
mod detection;
mod home;
mod host;
mod install;
mod pins;
mod places;
mod plots;
mod probe;
mod runtime;
mod shell_files;
mod stamp;
mod system;
mod webkit;

pub use detect::{detect, detect_all, detect_on};
pub use detection::{Detection, Installed, MissingReason};
pub use home::{Home, HomeError};
pub use host::{Host, Os};
pub use install::{Entry, Event, InstallError, Item, Outcome, Part, PartError, Report, install, install_on};
pub use pins::{GECKODRIVER, HEADLESS_SHELL, ONNXRUNTIME_WEB, UPLOT};
pub use plots::find_plots;
pub use probe::ProbeError;
pub use runtime::{Runtime, RuntimeError, find_runtime};
pub use stamp::StampError;
