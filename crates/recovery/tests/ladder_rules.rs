//! The ladder in plain cases: which rung comes first, when it is repeated, what is passed over, and why.

mod support;

use recovery::{
    AttemptOutcome, Conditions, Fault, GiveUpCause, Incident, Lesson, PressureLevel, RecoveryConfig,
    RestartRoom, Rung, RungRecord, RungSet, Standing, Step, WaitReason, fit,
};
use support::{firefox, ms, secs, start};

fn conditions(record: &RungRecord) -> Conditions<'_> {
    Conditions {
        offered: RungSet::ALL,
        level: PressureLevel::Normal,
        restart: RestartRoom::Free,
        repeat: true,
        record,
    }
}

/// The rungs that are tried when everything fails at once.
#[track_caller]
fn check(fault: Fault, repeat: bool, expected: &[Rung]) {
    let record = RungRecord::new();
    let now = start();
    let mut incident =
        Incident::new(firefox(), fault, now, &RecoveryConfig::default()).expect("the defaults work");
    let mut tried = Vec::new();
    loop {
        match incident.next(now, &Conditions { repeat, ..conditions(&record) }) {
            Step::Attempt { rung, .. } => {
                tried.push(rung);
                incident.report(now, rung, AttemptOutcome::Failed);
            }
            Step::GiveUp { cause } => {
                assert_eq!(cause, GiveUpCause::Exhausted);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tried, expected);
}

use Rung::{Ping, Reconnect, Refresh, Restart, Switch};

#[test]
fn each_fault_begins_where_something_can_help() {
    check(Fault::ProcessDead, false, &[Restart, Switch]);
    check(Fault::DriverDead, false, &[Restart, Switch]);
    check(Fault::PageCrashed, false, &[Refresh, Restart, Switch]);
    check(Fault::PageHung, false, &[Ping, Refresh, Restart, Switch]);
    check(Fault::SocketLost, false, &[Reconnect, Refresh, Restart, Switch]);
    check(Fault::OutOfMemory, false, &[Refresh, Restart, Switch]);
    check(Fault::WrongNumbers, false, &[Refresh, Restart, Switch]);
}

#[test]
fn a_rung_is_repeated_as_long_as_that_pays() {
    check(Fault::SocketLost, true, &[Reconnect, Reconnect, Refresh, Refresh, Restart, Switch, Switch]);
}

#[test]
fn a_dead_process_is_never_pinged_reconnected_or_refreshed() {
    for rung in [Ping, Reconnect, Refresh] {
        assert!(!fit(Fault::ProcessDead, rung).helps);
        assert!(!fit(Fault::ProcessDead, rung).why.is_empty());
    }
    for &fault in Fault::ALL {
        assert!(fit(fault, Restart).helps && fit(fault, Switch).helps, "{fault}");
    }
}

fn incident(fault: Fault) -> Incident {
    Incident::new(firefox(), fault, start(), &RecoveryConfig::default()).expect("the defaults work")
}

#[test]
fn what_experience_shows_to_fail_is_passed_over_and_explained() {
    let mut record = RungRecord::new();
    let mut incident = incident(Fault::SocketLost);
    let now = incident.began();
    for nth in 0..40 {
        let worked = nth % 10 == 0;
        let took = if worked { secs(1) } else { secs(5) };
        let browser = firefox().browser;
        record.learn(now, &Lesson { fault: Fault::SocketLost, browser, rung: Reconnect, worked, took });
    }
    let explanation = incident.explain(now, &conditions(&record));
    assert_eq!(explanation.rungs[1].standing, Standing::Dearer);
    let text = explanation.to_string();
    assert!(text.contains("for socket_lost on firefox, reconnect works 10 % of 33"), "{text}");
    assert!(text.contains("for socket_lost on firefox, ping cannot help"), "{text}");
    assert!(text.contains("refresh is assumed to work 90 % in 4.0 s, and pays"), "{text}");
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Refresh, .. }), "{step:?}");
    // Days later, when that counts for little, it is tried again.
    let later = now + secs(20 * 24 * 3_600);
    let mut config = RecoveryConfig::default();
    config.seed = 7;
    let mut incident =
        Incident::new(firefox(), Fault::SocketLost, later, &config).expect("the settings work");
    let step = incident.next(later, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Reconnect, .. }), "{step:?}");
}

#[test]
fn other_browsers_do_not_suffer_for_firefox() {
    let mut record = RungRecord::new();
    let now = start();
    for _ in 0..40 {
        let browser = Some(vocab::BrowserName::Chromium);
        let lesson =
            Lesson { fault: Fault::SocketLost, browser, rung: Reconnect, worked: false, took: secs(5) };
        record.learn(now, &lesson);
    }
    let mut incident = incident(Fault::SocketLost);
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Reconnect, .. }), "{step:?}");
}

