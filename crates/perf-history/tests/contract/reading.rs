//! What is added comes back, whole, in order and in pages.

use std::sync::Arc;

use perf_history::{Arm, ModelId, Observation, Operation, Outcome, Query, ShapeBucket, UnixMillis};
use vocab::{Backend, BrowserName, DeviceKind, FailureKind, ModelHash, ModelType, WorkerId};

use super::{Fresh, check_holds, everything, opened};
use crate::support::{HOUR, MIDNIGHT, arm, mixed, model, outcomes, run};

/// Observations that between them have every value of every list, and the least and the greatest of every number.
fn thorough() -> Vec<Observation> {
    let mut all = Vec::new();
    for (at, outcome) in outcomes().into_iter().enumerate() {
        let operation = Operation::ALL[at % Operation::ALL.len()];
        all.push(Observation { outcome, operation, warm: at % 2 == 0, ..run(MIDNIGHT + at as i64, 1.5) });
    }
    for &browser in BrowserName::ALL {
        for &backend in Backend::ALL {
            for device in [DeviceKind::Cpu, DeviceKind::Gpu, DeviceKind::Npu, DeviceKind::from("tpu ✓")] {
                let adapter = (backend != Backend::Wasm).then(|| "O'Brien \"GPU\"\\ \u{1F600}".into());
                let arm = Arm {
                    browser,
                    browser_version: "".into(),
                    backend,
                    device_requested: (backend == Backend::WebNn).then(|| device.clone()),
                    device_effective: device,
                    adapter,
                    threads: u32::MAX,
                };
                all.push(Observation { arm: Arc::new(arm), ..run(MIDNIGHT, 2.0) });
            }
        }
    }
    // Arms and models that differ only in what is there at all.
    for (requested, adapter) in [(None, Some("")), (Some(DeviceKind::from("")), None)] {
        let arm = Arm { device_requested: requested, adapter: adapter.map(Arc::from), ..(*arm(1)).clone() };
        all.push(Observation { arm: Arc::new(arm), ..run(MIDNIGHT, 3.0) });
    }
    for model_type in ModelType::ALL.iter().copied().map(Some).chain([None]) {
        for version in ["", "2"] {
            let model = ModelId {
                hash: ModelHash([0xfe; 32]),
                name: "a\tb".into(),
                version: version.into(),
                model_type,
                precision: "".into(),
            };
            let shape = ShapeBucket::from("sequence=18446744073709551615");
            all.push(Observation { model: Arc::new(model), shape, ..run(MIDNIGHT, 4.0) });
        }
    }
    // Texts that some databases cannot keep, or cannot find again because of their length.
    let long: String = (0..20_000_u32).map(|at| char::from(b'!' + (at * at % 89) as u8)).collect();
    let texts = ["\0", "a\0b", "\u{1a}", "\u{1a}0", "\\0", "a'b\"c\n%_"].map(str::to_owned);
    for text in texts.into_iter().chain([format!("{long}a"), format!("{long}b")]) {
        let arm = Arm {
            browser_version: text.as_str().into(),
            device_requested: Some(DeviceKind::from(text.as_str())),
            device_effective: DeviceKind::from(text.as_str()),
            adapter: Some(text.as_str().into()),
            ..(*arm(1)).clone()
        };
        let model = ModelId {
            name: text.as_str().into(),
            version: text.as_str().into(),
            precision: text.as_str().into(),
            ..(*model(1)).clone()
        };
        all.push(Observation {
            arm: Arc::new(arm),
            model: Arc::new(model),
            shape: ShapeBucket::from(text.as_str()),
            outcome: Outcome::Reported(FailureKind::from(text.as_str())),
            ..run(MIDNIGHT, 5.0)
        });
    }
    all.push(Observation {
        at: UnixMillis(i64::MAX),
        worker: WorkerId(u64::MAX),
        load_ms: Some(f64::MAX),
        queue_ms: Some(f64::MIN_POSITIVE),
        in_page_ms: Some(-0.0),
        service_ms: Some(1.0 / 3.0),
        total_ms: Some(5e-324),
        bytes_in: Some(u64::MAX),
        bytes_out: Some(0),
        memory_bytes: Some(1 << 63),
        ..run(0, 0.0)
    });
    all.push(Observation {
        at: UnixMillis(i64::MIN),
        worker: WorkerId(0),
        load_ms: None,
        queue_ms: None,
        in_page_ms: None,
        service_ms: None,
        total_ms: None,
        bytes_in: None,
        bytes_out: None,
        memory_bytes: None,
        ..run(0, 0.0)
    });
    all
}

