//! Any history of appends and compactions reads as the plain model says.

use perf_history::{HistoryStore, Observation, Operation, Query, Retention, ShapeBucket, UnixMillis};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::compaction::{compact, retention};
use super::model::{Model, check_same};
use super::{Fresh, opened};
use crate::support::{DAY, MIDNIGHT, arm, model, outcomes, run};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Observation>),
    Compact {
        at: i64,
        retention: Retention,
    },
    /// Goes on with a new handle.
    Reopen,
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let names = (0..3_u8, 0..3_u32, prop::sample::select(vec!["", "batch=2"]));
    let kinds = (prop::sample::select(Operation::ALL.to_vec()), prop::sample::select(outcomes()));
    (0..6 * DAY, names, kinds, any::<bool>(), prop::option::of(0.0..1e5_f64), any::<Option<u64>>()).prop_map(
        |(at, (model_number, arm_number, shape), (operation, outcome), warm, ms, bytes)| Observation {
            model: model(model_number),
            arm: arm(arm_number),
            shape: ShapeBucket::from(shape),
            operation,
            outcome,
            warm,
            load_ms: ms,
            service_ms: ms,
            bytes_in: bytes,
            ..run(MIDNIGHT + at, 5.0)
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let compaction = (0..8 * DAY, 0..4_u32, 0..4_u32, 0..6_u32, 0..100_u64).prop_map(
        |(at, observation_days, hour_days, day_days, most)| {
            let mut retention = retention(observation_days, hour_days, day_days);
            retention.most_observations = most;
            Step::Compact { at: MIDNIGHT + at, retention }
        },
    );
    prop_oneof![
        5 => prop::collection::vec(any_observation(), 0..60).prop_map(Step::Append),
        2 => compaction,
        1 => Just(Step::Reopen),
    ]
}

fn check_reads(store: &mut dyn HistoryStore, model: &Model) {
    let since = Some(UnixMillis(MIDNIGHT + 3 * DAY + 1));
    for query in [
        Query::After { id: 0, limit: 1_000 },
        Query::After { id: 20, limit: 7 },
        Query::Latest { each: 3, since: None },
        Query::Latest { each: 1_000, since },
    ] {
        assert_eq!(store.observations(&query).expect("it reads"), model.observations(&query), "{query:?}");
    }
    for since in [None, since] {
        check_same(&store.rollups(since).expect("it reads"), &model.rollups(since));
    }
}

pub(crate) fn any_history_reads_as_the_model_says(fresh: Fresh) {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(any_step(), 1..12);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        let (_guard, location) = fresh();
        let mut store = opened(&location);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(batch) => {
                    store.append(&batch).expect("they are added");
                    model.append(&batch);
                }
                Step::Compact { at, retention } => {
                    let dropped = compact(&mut *store, at, &retention);
                    assert_eq!(dropped, model.compact(UnixMillis(at), &retention));
                }
                Step::Reopen => store = opened(&location),
            }
            check_reads(&mut *store, &model);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
