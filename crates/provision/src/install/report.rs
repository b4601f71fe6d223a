//! What an installation did.

use std::fmt;

use vocab::BrowserName;

use super::error::PartError;

/// A part of the installation that a caller can ask for or leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Browsers, drivers and npm from the system's package manager; the only part that needs root.
    SystemPackages,
    /// The files of onnxruntime-web, from npm.
    Runtime,
    /// The files of uPlot, from npm; the live page does without them.
    Plots,
    /// Chromium's headless shell, from npm.
    HeadlessShell,
    /// geckodriver, built by cargo.
    Geckodriver,
}

impl Part {
    /// Every part.
    pub const ALL: &'static [Self] =
        &[Self::SystemPackages, Self::Runtime, Self::Plots, Self::HeadlessShell, Self::Geckodriver];
}

/// One thing that an installation looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item {
    /// What a browser needs of the system's package manager.
    Packages(BrowserName),
    /// npm, which fetches the three things below.
    Npm,
    /// The files of onnxruntime-web that the page loads.
    OnnxRuntimeWeb,
    /// The files of uPlot that the live page draws with.
    Uplot,
    /// Chromium's headless shell.
    HeadlessShell,
    /// Firefox's driver.
    Geckodriver,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(BrowserName::ChromiumHeadlessShell) => {
                f.write_str("chromium-headless-shell's driver")
            }
            Self::Packages(name) => name.fmt(f),
            Self::Npm => f.write_str("npm"),
            Self::OnnxRuntimeWeb => f.write_str("onnxruntime-web"),
            Self::Uplot => f.write_str("uplot"),
            Self::HeadlessShell => f.write_str("chromium-headless-shell"),
            Self::Geckodriver => f.write_str("geckodriver"),
        }
    }
}

/// How one item ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was missing, and is there now; it was executed or its hashes were checked.
    Installed {
        /// What is there, in words.
        detail: String,
    },
    /// It was there already, so nothing was done.
    AlreadyThere {
        /// What is there, in words.
        detail: String,
    },
    /// It is not there.
    Failed {
        /// Why, and what helps.
        error: PartError,
    },
}

/// One item with its outcome.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// What was looked after.
    pub item: Item,
    /// How it ended.
    pub outcome: Outcome,
}

/// One entry for each item, in the order in which they were looked after.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Report {
    /// The items that failed, with their errors.
    pub fn failures(&self) -> impl Iterator<Item = (Item, &PartError)> {
        self.entries.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Failed { error } => Some((entry.item, error)),
            Outcome::Installed { .. } | Outcome::AlreadyThere { .. } => None,
        })
    }

    /// Whether anything on this machine was changed.
    pub fn changed(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.outcome, Outcome::Installed { .. }))
    }
}
