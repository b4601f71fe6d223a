//! The package manager's part, against scripts that stand in for apt-get, dpkg-query, id and sudo.
#![cfg(unix)]

mod support;

use provision::{Os, Part};
use support::Machine;
use vocab::BrowserName::{self, Chrome, Chromium, Firefox, WebKitGtk};

const APT_GET: &str = "/usr/bin/apt-get";
const CHROMIUM: &str =
    "chromium: installed: chromium 150.1.2.3, driver 150.1.2.3 (packages chromium, chromium-driver)";

/// An apt-get that brings what lies under `/packages`.
const BRINGS: &str = "case \"$*\" in *install*) /bin/cp -r \"$ROOT\"/packages/. \"$ROOT\";; esac";

/// A Debian whose repository holds Chromium; who runs on it is still to be said.
fn debian() -> Machine {
    Machine::debian()
        .program("/packages/usr/bin/chromium", "Chromium 150.1.2.3")
        .program("/packages/usr/bin/chromedriver", "ChromeDriver 150.1.2.3 (abc)")
        .script("/usr/bin/dpkg-query", "exit 1")
}

fn as_root(machine: Machine) -> Machine {
    machine.script("/usr/bin/id", "echo 0")
}

#[track_caller]
fn check(machine: &Machine, wanted: &[BrowserName], expected: &[&str]) {
    let told = machine.install(wanted, &[Part::SystemPackages]);
    assert_eq!(told.outcomes, expected, "{}", told.said);
}

#[test]
fn root_installs() {
    let machine = as_root(debian()).logging(APT_GET, BRINGS);
    check(&machine, &[Chromium], &[CHROMIUM]);
    let log = machine.log();
    assert_eq!(log[0], "apt-get -q update");
    assert!(
        log[1].contains("--no-install-recommends") && log[1].ends_with("install chromium chromium-driver")
    );
}

#[test]
fn a_second_time_nothing_is_run() {
    let machine = as_root(debian()).logging(APT_GET, BRINGS);
    check(&machine, &[Chromium], &[CHROMIUM]);
    let before = machine.log();
    check(&machine, &[Chromium], &["chromium: already there: chromium 150.1.2.3, driver 150.1.2.3"]);
    assert_eq!(machine.log(), before);
}

#[test]
fn it_says_what_and_why_before_it_does() {
    let machine = as_root(debian()).logging(APT_GET, BRINGS);
    let said = machine.install(&[Chromium], &[Part::SystemPackages]).said;
    let announced =
        "chromium: installing the packages chromium, chromium-driver, because the browser runs models";
    let (start, end) = (said.find(announced), said.find("chromium: installed"));
    assert!(start.is_some() && start < end, "{said}");
}

#[test]
fn sudo_that_does_not_ask_is_used() {
    let machine = debian()
        .script("/usr/bin/id", "echo 1000")
        .logging("/usr/bin/sudo", "shift; exec \"$@\"")
        .script("/usr/bin/true", "exit 0")
        .script("/usr/bin/env", "export \"$1\"; shift; exec \"$@\"")
        .logging(APT_GET, &format!("[ \"$DEBIAN_FRONTEND\" = noninteractive ] || exit 9\n{BRINGS}"));
    check(&machine, &[Chromium], &[CHROMIUM]);
}

#[test]
fn sudo_that_asks_is_not() {
    let machine = debian()
        .script("/usr/bin/id", "echo 1000")
        .script("/usr/bin/sudo", "echo 'sudo: a password is required' >&2; exit 1")
        .logging(APT_GET, BRINGS);
    let expected = "chromium: failed: installing packages needs root, which neither this user nor sudo without a \
                    password has; run: sudo apt-get install chromium chromium-driver";
    check(&machine, &[Chromium], &[expected]);
    assert_eq!(machine.log(), Vec::<String>::new());
}

#[test]
fn only_what_is_missing_is_named() {
    let machine = as_root(debian())
        .script("/usr/bin/dpkg-query", "[ \"$3\" = chromium ] && echo installed")
        .logging(APT_GET, BRINGS);
    let expected = CHROMIUM.replace("chromium, chromium-driver)", "chromium-driver)");
    check(&machine, &[Chromium], &[&expected]);
}

