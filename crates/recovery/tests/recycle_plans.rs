//! A browser is replaced for a reason, with a spare first, and noise alone is no reason.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use recovery::{Plan, RecycleConfig, Recycler, Spare, slope};
use support::{secs, start};
use telemetry::RecycleCause;

fn recycler(change: impl FnOnce(&mut RecycleConfig)) -> Recycler {
    let mut config = RecycleConfig::default();
    change(&mut config);
    Recycler::new(config, start()).expect("the settings work")
}

#[test]
fn a_spare_first_then_no_new_work_then_the_end() {
    let mut recycler = recycler(|c| c.tasks = Some(3));
    let now = start();
    (0..3).for_each(|_| {
        assert_eq!(recycler.plan(now, Spare::None, 1), Plan::Keep);
        recycler.task_done();
    });
    let why = RecycleCause::Tasks;
    for second in 0..10_000 {
        assert_eq!(recycler.plan(now + secs(second), Spare::None, 1), Plan::StartSpareFirst { why });
    }
    assert_eq!(recycler.plan(now, Spare::Warm, 2), Plan::Drain { why, covered: true });
    // It does not go back to work because the spare is gone.
    assert_eq!(recycler.plan(now, Spare::None, 1), Plan::Drain { why, covered: true });
    assert_eq!(recycler.plan(now, Spare::Warm, 0), Plan::Recycle { why });
}

#[test]
fn tasks_may_be_counted_by_the_dozen() {
    let mut recycler = recycler(|c| c.tasks = Some(24));
    recycler.tasks_done(12);
    assert_eq!(recycler.plan(start(), Spare::None, 0), Plan::Keep);
    recycler.tasks_done(12);
    let why = RecycleCause::Tasks;
    assert_eq!(recycler.plan(start(), Spare::None, 0), Plan::StartSpareFirst { why });
}

#[test]
fn without_room_for_two_it_is_drained_uncovered() {
    let mut recycler = recycler(|c| c.tasks = None);
    let later = start() + secs(6 * 3_600);
    let why = RecycleCause::Age;
    assert_eq!(recycler.plan(later, Spare::NoRoom, 1), Plan::Drain { why, covered: false });
    assert_eq!(recycler.plan(later, Spare::NoRoom, 0), Plan::Recycle { why });
}

#[test]
fn patience_with_spares_can_be_bounded() {
    let mut recycler = recycler(|c| c.spare_limit = Some(secs(60)));
    let now = start();
    recycler.request(now);
    let why = RecycleCause::Requested;
    assert_eq!(recycler.plan(now + secs(59), Spare::None, 1), Plan::StartSpareFirst { why });
    assert_eq!(recycler.plan(now + secs(60), Spare::None, 1), Plan::Drain { why, covered: false });
}

/// Readings every 30 s that grow by `mib_per_hour` and scatter by `noise` MiB; what the plan says at their end.
fn plan(mib_per_hour: f64, noise: f64, readings: u64, seed: u64) -> Plan {
    let mut recycler = recycler(|_| {});
    let mut random = SmallRng::seed_from_u64(seed);
    let (begin, mib) = (start(), 1_048_576.0);
    let mut plan = Plan::Keep;
    for n in 0..readings {
        let now = begin + Duration::from_secs(30 * n);
        let hours = n as f64 * 30.0 / 3_600.0;
        let bytes = (500.0 + mib_per_hour * hours + noise * (random.random::<f64>() - 0.5)) * mib;
        recycler.memory(now, bytes as u64);
        plan = recycler.plan(now, Spare::None, 1);
        if plan != Plan::Keep {
            break;
        }
    }
    plan
}

#[test]
fn growth_is_told_from_noise() {
    let why = RecycleCause::Growth;
    for seed in 0..50 {
        assert_eq!(plan(1_000.0, 50.0, 120, seed), Plan::StartSpareFirst { why }, "{seed}");
        assert_eq!(plan(0.0, 200.0, 400, seed), Plan::Keep, "{seed}");
        assert_eq!(plan(100.0, 5.0, 400, seed), Plan::Keep, "it grows, but slowly: {seed}");
    }
    assert_eq!(plan(1e5, 0.0, 20, 0), Plan::Keep, "too few readings");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: fn(&mut RecycleConfig)| {
        let mut config = RecycleConfig::default();
        change(&mut config);
        assert!(Recycler::new(config, start()).is_err(), "{config:?}");
    };
    check(|c| c.tasks = Some(0));
    check(|c| c.least_readings = 2);
    check(|c| c.readings = 10);
    check(|c| c.growth = Some(f64::NAN));
    check(|c| c.age = Some(Duration::ZERO));
}

proptest! {
    #[test]
    fn a_line_is_found_through_its_points(b in -1e3..1e3_f64, a in -1e3..1e3_f64, n in 3..50_usize) {
        let line = slope((0..n).map(|x| (x as f64, a + b * x as f64))).expect("enough points");
        prop_assert!((line.per_unit - b).abs() < 1e-6 && line.error < 1e-6, "{:?}", line);
    }

    /// However it is asked: the end never comes while it is busy, never before a spare where one can be had, and the
    /// decision is never taken back.
    #[test]
    fn the_order_is_kept(asks in prop::collection::vec((0..3_000_u64, 0..3_u8, 0..3_usize, 0..4_000_u64), 1..100)) {
        let mut recycler = recycler(|c| c.tasks = Some(20));
        let (mut now, mut covered, mut stage) = (start(), false, 0);
        for (passed, spare, busy, bytes) in asks {
            now += secs(passed);
            recycler.memory(now, bytes * 1_048_576);
            recycler.task_done();
            let spare = [Spare::None, Spare::Warm, Spare::NoRoom][usize::from(spare)];
            let plan = recycler.plan(now, spare, busy);
            let next = match plan {
                Plan::Keep => 0,
                Plan::StartSpareFirst { .. } => { prop_assert_eq!(spare, Spare::None); 1 }
                Plan::Drain { .. } => { prop_assert!(busy > 0); 2 }
                Plan::Recycle { .. } => { prop_assert_eq!(busy, 0); 2 }
                _ => 3,
            };
            covered = covered || (next > 0 && spare != Spare::None);
            prop_assert!(next >= stage, "{stage} to {next}");
            prop_assert!(next < 2 || covered, "no spare was there");
            stage = next;
        }
    }
}
