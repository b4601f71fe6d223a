//! Two installations at once, and a home that cannot be used.
#![cfg(unix)]

mod support;

use std::fs::File;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use provision::{Event, Home, Part, install_on};
use support::Machine;

#[test]
fn a_second_installation_waits_and_says_so() {
    let machine = Machine::debian();
    std::fs::create_dir_all(machine.path("/home")).expect("a home");
    let other = File::create(machine.path("/home/install.lock")).expect("a lock file");
    other.lock().expect("the lock");

    let (sender, events) = channel();
    let (host, home) = (machine.host(), machine.home());
    let second = std::thread::spawn(move || {
        let mut tell = |event: &Event<'_>| sender.send(event.to_string()).expect("a listener");
        install_on(&host, &home, &[], &[Part::Runtime], &mut tell).map(|report| report.entries.len())
    });
    let first = events.recv().expect("a first event");
    assert!(first.starts_with("another set-up is running (it holds "), "{first}");
    let more = events.recv_timeout(Duration::from_millis(200));
    assert_eq!(more, Err(RecvTimeoutError::Timeout), "it went on while the lock was held");
    drop(other);
    assert_eq!(second.join().expect("no panic").expect("a usable home"), 1);
    assert!(events.iter().any(|event| event.starts_with("onnxruntime-web: failed: npm was not found")));
}

#[test]
fn a_home_that_is_a_file_is_an_error() {
    let machine = Machine::debian().file("/home", "not a folder");
    let home = Home::at(machine.path("/home"));
    let error = install_on(&machine.host(), &home, &[], Part::ALL, &mut |_| {}).expect_err("no home");
    assert!(error.to_string().ends_with("cannot be used; set WEBNN_POOL_HOME to one that can"), "{error}");
}
