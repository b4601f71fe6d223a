//! Levels of memory pressure rise at once and fall late, and say what to do about it.

mod support;

use std::time::Instant;

use proptest::prelude::*;
use recovery::{
    LoadRefusal, Means, MemoryAction, MemoryReading, Pressure, PressureConfig, PressureLevel, Use, may_load,
    relief,
};
use support::{ms, secs, start};
use telemetry::PressureSource;

fn cgroup(percent: u64) -> MemoryReading {
    let mut reading = MemoryReading::default();
    reading.cgroup = Some(Use { used: percent, limit: 100 });
    reading
}

#[track_caller]
fn check(change: impl FnOnce(&mut MemoryReading), level: PressureLevel, source: PressureSource) {
    let mut reading = MemoryReading::default();
    change(&mut reading);
    let mut pressure = Pressure::new(PressureConfig::default()).expect("the defaults work");
    let moved = pressure.observe(start(), &reading);
    assert_eq!(pressure.level(), level);
    assert_eq!(moved.map_or(PressureSource::Relieved, |moved| moved.source), source);
}

#[test]
fn each_source_counts_and_the_worst_decides() {
    use PressureLevel::{Critical, Elevated, High, Normal};
    let used = |used| Some(Use { used, limit: 100 });
    check(|_| {}, Normal, PressureSource::Relieved);
    check(|r| r.stall_some = Some(30.0), High, PressureSource::StallSome);
    check(|r| r.stall_full = Some(40.0), Critical, PressureSource::StallFull);
    check(|r| r.cgroup = used(75), Elevated, PressureSource::Cgroup);
    check(|r| r.system = used(96), Critical, PressureSource::System);
    check(|r| r.processes = used(200), Critical, PressureSource::Processes);
    check(|r| r.page_heap = used(90), High, PressureSource::PageHeap);
    check(|r| (r.wasm_heap, r.cgroup) = (used(96), used(80)), Critical, PressureSource::WasmHeap);
    check(|r| r.stall_some = Some(f64::NAN), Normal, PressureSource::Relieved);
    check(|r| r.cgroup = Some(Use { used: 1, limit: 0 }), Critical, PressureSource::Cgroup);
}

#[test]
fn it_falls_one_level_after_each_dwell() {
    let mut pressure = Pressure::new(PressureConfig::default()).expect("the defaults work");
    let begin = start();
    pressure.observe(begin, &cgroup(96));
    let falls: Vec<_> = (0..60)
        .filter_map(|second| {
            pressure.observe(begin + secs(second), &cgroup(10)).map(|moved| (second, moved.to))
        })
        .collect();
    use PressureLevel::{Elevated, High, Normal};
    assert_eq!(falls, [(10, High), (20, Elevated), (30, Normal)]);
}

#[test]
fn a_level_is_owed_to_what_raised_it_last() {
    let mut pressure = Pressure::new(PressureConfig::default()).expect("the defaults work");
    let begin = start();
    assert_eq!(pressure.source(), None);
    pressure.observe(begin, &cgroup(76));
    assert_eq!(pressure.source(), Some(PressureSource::Cgroup));
    let mut heap = cgroup(76);
    heap.wasm_heap = Some(Use { used: 96, limit: 100 });
    pressure.observe(begin + secs(1), &heap);
    assert_eq!(pressure.source(), Some(PressureSource::WasmHeap));
    let sources: Vec<_> = (2..60)
        .filter_map(|second| pressure.observe(begin + secs(second), &cgroup(10)).map(|_| pressure.source()))
        .collect();
    assert_eq!(sources, [Some(PressureSource::WasmHeap), Some(PressureSource::WasmHeap), None]);
}

#[test]
fn just_below_the_threshold_is_not_enough() {
    let mut pressure = Pressure::new(PressureConfig::default()).expect("the defaults work");
    let begin = start();
    pressure.observe(begin, &cgroup(76));
    for second in 0..100 {
        assert_eq!(pressure.observe(begin + secs(second), &cgroup(70)), None, "67.5 is the margin");
    }
    assert!((100..120).any(|second| pressure.observe(begin + secs(second), &cgroup(67)).is_some()));
}

