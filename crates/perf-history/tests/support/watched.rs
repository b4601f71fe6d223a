//! An SQLite store whose calls are watched, held up and limited from outside, because a recorder owns its store.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use perf_history::store::SqliteStore;
use perf_history::{
    Compacted, HistoryStore, Observation, Query, Retention, Rollup, StoreError, Stored, UnixMillis,
};
use telemetry::{Event, Sink, Telemetry};

/// A call of the store that is over.
#[derive(Debug, PartialEq)]
pub(crate) enum Call {
    /// So many observations were added, or not.
    Append(usize, bool),
    /// What is old was dropped, as of this time.
    Compact(UnixMillis, Compacted),
}

/// What the test holds of a store that a recorder owns.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Every call, when it is over.
    pub(crate) calls: Receiver<Call>,
    /// Each message lets one append begin; when this is dropped, they all may.
    pub(crate) gate: Option<Sender<()>>,
    limit: Arc<Mutex<Option<u64>>>,
}

impl Watch {
    /// Limits the file, from the next append on.
    pub(crate) fn limit(&self, bytes: u64) {
        *self.limit.lock().expect("no test panicked") = Some(bytes);
    }

    /// Whether the store was dropped.
    pub(crate) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.limit) == 1
    }
}

pub(crate) struct Watched {
    store: SqliteStore,
    told: Sender<Call>,
    gate: Receiver<()>,
    limit: Arc<Mutex<Option<u64>>>,
}

/// The store of this file, and what watches it.
pub(crate) fn watched(path: &Path) -> (Box<dyn HistoryStore>, Watch) {
    let store = SqliteStore::open(path).expect("it opens");
    let (told, calls) = channel();
    let (open, gate) = channel();
    let limit = Arc::new(Mutex::new(None));
    let watch = Watch { calls, gate: Some(open), limit: limit.clone() };
    (Box::new(Watched { store, told, gate, limit }), watch)
}

impl HistoryStore for Watched {
    fn append(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        // An error means that the gate stands open.
        let _ = self.gate.recv();
        if let Some(bytes) = self.limit.lock().expect("no test panicked").take() {
            self.store.limit_size(bytes)?;
        }
        let added = self.store.append(batch);
        let _ = self.told.send(Call::Append(batch.len(), added.is_ok()));
        added
    }

    fn observations(&mut self, query: &Query) -> Result<Vec<Stored>, StoreError> {
        self.store.observations(query)
    }

    fn rollups(&mut self, since: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError> {
        self.store.rollups(since)
    }

    fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Result<Compacted, StoreError> {
        let dropped = self.store.compact(now, retention)?;
        let _ = self.told.send(Call::Compact(now, dropped));
        Ok(dropped)
    }
}

/// Passes every event on to the test.
pub(crate) fn listening() -> (Telemetry, Receiver<Event>) {
    struct Passing(Sender<Event>);
    impl Sink for Passing {
        fn record(&self, _: f64, event: &Arc<Event>) {
            let _ = self.0.send(Event::clone(event));
        }
    }
    let (send, events) = channel();
    (Telemetry::builder().sink(Arc::new(Passing(send))).build(), events)
}

/// Everything in the file.
#[track_caller]
pub(crate) fn stored(path: &Path) -> Vec<Observation> {
    let mut store = SqliteStore::open_read_only(path).expect("it opens");
    let all = store.observations(&Query::After { id: 0, limit: u32::MAX }).expect("it reads");
    all.into_iter().map(|stored| stored.observation).collect()
}

/// Checks that the file holds these and nothing else, in this order.
#[track_caller]
pub(crate) fn check_stored(path: &Path, expected: &[Observation]) {
    let found = stored(path);
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "they are the same, in order");
}