pub(crate) fn every_field_and_outcome_comes_back(fresh: Fresh) {
    let (_guard, location) = fresh();
    let all = thorough();
    opened(&location).append(&all).expect("they are added");
    // By another handle, which knows nothing of what the first one remembered.
    check_holds(&mut *opened(&location), &all);
}

pub(crate) fn a_batch_is_added_whole_or_not_at_all(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    let first = mixed(10, MIDNIGHT);
    store.append(&first).expect("they are added");
    let rollups = store.rollups(None).expect("they are read");
    drop(store);

    let mut reader = perf_history::store::open_read_only(&location).expect("it opens");
    reader.append(&mixed(10, MIDNIGHT + HOUR)).expect_err("it is read-only");
    check_holds(&mut *reader, &first);
    assert_eq!(reader.rollups(None).expect("they are read"), rollups);

    let mut store = opened(&location);
    store.append(&[]).expect("nothing is always added");
    check_holds(&mut *store, &first);
}

pub(crate) fn reading_nothing_gives_nothing(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    for query in [Query::Latest { each: 5, since: None }, Query::After { id: 0, limit: 5 }] {
        assert_eq!(store.observations(&query).expect("it reads"), []);
    }
    assert_eq!(store.rollups(None).expect("it reads"), []);
}

pub(crate) fn latest_are_ordered_and_limited(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    let of = |arm_number: u32, at: i64| Observation { arm: arm(arm_number), ..run(at, at as f64 + 1.0) };
    // Not in the order of time, and two at the same time.
    let all = [of(1, 3), of(1, 1), of(1, 2), of(4, 7), of(1, 2), of(4, 5)];
    store.append(&all).expect("they are added");
    let mut check = |each: u32, since: Option<i64>, expected: &[i64]| {
        let query = Query::Latest { each, since: since.map(UnixMillis) };
        let ids: Vec<i64> = store.observations(&query).expect("it reads").iter().map(|s| s.id).collect();
        assert_eq!(ids, expected, "{query:?}");
    };
    // Which of the two arms comes first is their own order.
    let flip = arm(4) < arm(1);
    let order = |first: &[i64], second: &[i64]| {
        if flip { [second, first].concat() } else { [first, second].concat() }
    };
    check(10, None, &order(&[2, 3, 5, 1], &[6, 4]));
    check(2, None, &order(&[5, 1], &[6, 4]));
    check(1, None, &order(&[1], &[4]));
    check(0, None, &[]);
    check(10, Some(2), &order(&[3, 5, 1], &[6, 4]));
    check(10, Some(4), &[6, 4]);
    check(10, Some(8), &[]);
    check(u32::MAX, Some(i64::MIN), &order(&[2, 3, 5, 1], &[6, 4]));
}

pub(crate) fn pages_follow_each_other(fresh: Fresh) {
    let (_guard, location) = fresh();
    let mut store = opened(&location);
    let all = mixed(25, MIDNIGHT);
    for batch in all.chunks(7) {
        store.append(batch).expect("they are added");
    }
    let whole: Vec<Observation> =
        everything(&mut *store, 100).into_iter().map(|stored| stored.observation).collect();
    assert_eq!(whole, all);
    for page in [1, 3, 25] {
        let paged: Vec<i64> = everything(&mut *store, page).iter().map(|stored| stored.id).collect();
        assert_eq!(paged, (1..=25).collect::<Vec<_>>());
    }
    assert_eq!(store.observations(&Query::After { id: 25, limit: 10 }).expect("it reads"), []);
    assert_eq!(store.observations(&Query::After { id: 0, limit: 0 }).expect("it reads"), []);
}
