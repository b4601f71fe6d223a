//! Random worlds against the ladder: whatever they do, it ends in time, and never tries what cannot help.

mod support;

use std::time::Instant;

use proptest::prelude::*;
use recovery::{
    AttemptOutcome, Conditions, Fault, Incident, PressureLevel, RecoveryConfig, RestartRoom, Rung,
    RungRecord, RungSet, Step, fit,
};
use support::{fault, firefox, ms, rungs, start};

/// What the world does about one step.
#[derive(Debug, Clone)]
struct Turn {
    offered: RungSet,
    level: PressureLevel,
    full: bool,
    repeat: bool,
    /// How long the attempt takes; it is cut off when its time is over.
    takes: u64,
    outcome: AttemptOutcome,
    /// Whether the attempt is never reported.
    lost: bool,
    rediagnosed: Option<Fault>,
}

fn outcome() -> impl Strategy<Value = AttemptOutcome> {
    use AttemptOutcome::{Failed, TimedOut, Unavailable, Unproved, Worked};
    prop_oneof![
        1 => Just(Worked), 6 => Just(Failed), 2 => Just(Unproved), 2 => Just(TimedOut), 1 => Just(Unavailable),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let offered = prop_oneof![3 => Just(RungSet::ALL), 1 => rungs()];
    let level = proptest::sample::select(PressureLevel::ALL);
    let rediagnosed = prop_oneof![3 => Just(None), 1 => fault().prop_map(Some)];
    let bools = (prop::bool::weighted(0.3), prop::bool::weighted(0.7), prop::bool::weighted(0.2));
    (offered, level, bools, 0..90_000_u64, outcome(), rediagnosed).prop_map(
        |(offered, level, (full, repeat, lost), takes, outcome, rediagnosed)| Turn {
            offered,
            level,
            full,
            repeat,
            takes,
            outcome,
            lost,
            rediagnosed,
        },
    )
}

/// Everything that happened, to be compared between two runs of the same seed.
type Trace = Vec<(Instant, Step)>;

fn run(fault: Fault, turns: &[Turn], deadline: u64, seed: u64, now: Instant) -> Result<Trace, TestCaseError> {
    let mut config = RecoveryConfig::default();
    config.deadline = ms(deadline);
    config.seed = seed;
    let mut record = RungRecord::new();
    let mut incident = Incident::new(firefox(), fault, now, &config).expect("the settings work");
    let (mut now, mut trace, mut last) = (now, Trace::new(), None::<Rung>);
    let mut worked = false;
    let most: u32 = Rung::ALL.iter().map(|&rung| *config.tries.get(rung)).sum();
    let mut attempts = 0;
    for turn in turns.iter().cycle() {
        let restart =
            if turn.full { RestartRoom::Full { ask_again: now + ms(500) } } else { RestartRoom::Free };
        let (offered, level, repeat) = (turn.offered, turn.level, turn.repeat);
        let step = incident.next(now, &Conditions { offered, level, restart, repeat, record: &record });
        trace.push((now, step));
        match step {
            Step::Attempt { rung, attempt, not_before, until } => {
                attempts += 1;
                prop_assert!(attempts <= most, "{attempts} attempts");
                prop_assert!(now <= not_before && not_before <= until && until <= incident.deadline());
                prop_assert!(until > now, "an attempt has time");
                prop_assert!(fit(incident.fault(), rung).helps, "{rung} cannot help {}", incident.fault());
                prop_assert!(offered.has(rung));
                prop_assert!(attempt == 1 || repeat, "repetitions are paid for");
                prop_assert!(rung != Rung::Restart || !turn.full, "nobody passes a full gate");
                prop_assert!(last.is_none_or(|last| last <= rung), "{last:?} then {rung}");
                prop_assert!(until - not_before <= *config.limits.get(rung));
                let before = last.replace(rung);
                let end = (not_before + ms(turn.takes)).min(until);
                now = end;
                if turn.lost {
                    now = until;
                } else if turn.outcome == AttemptOutcome::Unavailable {
                    // What could not be tried at all is as if it had not been: the rungs below it stay open.
                    prop_assert!(incident.report(now, rung, turn.outcome).is_none(), "nothing to learn");
                    last = before;
                } else if let Some(lesson) = incident.report(now, rung, turn.outcome) {
                    record.learn(now, &lesson);
                }
                worked = worked || (!turn.lost && turn.outcome == AttemptOutcome::Worked);
            }
            Step::Wait { until, .. } => {
                prop_assert!(until > now && until <= incident.deadline());
                now = until;
            }
            Step::Recovered => {
                prop_assert!(worked, "only a success recovers");
                return Ok(trace);
            }
            Step::GiveUp { .. } => {
                prop_assert!(!worked, "a success always ends it");
                prop_assert!(now <= incident.deadline());
                prop_assert_eq!(
                    incident
                        .next(now + ms(1), &Conditions { offered, level, restart, repeat, record: &record }),
                    step
                );
                return Ok(trace);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        if let Some(fault) = turn.rediagnosed
            && fault != incident.fault()
        {
            incident.rediagnose(fault);
            last = None;
        }
        prop_assert!(trace.len() < 2_000, "it does not end");
    }
    Ok(trace)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn it_always_ends_in_time_and_the_same_seed_decides_the_same(
        fault in fault(), turns in prop::collection::vec(turn(), 1..12), deadline in 1..200_000_u64, seed: u64,
    ) {
        let now = start();
        let first = run(fault, &turns, deadline, seed, now)?;
        prop_assert_eq!(first, run(fault, &turns, deadline, seed, now)?);
    }

    /// Diagnoses that flap at one moment do not make it go on for ever.
    #[test]
    fn flapping_diagnoses_are_bounded(faults in prop::collection::vec(fault(), 2..6)) {
        let record = RungRecord::new();
        let now = start();
        let mut incident = Incident::new(firefox(), faults[0], now, &RecoveryConfig::default()).expect("they work");
        let conditions = Conditions {
            offered: RungSet::ALL,
            level: PressureLevel::Normal,
            restart: RestartRoom::Free,
            repeat: true,
            record: &record,
        };
        for step in 0..1_000 {
            match incident.next(now, &conditions) {
                Step::Attempt { rung, .. } => { incident.report(now, rung, AttemptOutcome::Failed); }
                Step::GiveUp { .. } => return Ok(()),
                other => prop_assert!(false, "{other:?}"),
            }
            incident.rediagnose(faults[step % faults.len()]);
        }
        prop_assert!(false, "it does not end");
    }
}