#[test]
fn a_dead_repository_does_not_matter_if_the_package_comes() {
    let machine =
        as_root(debian()).logging(APT_GET, &format!("case \"$*\" in *update*) exit 100;; esac\n{BRINGS}"));
    check(&machine, &[Chromium], &[CHROMIUM]);
}

#[test]
fn no_network() {
    let fails = "case \"$*\" in *install*) echo 'E: Failed to fetch chromium.deb  Temporary failure resolving' >&2; \
                 exit 100;; esac";
    let machine = as_root(debian()).logging(APT_GET, fails);
    let expected = "chromium: failed: apt-get install could not reach the network; connect this machine and try again, \
                    it said:";
    check(&machine, &[Chromium], &[expected]);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let fails =
        format!("case \"$*\" in *webkit*) echo 'E: Unable to locate package' >&2; exit 100;; esac\n{BRINGS}");
    let machine = as_root(debian()).logging(APT_GET, &fails);
    let webkit = "webkitgtk: failed: apt-get install ended with exit status: 100, it said:";
    check(&machine, &[WebKitGtk, Chromium], &[webkit, CHROMIUM]);
}

#[test]
fn the_indexes_are_updated_once() {
    let machine = as_root(debian()).logging(APT_GET, "exit 1");
    machine.install(&[WebKitGtk, Chromium], &[Part::SystemPackages]);
    let updates = machine.log().iter().filter(|line| line.ends_with("update")).count();
    assert_eq!(updates, 1);
}

#[test]
fn packages_that_bring_nothing_usable_are_a_failure() {
    let machine =
        as_root(Machine::debian()).script("/usr/bin/dpkg-query", "exit 1").logging(APT_GET, "exit 0");
    let expected = "chromium: failed: everything it needs is installed, yet it cannot be used: chromium was not found, \
                    neither in PATH nor in its usual places";
    check(&machine, &[Chromium], &[expected]);
}

#[test]
fn firefox_without_a_vulkan_driver_gets_one() {
    let machine = as_root(Machine::debian())
        .program("/usr/bin/firefox", "Mozilla Firefox 153.7.0esr")
        .file("/packages/usr/share/vulkan/icd.d/lvp_icd.json", "{}")
        .script("/usr/bin/dpkg-query", "[ \"$3\" = firefox-esr ] && echo installed")
        .logging(APT_GET, BRINGS);
    check(&machine, &[Firefox], &["firefox: installed: firefox 153.7.0esr (packages mesa-vulkan-drivers)"]);
}

#[test]
fn the_newer_name_of_webkits_driver() {
    let machine = as_root(Machine::debian())
        .script("/usr/bin/dpkg-query", "exit 1")
        .script("/usr/bin/apt-cache", "[ \"$2\" = webkitgtk-webdriver ]")
        .logging(APT_GET, "exit 0");
    machine.install(&[WebKitGtk], &[Part::SystemPackages]);
    let log = machine.log();
    assert!(log[1].ends_with("install webkitgtk-webdriver xvfb"), "{log:?}");
}

#[test]
fn ubuntus_snaps_are_named_and_left_to_the_user() {
    let machine = as_root(Machine::new(Os::Linux).file("/etc/os-release", "ID=ubuntu\nID_LIKE=debian\n"))
        .logging(APT_GET, BRINGS);
    let expected = "chromium: failed: this must be installed by hand: sudo snap install chromium (Ubuntu's packages of \
                    it are empty; the snap brings its driver)";
    check(&machine, &[Chromium], &[expected]);
    assert_eq!(machine.log(), Vec::<String>::new());
}

#[test]
fn other_package_managers_are_named_and_not_run() {
    let machine = as_root(Machine::new(Os::Linux).file("/etc/os-release", "ID=arch\n"))
        .logging("/usr/bin/pacman", "exit 0");
    let expected =
        "webkitgtk: failed: this must be installed by hand: sudo pacman -S webkit2gtk-4.1 xorg-server-xvfb";
    check(&machine, &[WebKitGtk], &[expected]);
    assert_eq!(machine.log(), Vec::<String>::new());
}

#[test]
fn browsers_of_other_makers_are_only_found() {
    let expected = "chrome: failed: this must be installed by hand: install Google's own package from \
                    google.com/chrome, and put a chromedriver of the same major version in PATH";
    check(&as_root(debian()), &[Chrome], &[expected]);
}
