//! Roll-ups are the sums of observations.

use perf_history::{Period, UnixMillis};

use super::model::{Model, check_same};
use super::{Fresh, opened};
use crate::support::{DAY, HOUR, MIDNIGHT, mixed, run};

pub(crate) fn hours_are_the_sums_of_observations(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    let mut model = Model::default();
    // Eight hours in batches that end within hours, and one batch that goes back in time.
    let all = mixed(480, MIDNIGHT + HOUR / 2);
    for batch in all.chunks(90).chain([&all[..50]]) {
        store.append(batch).expect("they are added");
        model.append(batch);
    }
    let expected = model.rollups(None);
    check_same(&store.rollups(None).expect("they are read"), &expected);
    assert!(expected.iter().any(|row| row.totals.latencies > 1), "the test has latencies to add up");
    check_same(&opened(&location).rollups(None).expect("they are read"), &expected);
}

pub(crate) fn since_leaves_out_what_has_ended(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    store.append(&[run(MIDNIGHT, 1.0), run(MIDNIGHT + HOUR, 2.0)]).expect("they are added");
    let mut check = |since: i64, expected: &[i64]| {
        let rows = store.rollups(Some(UnixMillis(since))).expect("they are read");
        let starts: Vec<i64> = rows.iter().map(|row| row.start.0).collect();
        assert_eq!(starts, expected);
        assert!(rows.iter().all(|row| row.period == Period::Hour));
    };
    check(i64::MIN, &[MIDNIGHT, MIDNIGHT + HOUR]);
    check(MIDNIGHT, &[MIDNIGHT, MIDNIGHT + HOUR]);
    check(MIDNIGHT + HOUR - 1, &[MIDNIGHT, MIDNIGHT + HOUR]);
    check(MIDNIGHT + HOUR, &[MIDNIGHT + HOUR]);
    check(MIDNIGHT + DAY, &[]);
}
