//! Installing what is missing, one part after the other.

mod apt;
mod by_hand;
mod classify;
mod command;
mod error;
mod event;
mod geckodriver;
mod headless_shell;
mod lock;
mod npm;
mod onnxruntime_web;
mod packages;
mod publish;
mod report;
mod scratch;
mod uplot;

use vocab::BrowserName;

use crate::home::Home;
use crate::host::Host;
use crate::system::System;
use lock::InstallLock;
use scratch::Scratch;

pub use error::{InstallError, PartError};
pub use event::Event;
pub use report::{Entry, Item, Outcome, Part, Report};

/// Installs what is missing of the wanted browsers and of the page's runtime files.
///
/// `parts` limits what may be touched; [`Part::ALL`] is everything. What is there already is left alone, so a second
/// call does nothing. One part's failure does not stop the others: the report holds one entry for each.
///
/// `tell` hears, in plain words, what is about to be done and why, the lines that the programs write meanwhile, and how
/// it ended; every [`Event`] can be displayed as it is. Two calls at once, in two processes too, wait for each other.
///
/// Takes minutes where geckodriver must be built, and well below 2 s where everything is there.
///
/// # Errors
/// [`InstallError`] where the home folder itself cannot be used; everything else is in the report.
pub fn install(
    home: &Home,
    wanted: &[BrowserName],
    parts: &[Part],
    tell: &mut dyn FnMut(&Event<'_>),
) -> Result<Report, InstallError> {
    install_on(&Host::current(), home, wanted, parts, tell)
}

/// The same for any [`Host`].
///
/// # Errors
/// As [`install`].
pub fn install_on(
    host: &Host,
    home: &Home,
    wanted: &[BrowserName],
    parts: &[Part],
    tell: &mut dyn FnMut(&Event<'_>),
) -> Result<Report, InstallError> {
    let _lock = InstallLock::acquire(home, tell)?;
    let scratch = &Scratch::make(home)?;
    let mut work = Work { host, home, scratch, system: System::of(host), tell, indexes_updated: false };
    let mut report = Report::default();
    for item in items(wanted, parts) {
        let outcome = work.one(item, parts);
        scratch.clear();
        if let Some(outcome) = outcome {
            (work.tell)(&Event::End { item, outcome: &outcome });
            report.entries.push(Entry { item, outcome });
        }
    }
    Ok(report)
}

/// What has to be looked after, quick things first.
fn items(wanted: &[BrowserName], parts: &[Part]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut add = |part: Part, item: Item| {
        if parts.contains(&part) && !items.contains(&item) {
            items.push(item);
        }
    };
    for &name in wanted {
        add(Part::SystemPackages, Item::Packages(name));
    }
    add(Part::SystemPackages, Item::Npm);
    add(Part::Runtime, Item::OnnxRuntimeWeb);
    add(Part::Plots, Item::Uplot);
    for &name in wanted {
        match name {
            BrowserName::ChromiumHeadlessShell => add(Part::HeadlessShell, Item::HeadlessShell),
            BrowserName::Firefox => add(Part::Geckodriver, Item::Geckodriver),
            _ => {}
        }
    }
    // Building geckodriver takes longest, so that a failure of anything else is seen before it.
    items.sort_by_key(|item| *item == Item::Geckodriver);
    items
}

/// What every step of one installation shares.
struct Work<'a> {
    host: &'a Host,
    home: &'a Home,
    scratch: &'a Scratch,
    system: System,
    tell: &'a mut dyn FnMut(&Event<'_>),
    /// Whether `apt-get update` was run already; once is enough.
    indexes_updated: bool,
}

/// How a step that did not fail ended, with one sentence for the user.
enum Done {
    Installed(String),
    AlreadyThere(String),
}

impl Work<'_> {
    fn one(&mut self, item: Item, parts: &[Part]) -> Option<Outcome> {
        let done = match item {
            Item::Packages(name) => self.packages(name),
            Item::Npm => {
                if !self.needs_npm(parts) {
                    return None;
                }
                self.npm_itself()
            }
            Item::OnnxRuntimeWeb => self.onnxruntime_web(),
            Item::Uplot => self.uplot(),
            Item::HeadlessShell => self.headless_shell(),
            Item::Geckodriver => self.geckodriver(),
        };
        Some(match done {
            Ok(Done::Installed(detail)) => Outcome::Installed { detail },
            Ok(Done::AlreadyThere(detail)) => Outcome::AlreadyThere { detail },
            Err(error) => Outcome::Failed { error },
        })
    }

    fn begin(&mut self, item: Item, what: &str, why: &str) {
        (self.tell)(&Event::Begin { item, what, why });
    }
}
