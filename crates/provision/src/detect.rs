//! Finding a browser together with a driver that fits it.

use std::path::{Path, PathBuf};

use vocab::BrowserName;

use crate::detection::{Detection, Installed, MissingReason};
use crate::home::Home;
use crate::host::{Host, Os, is_program};
use crate::probe::{self, ProbeError};
use crate::stamp::Stamp;
use crate::system::System;
use crate::{pins, places, webkit};

/// Looks for a browser and its driver on this machine, and asks both for their versions.
///
/// Takes about 0.1 s to 0.5 s a browser; a program that does not answer is given up, and killed, after 10 s.
///
/// For each browser two environment variables come before everything else: `WEBNN_POOL_<NAME>_BINARY` and
/// `WEBNN_POOL_<NAME>_DRIVER`, where `<NAME>` is the browser's name in capitals with `_` for `-`, such as
/// `WEBNN_POOL_CHROMIUM_HEADLESS_SHELL_BINARY`. A variable that names no program makes the browser missing.
pub fn detect(home: &Home, name: BrowserName) -> Detection {
    detect_on(&Host::current(), home, name)
}

/// The same for any [`Host`].
pub fn detect_on(host: &Host, home: &Home, name: BrowserName) -> Detection {
    match look(host, home, name) {
        Ok(installed) => Detection::Found(installed),
        Err(reason) => {
            let hint = hint(host, name, &reason);
            Detection::Missing { reason, hint }
        }
    }
}

/// All seven browsers, looked for at the same time, in the order of [`BrowserName::ALL`].
pub fn detect_all(home: &Home) -> Vec<(BrowserName, Detection)> {
    let host = &Host::current();
    std::thread::scope(|scope| {
        let searches: Vec<_> = BrowserName::ALL
            .iter()
            .map(|&name| (name, scope.spawn(move || detect_on(host, home, name))))
            .collect();
        let join = |search: std::thread::ScopedJoinHandle<'_, Detection>| match search.join() {
            Ok(detection) => detection,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        searches.into_iter().map(|(name, search)| (name, join(search))).collect()
    })
}

/// A program and its version.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

fn look(host: &Host, home: &Home, name: BrowserName) -> Result<Installed, MissingReason> {
    let browser = find_browser(host, home, name)?;
    let (driver, driver_version) = find_driver(host, home, name, &browser)?;
    let needs_display = name == BrowserName::WebKitGtk;
    let display_server = if needs_display { find_display_server(host) } else { None };
    let has_display = host.var("DISPLAY").is_some() || host.var("WAYLAND_DISPLAY").is_some();
    if needs_display && display_server.is_none() && !has_display {
        return Err(MissingReason::DisplayNotFound { name });
    }
    let driver_mismatch = driver_version.as_deref().is_some_and(|driver| {
        must_match(name) != Match::NotAtAll && probe::major(driver) != probe::major(&browser.version)
    });
    Ok(Installed {
        name,
        version: browser.version,
        binary: browser.path,
        driver,
        driver_version,
        needs_display,
        display_server,
        driver_mismatch,
    })
}

fn find_display_server(host: &Host) -> Option<PathBuf> {
    host.program("Xvfb").or_else(|| Some(host.place("/usr/bin/Xvfb")).filter(|path| is_program(path)))
}

/// Finds the browser itself, without its driver.
pub(crate) fn find_browser(host: &Host, home: &Home, name: BrowserName) -> Result<Program, MissingReason> {
    if !exists_for(host, name) {
        return Err(MissingReason::UnsupportedOs {
            name,
            os: format!("{:?}", host.os()).to_lowercase(),
            arch: host.arch().to_owned(),
        });
    }
    let candidates = match overridden(host, name, "BINARY")? {
        Some(path) => vec![path],
        None => match name {
            BrowserName::WebKitGtk => webkit::mini_browsers(host),
            BrowserName::ChromiumHeadlessShell => {
                let folder = home.headless_shell();
                if !folder.exists() {
                    return Err(MissingReason::BrowserNotFound { name });
                }
                if let Err(error) = Stamp::check(&folder, pins::HEADLESS_SHELL) {
                    return Err(MissingReason::BrokenInstall { folder, detail: error.to_string() });
                }
                places::browser_candidates(host, home, name)
            }
            _ => places::browser_candidates(host, home, name),
        },
    };
    // A stub that only tells the user to install something else must not hide a real browser further on.
    let mut first_failure = None;
    for path in candidates {
        match browser_version(host, name, &path) {
            Ok(version) => return Ok(Program { path, version }),
            Err(cause) => {
                first_failure.get_or_insert(MissingReason::VersionUnreadable { program: path, cause });
            }
        }
    }
    Err(first_failure.unwrap_or(MissingReason::BrowserNotFound { name }))
}

