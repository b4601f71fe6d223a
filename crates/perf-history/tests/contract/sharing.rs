//! Several handles of one store at once.

use perf_history::store::open_read_only;
use perf_history::{Observation, Query, Retention, UnixMillis};

use super::model::{Model, check_same};
use super::{Fresh, check_holds, everything, opened};
use crate::support::{HOUR, MIDNIGHT, arm, mixed, run};

pub(crate) fn two_handles_see_each_other(fresh: Fresh) {
    let (_guard, location) = fresh();
    let (mut one, mut two) = (opened(&location), opened(&location));
    let mut reader = open_read_only(&location).expect("it opens");
    let mut model = Model::default();
    let all = mixed(90, MIDNIGHT);
    // By turns, on the same hours: neither may trust its own memory of the sums.
    for (at, batch) in all.chunks(9).enumerate() {
        let store = if at % 2 == 0 { &mut one } else { &mut two };
        store.append(batch).expect("they are added");
        model.append(batch);
        let expected = model.rollups(None);
        check_same(&reader.rollups(None).expect("they are read"), &expected);
    }
    check_holds(&mut *reader, &all);
    check_same(&one.rollups(None).expect("they are read"), &model.rollups(None));
    // The second adds to hours which the first has folded into days meanwhile.
    let now = UnixMillis(MIDNIGHT + 3 * HOUR);
    let mut none = Retention::default();
    none.hour_days = 0;
    one.compact(now, &none).expect("it compacts");
    model.compact(now, &none);
    two.append(&all[..20]).expect("they are added");
    model.append(&all[..20]);
    check_same(&one.rollups(None).expect("they are read"), &model.rollups(None));
}

pub(crate) fn two_writers_lose_nothing(fresh: Fresh) {
    const EACH: usize = 20;
    let (_guard, location) = fresh();
    drop(opened(&location));
    let write = |number: u32| {
        let mut store = opened(&location);
        for at in 0..EACH {
            let of =
                |item: i64| Observation { arm: arm(number), ..run(MIDNIGHT + at as i64 * 10 + item, 1.0) };
            let batch: Vec<Observation> = (0..10).map(of).chain([run(MIDNIGHT, 2.0)]).collect();
            store.append(&batch).expect("they are added");
        }
    };
    // A reader that follows must not miss what another writer commits later with a smaller id.
    let mut followed = Vec::new();
    std::thread::scope(|scope| {
        let writers = [2, 3].map(|number| scope.spawn(move || write(number)));
        let mut reader = open_read_only(&location).expect("it opens");
        while followed.len() < 2 * EACH * 11 {
            let id = followed.last().copied().unwrap_or(0);
            let next = reader.observations(&Query::After { id, limit: 50 }).expect("it reads");
            followed.extend(next.iter().map(|stored| stored.id));
            if next.is_empty() && writers.iter().all(|writer| writer.is_finished()) {
                let rest = reader.observations(&Query::After { id, limit: 1_000 }).expect("it reads");
                followed.extend(rest.iter().map(|stored| stored.id));
                break;
            }
        }
    });
    assert_eq!(followed, (1..=2 * EACH as i64 * 11).collect::<Vec<_>>());
    let mut model = Model::default();
    let mut store = opened(&location);
    let all: Vec<Observation> = everything(&mut *store, 1_000).into_iter().map(|s| s.observation).collect();
    model.append(&all);
    check_same(&store.rollups(None).expect("they are read"), &model.rollups(None));
    assert_eq!(all.iter().filter(|observation| observation.arm == arm(3)).count(), 10 * EACH);
}

pub(crate) fn what_reads_only_does_not_write(fresh: Fresh) {
    let (_guard, location) = fresh();
    open_read_only(&location).err().expect("there is nothing to read");
    let all = mixed(5, MIDNIGHT);
    opened(&location).append(&all).expect("they are added");
    let mut reader = open_read_only(&location).expect("it opens");
    reader.append(&all).expect_err("it is read-only");
    reader.compact(UnixMillis(i64::MAX), &Retention::default()).expect_err("it is read-only");
    check_holds(&mut *reader, &all);
}
