//! Detection in the places that macOS and Windows use, and the home folder of each system.
#![cfg(unix)]

mod support;

use provision::{Detection, Home, Os, detect_on};
use support::Machine;
use vocab::BrowserName::{self, Chrome, Edge, Safari, WebKitGtk};

#[track_caller]
fn check(machine: Machine, name: BrowserName, expected: &str) {
    let answer = match detect_on(&machine.host(), &machine.home(), name) {
        Detection::Found(found) => found.version,
        Detection::Missing { reason, hint } => format!("{reason}; {hint}"),
        _ => "unknown".to_owned(),
    };
    assert_eq!(answer, expected);
}

#[track_caller]
fn check_home(machine: Machine, expected: &str) {
    let answer = match Home::of(&machine.host()) {
        Ok(home) => home.root().display().to_string(),
        Err(error) => error.to_string(),
    };
    assert_eq!(answer, expected);
}

#[test]
fn safari_tells_its_version_through_its_driver() {
    let machine = Machine::new(Os::MacOs)
        .script("/Applications/Safari.app/Contents/MacOS/Safari", "exit 7")
        .program("/usr/bin/safaridriver", "Included with Safari 26.1 (21622.2.11.11.9)");
    check(machine, Safari, "26.1");
}

#[test]
fn safari_says_how_to_allow_driving_it() {
    let expected = "safari was not found, neither in PATH nor in its usual places; Safari is part of macOS; allow it \
                    to be driven once with: safaridriver --enable";
    check(Machine::new(Os::MacOs), Safari, expected);
}

#[test]
fn chrome_in_applications() {
    let machine = Machine::new(Os::MacOs)
        .program("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "Google Chrome 156.0.1.1 ")
        .program("/opt/homebrew/bin/chromedriver", "ChromeDriver 156.0.1.1 (abc)");
    check(machine, Chrome, "156.0.1.1");
}

#[test]
fn webkitgtk_is_for_linux() {
    check(
        Machine::new(Os::MacOs),
        WebKitGtk,
        "webkitgtk does not exist for macos on x86_64; WebKitGTK runs on Linux only",
    );
}

#[test]
fn edge_on_windows_takes_its_version_from_its_folder() {
    let machine = Machine::new(Os::Windows)
        .script("/Program Files/Microsoft/Edge/Application/msedge.exe", "exit 7")
        .file("/Program Files/Microsoft/Edge/Application/99.0.1.1/msedge.dll", "")
        .file("/Program Files/Microsoft/Edge/Application/150.0.3.4/msedge.dll", "")
        .file("/Program Files/Microsoft/Edge/Application/SetupMetrics/x", "")
        .program("/usr/bin/msedgedriver.exe", "Microsoft Edge WebDriver 150.0.3.4 (abc)")
        .var_path("ProgramFiles", "/Program Files");
    check(machine, Edge, "150.0.3.4");
}

#[test]
fn home_by_the_variable() {
    check_home(Machine::debian().var("WEBNN_POOL_HOME", "/srv/pool").var("HOME", "/home/a"), "/srv/pool");
}

#[test]
fn home_must_not_depend_on_the_working_directory() {
    let expected = "WEBNN_POOL_HOME must be an absolute path, not pool";
    check_home(Machine::debian().var("WEBNN_POOL_HOME", "pool"), expected);
}

#[test]
fn home_of_each_system() {
    check_home(Machine::debian().var("HOME", "/home/a"), "/home/a/.local/share/webnn-pool");
    check_home(Machine::debian().var("HOME", "/home/a").var("XDG_DATA_HOME", "/data"), "/data/webnn-pool");
    check_home(
        Machine::new(Os::MacOs).var("HOME", "/Users/a"),
        "/Users/a/Library/Application Support/webnn-pool",
    );
    check_home(Machine::new(Os::Windows).var("LOCALAPPDATA", "/local"), "/local/webnn-pool");
}

#[test]
fn home_of_nobody() {
    let expected = "no folder for the pool's own files: set WEBNN_POOL_HOME to one (neither WEBNN_POOL_HOME, \
                    XDG_DATA_HOME nor HOME is set)";
    check_home(Machine::debian(), expected);
}
