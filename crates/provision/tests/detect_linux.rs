//! Detection on Linux, against folders of scripts that answer as the real programs do.
#![cfg(unix)]

mod support;

use provision::{Detection, detect_on};
use support::Machine;
use vocab::BrowserName::{self, Chrome, Chromium, ChromiumHeadlessShell, Edge, Firefox, Safari, WebKitGtk};

/// `version / driver version` of what was found, or the kind of the reason with its hint.
fn answer(machine: &Machine, name: BrowserName) -> String {
    match detect_on(&machine.host(), &machine.home(), name) {
        Detection::Found(found) => {
            format!("{} / {}", found.version, found.driver_version.as_deref().unwrap_or("none"))
        }
        Detection::Missing { reason, hint } => {
            let reason = serde_json::to_value(&reason).expect("JSON");
            format!("{}: {hint}", reason["kind"].as_str().expect("a kind"))
        }
        _ => "unknown".to_owned(),
    }
}

#[track_caller]
fn check(machine: Machine, name: BrowserName, expected: &str) {
    assert_eq!(answer(&machine, name), expected);
}

const CHROMIUM: &str = "Chromium 156.0.8078.79 built on Debian GNU/Linux 12 (bookworm)";
const CHROMEDRIVER: &str =
    "ChromeDriver 156.0.8078.79 (a21ce95c24ce3964416f09ae1862f53f319eb4d0-refs/branch-heads/8078@{#1704})";
const GECKODRIVER: &str = "geckodriver 0.37.1\n\nThe source code of this program is available from\n\
    testing/geckodriver in https://hg.mozilla.org/mozilla-central.";
const MINI_BROWSER: &str = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/// A machine with a WebKitGTK that belongs to packages, as on Debian.
fn webkit() -> Machine {
    let machine = Machine::debian()
        .script(MINI_BROWSER, "echo 'Gtk-WARNING **: cannot open display: ' >&2; exit 1")
        .script("/usr/bin/WebKitWebDriver", "echo 'Usage: WebKitWebDriver options'; exit 1");
    machine.script(
        "/usr/bin/dpkg-query",
        "if [ \"$1\" = -S ]; then echo \"libwebkit2gtk-4.1-0:amd64: $2\"; else printf 2.50.6-1~deb12u2; fi",
    )
}

#[test]
fn chromium_with_its_driver() {
    let machine = Machine::debian()
        .program("/usr/bin/chromium", CHROMIUM)
        .program("/usr/bin/chromedriver", CHROMEDRIVER);
    check(machine, Chromium, "156.0.8078.79 / 156.0.8078.79");
}

#[test]
fn a_script_that_complains_first() {
    let chromium =
        format!("echo '/usr/bin/chromium: 9: [: 25276502016: unexpected operator' >&2; echo '{CHROMIUM}'");
    let machine = Machine::debian()
        .script("/usr/bin/chromium", &chromium)
        .program("/usr/bin/chromedriver", CHROMEDRIVER);
    check(machine, Chromium, "156.0.8078.79 / 156.0.8078.79");
}

#[test]
fn nothing_at_all() {
    let hint = "browser_not_found: sudo apt-get install chromium chromium-driver";
    check(Machine::debian(), Chromium, hint);
}