#[test]
fn actions_come_in_the_order_of_their_cost_and_only_where_there_are_means() {
    use MemoryAction::{EvictLeastValuable, RecycleBrowser, RefreshPage, RefuseNewSessions, ShrinkPool};
    let rich = Means { evictable: 3, pages: 2, browsers: 2, least_browsers: 1 };
    assert_eq!(relief(PressureLevel::Normal, &rich), []);
    assert_eq!(relief(PressureLevel::Elevated, &rich), [RefuseNewSessions]);
    assert_eq!(relief(PressureLevel::High, &rich), [RefuseNewSessions, EvictLeastValuable, RefreshPage]);
    let all = [RefuseNewSessions, EvictLeastValuable, RefreshPage, RecycleBrowser, ShrinkPool];
    assert_eq!(relief(PressureLevel::Critical, &rich), all);
    let poor = Means { evictable: 0, pages: 0, browsers: 1, least_browsers: 0 };
    assert_eq!(relief(PressureLevel::Critical, &poor), [RefuseNewSessions, RecycleBrowser]);
}

#[test]
fn a_model_that_would_not_fit_is_refused_before_it_is_loaded() {
    let mut reading = cgroup(40);
    assert_eq!(may_load(PressureLevel::Normal, &reading, 60), Ok(()));
    assert_eq!(
        may_load(PressureLevel::Normal, &reading, 61),
        Err(LoadRefusal::NoRoom { needs: 61, left: 60 })
    );
    reading.wasm_heap = Some(Use { used: 5, limit: 10 });
    assert_eq!(may_load(PressureLevel::Normal, &reading, 6), Err(LoadRefusal::NoRoom { needs: 6, left: 5 }));
    let level = PressureLevel::Elevated;
    assert_eq!(may_load(level, &reading, 0), Err(LoadRefusal::Pressure { level }));
    assert_eq!(may_load(PressureLevel::Normal, &MemoryReading::default(), u64::MAX), Ok(()));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: fn(&mut PressureConfig)| {
        let mut config = PressureConfig::default();
        change(&mut config);
        assert!(Pressure::new(config).is_err(), "{config:?}");
    };
    check(|c| c.shares.high = 0.99);
    check(|c| c.stall_full.critical = f64::NAN);
    check(|c| c.margin = 1.0);
    check(|c| c.dwell = secs(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is read: it never falls within a dwell of any change, never by more than one level, and only after a
    /// whole dwell of readings below; it rises at once to where the reading says.
    #[test]
    fn it_does_not_flap(readings in prop::collection::vec((0..4_000_u64, prop::option::weighted(0.9, 0..110_u64)), 1..300)) {
        let config = PressureConfig::default();
        let mut pressure = Pressure::new(config).expect("the defaults work");
        let mut now = start();
        let (mut changed, mut below): (Option<Instant>, Option<Instant>) = (None, None);
        for (passed, percent) in readings {
            now += ms(passed);
            let before = pressure.level();
            let reading = percent.map_or_else(MemoryReading::default, cgroup);
            let level = |scale: f64| percent.map(|percent| {
                let share = percent as f64 / 100.0;
                let t = config.shares;
                let above = [t.elevated, t.high, t.critical].iter().filter(|t| share >= **t * scale).count();
                PressureLevel::ALL[above]
            });
            let calm = level(0.9).is_some_and(|level| level < before);
            below = if calm { below.or(Some(now)) } else { None };
            let moved = pressure.observe(now, &reading);
            let after = pressure.level();
            prop_assert_eq!(moved.map_or(before, |moved| moved.to), after);
            prop_assert!(level(1.0).is_none_or(|level| after >= level), "it is never below the reading");
            if after < before {
                prop_assert!(changed.is_none_or(|at| now - at >= config.dwell), "it fell within a dwell");
                prop_assert!(below.is_some_and(|at| now - at >= config.dwell), "it was not calm for long");
                prop_assert_eq!(after as usize + 1, before as usize);
            }
            if after > before { prop_assert_eq!(Some(after), level(1.0)); below = None; }
            if after != before { changed = Some(now); }
        }
    }
}
