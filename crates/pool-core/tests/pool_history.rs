//! A pool goes on computing when what it observes cannot be kept.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use perf_history::store::SqliteStore;
use perf_history::{
    Compacted, HistoryStore, Observation, Query, Recorder, RecorderHandle, RecorderSettings, Retention,
    Rollup, StoreError, Stored, UnixMillis,
};
use pool_core::{Learning, ObservationSink, Pool, PoolConfig, Request};
use pool_core_testing::{FakeWorker, identity_model, info, vector};
use telemetry::{Event, Sink, StallCause, Telemetry};

/// An SQLite store on a disk of which only so much is left.
struct Small(SqliteStore);

impl HistoryStore for Small {
    fn append(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        self.0.limit_size(64 << 10)?;
        self.0.append(batch)
    }

    fn observations(&mut self, query: &Query) -> Result<Vec<Stored>, StoreError> {
        self.0.observations(query)
    }

    fn rollups(&mut self, since: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError> {
        self.0.rollups(since)
    }

    fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Result<Compacted, StoreError> {
        self.0.compact(now, retention)
    }
}

struct Kept(RecorderHandle);

impl ObservationSink for Kept {
    fn observe(&self, observation: Observation) {
        self.0.record(observation);
    }
}

struct Passing(Sender<Event>);

impl Sink for Passing {
    fn record(&self, _: f64, event: &Arc<Event>) {
        // The test may have seen all that it waits for.
        let _ = self.0.send(Event::clone(event));
    }
}

fn listening() -> (Telemetry, Receiver<Event>) {
    let (send, events) = channel();
    (Telemetry::builder().sink(Arc::new(Passing(send))).build(), events)
}

#[tokio::test]
async fn a_full_disk_stops_what_is_kept_and_not_the_pool() {
    const REQUESTS: u16 = 3_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(&folder.path().join("history.db")).expect("it opens");
    let (telemetry, events) = listening();
    let mut settings = RecorderSettings::default();
    (settings.telemetry, settings.retention) = (telemetry.clone(), None);
    (settings.capacity, settings.batch) = (1_000, 256);
    let recorder = Recorder::start(Box::new(Small(store)), settings).expect("it starts");
    let mut learning = Learning::default();
    learning.sink = Some(Arc::new(Kept(recorder.handle().clone())));
    let pool = Pool::with_learning(PoolConfig::default(), telemetry, learning).expect("it is valid");
    let worker = FakeWorker::new();
    let _member = pool.join(info(), Arc::new(worker.clone()));

    for n in 0..REQUESTS {
        let value = f32::from(n);
        let completed = pool.run(Request::new(identity_model("a"), [vector(&[value])])).await;
        assert_eq!(completed.expect("it is answered").outputs, [vector(&[value])]);
    }
    let error = recorder.handle().flush().wait().expect_err("there is no room");
    let stats = recorder.handle().stats();
    assert!(stats.stalled && stats.lost > 0 && stats.waiting() <= 1_000, "{stats:?}, {error}");
    let told: Vec<StallCause> = events
        .try_iter()
        .filter_map(|event| match event {
            Event::HistoryStalled { cause, .. } => Some(cause),
            _ => None,
        })
        .collect();
    assert_eq!(told, [StallCause::Full], "it is told once");
    assert_eq!(worker.counts().runs, u64::from(REQUESTS));
    pool.shutdown().await;
    assert!(recorder.shutdown().is_err(), "what waits could not be written");
}
