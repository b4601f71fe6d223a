//! Where each browser and its driver usually lie, for each operating system.

use std::path::PathBuf;

use vocab::BrowserName;

use crate::home::Home;
use crate::host::{Host, Os, is_program};

/// What to look for: names to find in `PATH`, and places outside of it.
#[derive(Default)]
struct Names {
    in_path: &'static [&'static str],
    absolute: &'static [&'static str],
}

/// The programs that could be the browser, best first. WebKitGTK's lies in a library folder and is not among them.
pub(crate) fn browser_candidates(host: &Host, home: &Home, name: BrowserName) -> Vec<PathBuf> {
    if name == BrowserName::ChromiumHeadlessShell {
        return vec![home.headless_shell().join(crate::shell_files::BINARY)];
    }
    let mut candidates = collect(host, &browser_names(host.os(), name));
    if host.os() == Os::Windows {
        candidates.extend(windows_browsers(host, name).into_iter().filter(|path| is_program(path)));
    }
    candidates
}

/// The programs that could be the driver, best first.
pub(crate) fn driver_candidates(host: &Host, home: &Home, name: BrowserName) -> Vec<PathBuf> {
    let names = driver_names(host.os(), name);
    // What we built ourselves is of a version that is known to work, so it comes before what happens to be there.
    let mut candidates: Vec<PathBuf> = names
        .in_path
        .iter()
        .map(|program| home.bin().join(format!("{program}{}", executable_suffix(host.os()))))
        .filter(|path| is_program(path))
        .collect();
    candidates.extend(collect(host, &names));
    if let Some(user) = host.var("HOME").filter(|_| name == BrowserName::Firefox) {
        let built_by_user = PathBuf::from(user).join(".cargo").join("bin").join("geckodriver");
        candidates.extend(Some(built_by_user).filter(|path| is_program(path)));
    }
    candidates
}

/// The driver's own name, for messages.
pub(crate) fn driver_name(name: BrowserName) -> &'static str {
    match name {
        BrowserName::Chromium | BrowserName::ChromiumHeadlessShell | BrowserName::Chrome => "chromedriver",
        BrowserName::Edge => "msedgedriver",
        BrowserName::Firefox => "geckodriver",
        BrowserName::Safari => "safaridriver",
        BrowserName::WebKitGtk => "WebKitWebDriver",
    }
}

/// What a program's file name ends in.
pub(crate) fn executable_suffix(os: Os) -> &'static str {
    if os == Os::Windows { ".exe" } else { "" }
}

fn collect(host: &Host, names: &Names) -> Vec<PathBuf> {
    let in_path = names.in_path.iter().flat_map(|program| host.programs(program));
    let absolute = names.absolute.iter().map(|path| host.place(path)).filter(|path| is_program(path));
    let mut found = Vec::new();
    for path in in_path.chain(absolute) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

fn browser_names(os: Os, name: BrowserName) -> Names {
    match (os, name) {
        (Os::Linux, BrowserName::Chromium) => Names {
            in_path: &["chromium", "chromium-browser"],
            absolute: &[
                "/usr/bin/chromium",
                "/usr/lib64/chromium-browser/chromium-browser",
                "/snap/bin/chromium",
            ],
        },
        (Os::Linux, BrowserName::Chrome) => Names {
            in_path: &["google-chrome-stable", "google-chrome"],
            absolute: &["/usr/bin/google-chrome-stable", "/opt/google/chrome/chrome"],
        },
        (Os::Linux, BrowserName::Edge) => Names {
            in_path: &["microsoft-edge-stable", "microsoft-edge"],
            absolute: &["/usr/bin/microsoft-edge-stable", "/opt/microsoft/msedge/msedge"],
        },
        (Os::Linux, BrowserName::Firefox) => Names {
            in_path: &["firefox", "firefox-esr"],
            absolute: &[
                "/usr/bin/firefox",
                "/usr/bin/firefox-esr",
                "/opt/firefox/firefox",
                "/usr/lib/firefox/firefox",
                "/snap/bin/firefox",
            ],
        },
        (Os::MacOs, BrowserName::Chromium) => Names {
            in_path: &["chromium"],
            absolute: &["/Applications/Chromium.app/Contents/MacOS/Chromium"],
        },
        (Os::MacOs, BrowserName::Chrome) => Names {
            in_path: &["google-chrome"],
            absolute: &["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"],
        },
        (Os::MacOs, BrowserName::Edge) => Names {
            in_path: &[],
            absolute: &["/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"],
        },
        (Os::MacOs, BrowserName::Firefox) => {
            Names { in_path: &["firefox"], absolute: &["/Applications/Firefox.app/Contents/MacOS/firefox"] }
        }
        (Os::MacOs, BrowserName::Safari) => {
            Names { in_path: &[], absolute: &["/Applications/Safari.app/Contents/MacOS/Safari"] }
        }
        _ => Names::default(),
    }
}

fn driver_names(os: Os, name: BrowserName) -> Names {
    let in_path: &'static [&'static str] = match name {
        BrowserName::Chromium | BrowserName::ChromiumHeadlessShell | BrowserName::Chrome => &["chromedriver"],
        BrowserName::Edge => &["msedgedriver"],
        BrowserName::Firefox => &["geckodriver"],
        BrowserName::Safari => &["safaridriver"],
        BrowserName::WebKitGtk => &["WebKitWebDriver"],
    };
    let absolute: &'static [&'static str] = match (os, name) {
        (Os::Linux, BrowserName::Chromium | BrowserName::ChromiumHeadlessShell | BrowserName::Chrome) => &[
            "/usr/bin/chromedriver",
            "/usr/lib/chromium/chromedriver",
            "/usr/lib/chromium-browser/chromedriver",
            "/usr/lib64/chromium-browser/chromedriver",
            "/snap/bin/chromium.chromedriver",
        ],
        (Os::Linux, BrowserName::Edge) => &["/usr/bin/msedgedriver", "/usr/local/bin/msedgedriver"],
        (Os::Linux, BrowserName::Firefox) => &["/usr/bin/geckodriver", "/snap/bin/geckodriver"],
        (Os::Linux, BrowserName::WebKitGtk) => &["/usr/bin/WebKitWebDriver"],
        (Os::MacOs, BrowserName::Safari) => &["/usr/bin/safaridriver"],
        (Os::MacOs, BrowserName::Firefox) => &["/opt/homebrew/bin/geckodriver", "/usr/local/bin/geckodriver"],
        (Os::MacOs, BrowserName::Edge) => &["/opt/homebrew/bin/msedgedriver", "/usr/local/bin/msedgedriver"],
        (Os::MacOs, BrowserName::Chromium | BrowserName::Chrome) => {
            &["/opt/homebrew/bin/chromedriver", "/usr/local/bin/chromedriver"]
        }
        _ => &[],
    };
    Names { in_path, absolute }
}

/// Windows installs for the machine or for the user, so each program has up to three places.
fn windows_browsers(host: &Host, name: BrowserName) -> Vec<PathBuf> {
    let below: &[&str] = match name {
        BrowserName::Chromium => &["Chromium", "Application", "chrome.exe"],
        BrowserName::Chrome => &["Google", "Chrome", "Application", "chrome.exe"],
        BrowserName::Edge => &["Microsoft", "Edge", "Application", "msedge.exe"],
        BrowserName::Firefox => &["Mozilla Firefox", "firefox.exe"],
        _ => return Vec::new(),
    };
    ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"]
        .into_iter()
        .filter_map(|variable| host.var(variable))
        .map(|folder| below.iter().fold(PathBuf::from(folder), |path, part| path.join(part)))
        .collect()
}