#[test]
fn time_is_kept_for_the_rung_above() {
    let record = RungRecord::new();
    let mut config = RecoveryConfig::default();
    config.deadline = secs(10);
    let now = start();
    let mut incident = Incident::new(firefox(), Fault::PageCrashed, now, &config).expect("it works");
    let Step::Attempt { rung: Refresh, until, .. } = incident.next(now, &conditions(&record)) else {
        panic!("a refresh comes first")
    };
    assert_eq!(until, now + secs(5), "a switch is expected to take 5 s");
    incident.report(until, Refresh, AttemptOutcome::TimedOut);
    let step = incident.next(until, &conditions(&record));
    assert!(
        matches!(step, Step::Attempt { rung: Refresh, .. } | Step::Attempt { rung: Switch, .. }),
        "{step:?}"
    );
}

#[test]
fn a_restart_waits_for_its_turn_and_then_prefers_to_switch() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::ProcessDead);
    let now = incident.began();
    let full =
        |now| Conditions { restart: RestartRoom::Full { ask_again: now + secs(1) }, ..conditions(&record) };
    let step = incident.next(now, &full(now));
    assert_eq!(step, Step::Wait { until: now + secs(1), why: WaitReason::RestartRoom });
    let later = now + secs(5);
    let step = incident.next(later, &full(later));
    assert!(matches!(step, Step::Attempt { rung: Switch, .. }), "{step:?}");
}

#[test]
fn a_switch_to_nobody_leaves_the_restart_open() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::ProcessDead);
    let now = incident.began();
    let full =
        |now| Conditions { restart: RestartRoom::Full { ask_again: now + secs(1) }, ..conditions(&record) };
    incident.next(now, &full(now));
    let later = now + secs(5);
    let step = incident.next(later, &full(later));
    assert!(matches!(step, Step::Attempt { rung: Switch, .. }), "{step:?}");
    incident.report(later, Switch, AttemptOutcome::Unavailable);
    let step = incident.next(later, &full(later));
    assert_eq!(step, Step::Wait { until: later + secs(1), why: WaitReason::RestartRoom });
    let step = incident.next(later, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Restart, attempt: 1, .. }), "{step:?}");
}

#[test]
fn a_restart_without_alternative_waits_until_the_deadline() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::ProcessDead);
    let mut now = incident.began();
    let offered = RungSet::NONE.with(Restart);
    loop {
        let restart = RestartRoom::Full { ask_again: now + secs(1) };
        match incident.next(now, &Conditions { offered, restart, ..conditions(&record) }) {
            Step::Wait { until, .. } => now = until,
            step => {
                assert_eq!(step, Step::GiveUp { cause: GiveUpCause::Deadline });
                break;
            }
        }
    }
    assert_eq!(now, incident.deadline());
}

#[test]
fn a_fresh_diagnosis_may_jump_up_and_may_open_lower_rungs() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::SocketLost);
    let now = incident.began();
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Reconnect, .. }), "{step:?}");
    incident.rediagnose(Fault::ProcessDead);
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Restart, .. }), "{step:?}");
    incident.report(now, Restart, AttemptOutcome::Failed);
    incident.rediagnose(Fault::SocketLost);
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Reconnect, attempt: 2, .. }), "{step:?}");
}

#[test]
fn nothing_offered_is_given_up_at_once() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::ProcessDead);
    let now = incident.began();
    let offered = RungSet::NONE.with(Ping).with(Refresh);
    let step = incident.next(now, &Conditions { offered, ..conditions(&record) });
    assert_eq!(step, Step::GiveUp { cause: GiveUpCause::NothingHelps });
}

#[test]
fn an_unavailable_rung_is_passed_and_nothing_is_learned() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::SocketLost);
    let now = incident.began();
    incident.next(now, &conditions(&record));
    assert_eq!(incident.report(now, Reconnect, AttemptOutcome::Unavailable), None);
    let step = incident.next(now, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Refresh, attempt: 1, .. }), "{step:?}");
}

#[test]
fn a_lost_attempt_counts_as_timed_out_and_its_late_success_counts() {
    let record = RungRecord::new();
    let mut incident = incident(Fault::SocketLost);
    let now = incident.began();
    let Step::Attempt { until, .. } = incident.next(now, &conditions(&record)) else { panic!("an attempt") };
    assert!(matches!(incident.next(until - ms(1), &conditions(&record)), Step::Attempt { attempt: 1, .. }));
    let step = incident.next(until, &conditions(&record));
    assert!(matches!(step, Step::Attempt { rung: Reconnect, attempt: 2, .. }), "{step:?}");
    incident.report(until, Reconnect, AttemptOutcome::Failed);
    incident.report(until, Reconnect, AttemptOutcome::Worked);
    assert_eq!(incident.next(until, &conditions(&record)), Step::Recovered);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: fn(&mut RecoveryConfig)| {
        let mut config = RecoveryConfig::default();
        change(&mut config);
        assert!(Incident::new(firefox(), Fault::Slow, start(), &config).is_err(), "{config:?}");
    };
    check(|c| c.deadline = secs(0));
    check(|c| c.limits.refresh = std::time::Duration::MAX);
    check(|c| c.repeat_chance = 1.5);
    check(|c| c.crowded_switch = f64::NAN);
    check(|c| c.backoff.cap = ms(1));
    check(|c| c.tries = recovery::PerRung { ping: 0, reconnect: 0, refresh: 0, restart: 0, switch: 0 });
}
