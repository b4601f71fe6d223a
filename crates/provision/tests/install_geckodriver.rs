//! geckodriver's part, against scripts that stand in for cargo.
#![cfg(unix)]

mod support;

use provision::Part;
use support::Machine;
use vocab::BrowserName::Firefox;

const CARGO: &str = "/usr/bin/cargo";
const INSTALLED: &str = "geckodriver: installed: geckodriver 0.37.1 in /home/bin/geckodriver";

/// A cargo that builds the geckodriver which lies under `/built`.
const BUILDS: &str =
    "/bin/mkdir -p \"$ROOT/home/bin\"; /bin/cp \"$ROOT/built/geckodriver\" \"$ROOT/home/bin\"";

fn machine() -> Machine {
    Machine::debian().program("/built/geckodriver", "geckodriver 0.37.1")
}

#[track_caller]
fn check(machine: &Machine, expected: &str) {
    let told = machine.install(&[Firefox], &[Part::Geckodriver]);
    assert_eq!(told.outcomes, [expected], "{}", told.said);
}

#[test]
fn cargo_builds_the_pinned_version_into_home() {
    let machine = machine().logging(CARGO, BUILDS);
    check(&machine, INSTALLED);
    let log = machine.log();
    assert!(log[0].starts_with("cargo install geckodriver --version 0.37.1 --locked --root "), "{log:?}");
}

#[test]
fn a_second_time_nothing_is_built() {
    let machine = machine().logging(CARGO, BUILDS);
    check(&machine, INSTALLED);
    check(&machine, "geckodriver: already there: geckodriver 0.37.1 at /home/bin/geckodriver");
    assert_eq!(machine.log().len(), 1);
}

#[test]
fn an_old_one_of_ours_is_replaced() {
    let machine = machine().program("/home/bin/geckodriver", "geckodriver 0.36.0").logging(CARGO, BUILDS);
    check(&machine, INSTALLED);
}

#[test]
fn one_of_the_users_is_respected() {
    let machine = machine().program("/usr/bin/geckodriver", "geckodriver 0.36.0").logging(CARGO, BUILDS);
    check(&machine, "geckodriver: already there: geckodriver 0.36.0 at /usr/bin/geckodriver");
    assert_eq!(machine.log(), Vec::<String>::new());
}

#[test]
fn no_cargo() {
    let expected = "geckodriver: failed: cargo was not found, and it builds geckodriver, which drives Firefox; install \
                    Rust from rustup.rs, or put a geckodriver of your own in PATH";
    check(&machine(), expected);
}

#[test]
fn the_callers_own_build_does_not_leak_in() {
    let refuses = "[ -z \"$CARGO_MANIFEST_DIR$CARGO_TARGET_DIR$CARGO_PKG_NAME$RUSTFLAGS\" ] || exit 8\n\
                   [ \"$CARGO_HOME$RUSTUP_TOOLCHAIN\" = homestable ] || exit 9";
    let machine = machine()
        .logging(CARGO, &format!("{refuses}\n{BUILDS}"))
        .var("CARGO_MANIFEST_DIR", "/project")
        .var("CARGO_TARGET_DIR", "/project/target")
        .var("CARGO_PKG_NAME", "xtask")
        .var("RUSTFLAGS", "-Dwarnings")
        .var("CARGO_HOME", "home")
        .var("RUSTUP_TOOLCHAIN", "stable");
    check(&machine, INSTALLED);
}

#[test]
fn a_build_that_fails_tells_its_last_lines() {
    let machine = machine().logging(CARGO, "echo 'error: linker `cc` not found' >&2; exit 101");
    let told = machine.install(&[Firefox], &[Part::Geckodriver]);
    let expected = "geckodriver: failed: cargo install geckodriver ended with exit status: 101, it said:\n\
                    error: linker `cc` not found\n";
    assert!(told.said.ends_with(expected), "{}", told.said);
}

#[test]
fn no_network() {
    let said = "warning: spurious network error (1 try remaining): [6] Could not resolve hostname\n\
                error: download of config.json failed";
    let machine = machine().logging(CARGO, &format!("echo '{said}' >&2; exit 101"));
    let expected = "geckodriver: failed: cargo install geckodriver could not reach the network; connect this machine \
                    and try again, it said:";
    check(&machine, expected);
}
