//! Evidence becomes the most severe fault that it shows, and what proves nothing changes nothing.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use recovery::{Canary, DiagnosisConfig, Fault, Seen, Signs, diagnose};
use support::secs;
use vocab::FailureKind;

#[track_caller]
fn check(change: impl FnOnce(&mut Signs), expected: Option<Fault>) {
    let mut signs = Signs::default();
    change(&mut signs);
    assert_eq!(diagnose(&signs, &DiagnosisConfig::default()), expected, "{signs:?}");
}

#[test]
fn nothing_known_is_nothing_wrong() {
    check(|_| {}, None);
}

#[test]
fn each_fault_has_its_signs() {
    check(|s| s.process = Seen::Down, Some(Fault::ProcessDead));
    check(|s| s.driver = Seen::Down, Some(Fault::DriverDead));
    check(|s| s.tab_crashed = true, Some(Fault::PageCrashed));
    check(|s| s.control_silence = Some(secs(16)), Some(Fault::PageHung));
    check(|s| (s.leases, s.data_silence) = (1, Some(secs(61))), Some(Fault::WorkerHung));
    check(|s| s.control = Seen::Down, Some(Fault::SocketLost));
    check(|s| s.data = Seen::Down, Some(Fault::SocketLost));
    check(|s| s.reported = vec![FailureKind::DeviceLost], Some(Fault::DeviceLost));
    check(|s| s.reported = vec![FailureKind::OutOfMemory], Some(Fault::OutOfMemory));
    check(|s| s.canary = Canary::Wrong, Some(Fault::WrongNumbers));
    check(|s| s.slowdown = Some(5.1), Some(Fault::Slow));
}

#[test]
fn a_lease_means_progress_and_its_absence_excuses_silence() {
    check(|s| s.data_silence = Some(secs(3_600)), None);
    check(|s| (s.leases, s.data_silence) = (3, Some(secs(59))), None);
    // Connected, and yet hung.
    check(|s| (s.data, s.leases, s.data_silence) = (Seen::Up, 1, Some(secs(61))), Some(Fault::WorkerHung));
}

#[test]
fn silence_over_a_closed_connection_is_the_connections() {
    check(|s| (s.control, s.control_silence) = (Seen::Down, Some(secs(600))), Some(Fault::SocketLost));
}

#[test]
fn what_nobody_listened_for_proves_nothing() {
    check(|s| (s.control_silence, s.observer_away) = (Some(secs(60)), secs(50)), None);
    check(|s| (s.control_silence, s.observer_away) = (Some(secs(60)), secs(40)), Some(Fault::PageHung));
}

#[test]
fn callers_errors_and_numbers_that_are_none_are_no_fault() {
    check(|s| s.reported = vec![FailureKind::InvalidInput, FailureKind::InvalidModel], None);
    check(|s| s.slowdown = Some(f64::NAN), None);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let mut config = DiagnosisConfig::default();
    assert!(config.validate().is_ok());
    config.slowdown = f64::NAN;
    assert!(config.validate().is_err());
    config.slowdown = 2.0;
    config.control_silence = Duration::MAX;
    assert!(config.validate().is_err());
}

fn seen() -> impl Strategy<Value = Seen> {
    proptest::sample::select(&[Seen::Unknown, Seen::Up, Seen::Down][..])
}

proptest! {
    /// Adding evidence never makes the diagnosis milder, except that a closed connection explains silence.
    #[test]
    fn a_dead_process_beats_everything(
        driver in seen(), control in seen(), data in seen(), silence in 0..1_000_u64, leases in 0..3_u32, crashed: bool,
    ) {
        let mut signs = Signs::default();
        (signs.driver, signs.control, signs.data, signs.leases) = (driver, control, data, leases);
        signs.control_silence = Some(secs(silence));
        signs.data_silence = Some(secs(silence));
        signs.tab_crashed = crashed;
        let config = DiagnosisConfig::default();
        let milder = diagnose(&signs, &config);
        signs.process = Seen::Down;
        prop_assert_eq!(diagnose(&signs, &config), Some(Fault::ProcessDead));
        prop_assert!(milder != Some(Fault::ProcessDead));
    }
}