fn find_driver(
    host: &Host,
    home: &Home,
    name: BrowserName,
    browser: &Program,
) -> Result<(PathBuf, Option<String>), MissingReason> {
    let candidates = match overridden(host, name, "DRIVER")? {
        Some(path) => vec![path],
        None => places::driver_candidates(host, home, name),
    };
    let mut first_failure = None;
    for path in candidates {
        if name == BrowserName::WebKitGtk {
            // It has no way to tell its version: asked for one, it prints its usage and fails.
            let version = webkit::packaged_version(host, &path);
            return Ok((path, version));
        }
        let failure = match probe::version(host, &path) {
            Ok(version) if fits(name, &browser.version, &version) => return Ok((path, Some(version))),
            Ok(driver_version) => MissingReason::VersionMismatch {
                binary: browser.path.clone(),
                browser_version: browser.version.clone(),
                driver: path,
                driver_version,
            },
            Err(cause) => MissingReason::VersionUnreadable { program: path, cause },
        };
        first_failure.get_or_insert(failure);
    }
    Err(first_failure.unwrap_or_else(|| MissingReason::DriverNotFound {
        name,
        binary: browser.path.clone(),
        driver: places::driver_name(name),
    }))
}

/// Finds a driver of this browser that answers, whether the browser is there or not.
pub(crate) fn find_driver_alone(
    host: &Host,
    home: &Home,
    name: BrowserName,
) -> Result<Option<Program>, MissingReason> {
    let candidates = match overridden(host, name, "DRIVER")? {
        Some(path) => vec![path],
        None => places::driver_candidates(host, home, name),
    };
    let mut answers = candidates.into_iter().filter_map(|path| {
        let version = probe::version(host, &path).ok()?;
        Some(Program { path, version })
    });
    Ok(answers.next())
}

fn exists_for(host: &Host, name: BrowserName) -> bool {
    match (name, host.os()) {
        (_, Os::Other) => false,
        (BrowserName::Safari, os) => os == Os::MacOs,
        (BrowserName::WebKitGtk, os) => os == Os::Linux,
        // The package carries a program for this one pair; another copy can be named by the variable.
        (BrowserName::ChromiumHeadlessShell, os) => {
            (os == Os::Linux && host.arch() == "x86_64") || host.var(variable(name, "BINARY")).is_some()
        }
        _ => true,
    }
}

#[derive(PartialEq, Eq)]
enum Match {
    /// The driver refuses a browser of another major version.
    Required,
    /// The driver can be told to take another version, and has been seen to work then.
    Wanted,
    /// The driver has a numbering of its own.
    NotAtAll,
}

fn must_match(name: BrowserName) -> Match {
    match name {
        BrowserName::Chromium | BrowserName::Chrome | BrowserName::Edge => Match::Required,
        BrowserName::ChromiumHeadlessShell => Match::Wanted,
        BrowserName::Firefox | BrowserName::Safari | BrowserName::WebKitGtk => Match::NotAtAll,
    }
}

fn fits(name: BrowserName, browser: &str, driver: &str) -> bool {
    must_match(name) != Match::Required || probe::major(browser) == probe::major(driver)
}

fn browser_version(host: &Host, name: BrowserName, binary: &Path) -> Result<String, ProbeError> {
    match (name, host.os()) {
        (BrowserName::WebKitGtk, _) => webkit::version(host, binary),
        // Safari itself opens a window whatever it is asked; its driver tells Safari's version.
        (BrowserName::Safari, _) => probe::version(host, &host.place("/usr/bin/safaridriver")),
        // On Windows these browsers open a window and print nothing, but keep a folder named after the version.
        (BrowserName::Chromium | BrowserName::Chrome | BrowserName::Edge, Os::Windows) => {
            version_folder(binary)
                .ok_or_else(|| ProbeError::NoVersion { said: "no folder named after a version".to_owned() })
        }
        _ => probe::version(host, binary),
    }
}

/// The highest version among the folders beside the program.
fn version_folder(binary: &Path) -> Option<String> {
    let entries = std::fs::read_dir(binary.parent()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = |name: &str| name.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let versions = names.filter_map(|name| Some((numbers(&name)?, name)));
    versions.filter(|(numbers, _)| numbers.len() > 1).max().map(|(_, name)| name)
}

fn variable(name: BrowserName, what: &str) -> String {
    format!("WEBNN_POOL_{}_{what}", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

fn overridden(host: &Host, name: BrowserName, what: &str) -> Result<Option<PathBuf>, MissingReason> {
    let variable = variable(name, what);
    let Some(path) = host.var(&variable).map(PathBuf::from) else {
        return Ok(None);
    };
    if is_program(&path) { Ok(Some(path)) } else { Err(MissingReason::OverrideNotFound { variable, path }) }
}

fn hint(host: &Host, name: BrowserName, reason: &MissingReason) -> String {
    let advice = System::of(host).advice(name);
    match reason {
        MissingReason::OverrideNotFound { variable, .. } => {
            format!("unset {variable}, or let it name a program that can be started")
        }
        MissingReason::VersionMismatch { browser_version, .. } => {
            let major = browser_version.split('.').next().unwrap_or(browser_version);
            let driver = places::driver_name(name);
            format!(
                "put a {driver} of major version {major} first in PATH, or name one in {}",
                variable(name, "DRIVER")
            )
        }
        MissingReason::BrokenInstall { .. } => {
            "webnn-pool setup --browsers chromium-headless-shell (it replaces the broken copy)".to_owned()
        }
        MissingReason::UnsupportedOs { name: BrowserName::ChromiumHeadlessShell, .. } => {
            "this headless shell is built for Linux on x86-64 only".to_owned()
        }
        _ => advice.to_owned(),
    }
}