#[test]
fn the_hint_follows_the_distribution() {
    let fedora = || Machine::new(provision::Os::Linux).file("/etc/os-release", "NAME=Fedora\nID=fedora\n");
    check(fedora(), Chromium, "browser_not_found: sudo dnf install chromium chromedriver");
    let mint = Machine::new(provision::Os::Linux)
        .file("/etc/os-release", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
    check(mint, Chromium, "browser_not_found: sudo apt-get install chromium chromium-driver");
    let manjaro = Machine::new(provision::Os::Linux).file("/etc/os-release", "ID=manjaro\nID_LIKE=arch\n");
    check(manjaro, WebKitGtk, "browser_not_found: sudo pacman -S webkit2gtk-4.1 xorg-server-xvfb");
}

#[test]
fn a_driver_of_another_major_version() {
    let machine = Machine::debian()
        .program("/usr/bin/google-chrome-stable", "Google Chrome 157.0.1.2 ")
        .program("/usr/bin/chromedriver", CHROMEDRIVER);
    let hint = "version_mismatch: put a chromedriver of major version 157 first in PATH, or name one in \
                WEBNN_POOL_CHROME_DRIVER";
    check(machine, Chrome, hint);
}

#[test]
fn the_fitting_driver_wins_over_the_first_one() {
    let machine = Machine::debian()
        .program("/usr/bin/google-chrome-stable", "Google Chrome 157.0.1.2 ")
        .program("/usr/bin/chromedriver", CHROMEDRIVER)
        .program("/usr/lib/chromium/chromedriver", "ChromeDriver 157.0.9.9 (abc)");
    check(machine, Chrome, "157.0.1.2 / 157.0.9.9");
}

#[test]
fn a_browser_without_its_driver() {
    let machine = Machine::debian().program("/usr/bin/microsoft-edge", "Microsoft Edge 150.0.3.4 ");
    let hint = "driver_not_found: install Microsoft's own package from microsoft.com/edge, and put a msedgedriver of \
                the same major version in PATH";
    check(machine, Edge, hint);
}

#[test]
fn a_snap_stub_is_a_reason() {
    let stub = "echo; echo \"Command '$0' requires the chromium snap to be installed.\" >&2; exit 1";
    let ubuntu = Machine::new(provision::Os::Linux).file("/etc/os-release", "ID=ubuntu\nID_LIKE=debian\n");
    let hint = "version_unreadable: sudo snap install chromium (Ubuntu's packages of it are empty; the snap brings \
                its driver)";
    check(ubuntu.script("/usr/bin/chromium-browser", stub), Chromium, hint);
}

#[test]
fn a_stub_does_not_hide_the_snap() {
    let machine = Machine::debian()
        .script("/usr/bin/chromium-browser", "exit 0")
        .program("/snap/bin/chromium", "Chromium 150.0.1.1 snap")
        .program("/snap/bin/chromium.chromedriver", "ChromeDriver 150.0.1.1 (abc)");
    check(machine, Chromium, "150.0.1.1 / 150.0.1.1");
}

#[test]
fn firefox_and_geckodriver_have_numbers_of_their_own() {
    let machine = Machine::debian()
        .program("/usr/bin/firefox-esr", "Mozilla Firefox 153.7.0esr")
        .program("/usr/bin/geckodriver", GECKODRIVER);
    check(machine, Firefox, "153.7.0esr / 0.37.1");
}

#[test]
fn our_own_geckodriver_comes_first() {
    let machine = Machine::debian()
        .program("/usr/bin/firefox", "Mozilla Firefox 140.0")
        .program("/usr/bin/geckodriver", "geckodriver 0.30.0")
        .program("/home/bin/geckodriver", GECKODRIVER);
    check(machine, Firefox, "140.0 / 0.37.1");
}

#[test]
fn a_variable_comes_before_everything() {
    let machine = Machine::debian()
        .program("/usr/bin/firefox", "Mozilla Firefox 140.0")
        .program("/usr/bin/geckodriver", GECKODRIVER)
        .program("/opt/nightly/firefox", "Mozilla Firefox 160.0a1")
        .var_path("WEBNN_POOL_FIREFOX_BINARY", "/opt/nightly/firefox");
    check(machine, Firefox, "160.0a1 / 0.37.1");
}

#[test]
fn a_variable_that_names_nothing_is_not_ignored() {
    let machine = Machine::debian()
        .program("/usr/bin/firefox", "Mozilla Firefox 140.0")
        .program("/usr/bin/geckodriver", GECKODRIVER)
        .var("WEBNN_POOL_FIREFOX_DRIVER", "/nowhere/geckodriver");
    let hint =
        "override_not_found: unset WEBNN_POOL_FIREFOX_DRIVER, or let it name a program that can be started";
    check(machine, Firefox, hint);
}

#[test]
fn webkitgtk_tells_its_package_version() {
    check(webkit().script("/usr/bin/Xvfb", ""), WebKitGtk, "2.50.6 / 2.50.6");
}

#[test]
fn webkitgtk_without_any_display() {
    check(webkit(), WebKitGtk, "display_not_found: sudo apt-get install webkit2gtk-driver xvfb");
}

#[test]
fn webkitgtk_with_a_real_display_needs_no_virtual_one() {
    check(webkit().var("DISPLAY", ":0"), WebKitGtk, "2.50.6 / 2.50.6");
}

#[test]
fn webkitgtk_from_no_package_is_asked_itself() {
    let machine = Machine::debian()
        .program("/usr/libexec/webkitgtk-6.0/MiniBrowser", "WebKitGTK 2.51.3")
        .script("/usr/bin/WebKitWebDriver", "exit 1")
        .script("/usr/bin/Xvfb", "");
    check(machine, WebKitGtk, "2.51.3 / none");
}

#[test]
fn safari_is_not_for_linux() {
    check(Machine::debian(), Safari, "unsupported_os: Safari runs on macOS only");
}

#[test]
fn the_headless_shell_is_for_one_architecture() {
    let mut machine = Machine::debian();
    machine.arch = "aarch64";
    let hint = "unsupported_os: this headless shell is built for Linux on x86-64 only";
    check(machine, ChromiumHeadlessShell, hint);
}

#[test]
fn a_headless_shell_without_stamp_is_a_broken_one() {
    let place =
        format!("/home/chromium-headless-shell/{}/chromium-headless-shell", provision::HEADLESS_SHELL);
    let machine = Machine::debian()
        .program(&place, "Chromium 147.0.7727.0")
        .program("/usr/bin/chromedriver", CHROMEDRIVER);
    let hint =
        "broken_install: webnn-pool setup --browsers chromium-headless-shell (it replaces the broken copy)";
    check(machine, ChromiumHeadlessShell, hint);
}

#[test]
fn the_headless_shell_may_differ_from_its_driver_and_says_so() {
    let machine = Machine::debian()
        .program("/opt/shell", "Chromium 147.0.7727.0")
        .program("/usr/bin/chromedriver", CHROMEDRIVER)
        .var_path("WEBNN_POOL_CHROMIUM_HEADLESS_SHELL_BINARY", "/opt/shell");
    let detection = detect_on(&machine.host(), &machine.home(), ChromiumHeadlessShell);
    assert!(detection.found().is_some_and(|found| found.driver_mismatch));
    check(machine, ChromiumHeadlessShell, "147.0.7727.0 / 156.0.8078.79");
}
