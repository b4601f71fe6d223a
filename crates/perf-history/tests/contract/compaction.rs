//! What is old is dropped, and its sums stay.

use perf_history::{Compacted, HistoryStore, Observation, Period, Retention, Totals, UnixMillis};

use super::model::{Model, check_same};
use super::{Fresh, check_holds, everything, opened};
use crate::support::{DAY, HOUR, MIDNIGHT, arm, mixed, model, run};

/// Compacts until there is no more to drop.
#[track_caller]
pub(crate) fn compact(store: &mut dyn HistoryStore, now: i64, retention: &Retention) -> Compacted {
    let mut all = Compacted::default();
    loop {
        let Compacted { observations, hours, days, more } =
            store.compact(UnixMillis(now), retention).expect("it compacts");
        all.observations += observations;
        all.hours += hours;
        all.days += days;
        if !more {
            return all;
        }
    }
}

pub(crate) fn retention(observation_days: u32, hour_days: u32, day_days: u32) -> Retention {
    let mut retention = Retention::default();
    retention.observation_days = observation_days;
    retention.hour_days = hour_days;
    retention.day_days = day_days;
    retention
}

fn whole(store: &mut dyn HistoryStore) -> Totals {
    let mut all = Totals::default();
    store.rollups(None).expect("they are read").iter().for_each(|row| all.merge(&row.totals));
    all
}

pub(crate) fn dropping_keeps_sums(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    let mut model = Model::default();
    // Four and a half days, an observation a minute.
    let all = mixed(6_480, MIDNIGHT);
    for batch in all.chunks(1_000) {
        store.append(batch).expect("they are added");
        model.append(batch);
    }
    let end = MIDNIGHT + 4 * DAY + DAY / 2;
    let before = whole(&mut *store);

    // Nothing is old yet.
    assert_eq!(compact(&mut *store, end, &retention(5, 5, 5)), Compacted::default());

    let kept = retention(1, 2, 100);
    let dropped = compact(&mut *store, end, &kept);
    assert_eq!(dropped, model.compact(UnixMillis(end), &kept));
    assert!(dropped.observations > 0 && dropped.hours > 0);
    check_same(&store.rollups(None).expect("they are read"), &model.rollups(None));
    let after = whole(&mut *store);
    assert_eq!((after.ok, after.failed, after.neutral), (before.ok, before.failed, before.neutral));
    assert_eq!((after.latencies, &after.sketch), (before.latencies, &before.sketch));
    assert_eq!(compact(&mut *store, end, &kept), Compacted::default(), "it is done");

    // What comes late goes into hours that are there no more, and later into the same days.
    let late = &all[..100];
    store.append(late).expect("they are added");
    model.append(late);
    check_same(&store.rollups(None).expect("they are read"), &model.rollups(None));
    assert_eq!(compact(&mut *store, end, &kept), model.compact(UnixMillis(end), &kept));
    check_same(&store.rollups(None).expect("they are read"), &model.rollups(None));
    assert!(store.rollups(None).expect("they are read").iter().any(|row| row.period == Period::Day));

    let kept = retention(1, 2, 3);
    assert_eq!(compact(&mut *store, end, &kept), model.compact(UnixMillis(end), &kept));
    check_same(&store.rollups(None).expect("they are read"), &model.rollups(None));
}

pub(crate) fn excess_goes_oldest_first(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    // Two at a time, and the first ones last.
    let all: Vec<Observation> = (0..10).rev().map(|at| run(MIDNIGHT + at / 2, at as f64)).collect();
    store.append(&all).expect("they are added");
    let mut few = Retention::default();
    few.most_observations = 4;
    let dropped = compact(&mut *store, MIDNIGHT, &few);
    assert_eq!(dropped, Compacted { observations: 6, ..Compacted::default() });
    check_holds(&mut *store, &all[..4]);
    few.most_observations = 0;
    assert_eq!(compact(&mut *store, MIDNIGHT, &few).observations, 4);
    // An id is never given twice, or whoever reads on after the last one would miss some.
    store.append(&all[..1]).expect("it is added");
    let next = store.observations(&perf_history::Query::After { id: 10, limit: 5 }).expect("it reads");
    assert_eq!(next.iter().map(|stored| stored.id).collect::<Vec<_>>(), [11]);
}

pub(crate) fn names_that_nothing_needs_go(fresh: Fresh) {
    let (_guard, location) = fresh();
    let (mut store, mut other) = (opened(&location), opened(&location));
    let old = Observation { model: model(2), arm: arm(2), ..run(MIDNIGHT, 1.0) };
    let later = MIDNIGHT + 10 * DAY;
    let new = Observation { model: model(3), arm: arm(3), ..run(later, 1.0) };
    store.append(&[old.clone(), new.clone()]).expect("they are added");
    // The other one learns the names, which are then dropped behind its back.
    other.append(&[old.clone(), new.clone()]).expect("they are added");
    compact(&mut *store, later, &retention(1, 1, 2));
    let left: Vec<Observation> = everything(&mut *store, 9).into_iter().map(|s| s.observation).collect();
    assert_eq!(left, [new.clone(), new]);
    other.append(std::slice::from_ref(&old)).expect("it is added");
    store.append(&[old]).expect("it is added");
    let rows = store.rollups(Some(UnixMillis(MIDNIGHT - HOUR))).expect("they are read");
    let seen: Vec<_> = rows.iter().map(|row| (row.model.clone(), row.arm.clone(), row.totals.ok)).collect();
    assert_eq!(seen, [(model(2), arm(2), 2), (model(3), arm(3), 2)]);
    assert_eq!(other.rollups(None).expect("they are read").len(), 2);
}
