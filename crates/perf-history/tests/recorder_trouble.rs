//! A store that fails costs nobody anything but observations, is told about once, and is tried again until it works.

mod support;
#[path = "support/watched.rs"]
mod watched;

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use perf_history::recorder::{FlushError, ShutdownError};
use perf_history::{
    Compacted, HistoryStore, Observation, Query, Recorder, RecorderSettings, Retention, Rollup, StoreError,
    Stored, UnixMillis,
};
use rusqlite::Connection;
use support::{MIDNIGHT, mixed};
use telemetry::{Event, StallCause};
use watched::{Call, Watch, check_stored, listening, watched};

struct Started {
    _folder: tempfile::TempDir,
    path: PathBuf,
    recorder: Recorder,
    watch: Watch,
    events: Receiver<Event>,
}

/// A recorder that tries again after so long a time.
fn started(retry: Duration, change: impl FnOnce(&mut RecorderSettings)) -> Started {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let (store, mut watch) = watched(&path);
    watch.gate = None;
    let (telemetry, events) = listening();
    let mut settings = RecorderSettings::default();
    (settings.retention, settings.telemetry) = (None, telemetry);
    (settings.retry_first, settings.retry_most) = (retry, retry.max(settings.retry_most));
    change(&mut settings);
    let recorder = Recorder::start(store, settings).expect("it starts");
    Started { _folder: folder, path, recorder, watch, events }
}

const NEVER: Duration = Duration::from_secs(1 << 40);

impl Started {
    fn record(&self, observations: &[Observation]) {
        observations.iter().cloned().for_each(|observation| self.recorder.handle().record(observation));
    }

    #[track_caller]
    fn check_full(&self) {
        let error = self.recorder.handle().flush().wait().expect_err("there is no room");
        assert!(matches!(&error, FlushError::Store(error) if error.is_full()), "{error:?}");
    }
}

#[test]
fn a_full_disk_is_told_once_and_what_still_waits_is_written_when_there_is_room() {
    // Only a flush has it tried again.
    let started = started(NEVER, |settings| settings.capacity = 20_000);
    started.watch.limit(1 << 20);
    let all = mixed(50_000, MIDNIGHT);
    started.record(&all[..20_000]);
    started.check_full();
    let stats = started.recorder.handle().stats();
    assert!(stats.stalled && stats.lost == 0 && stats.written > 0, "{stats:?}");
    assert!(stats.last_error.is_some_and(|error| error.is_full()));

    // What there is room for is kept, and not one more.
    started.record(&all[20_000..]);
    let written = usize::try_from(stats.written).expect("few");
    let kept = written + 20_000;
    let stats = started.recorder.handle().stats();
    assert_eq!((stats.waiting(), stats.lost), (20_000, 50_000 - kept as u64));
    (0..3).for_each(|_| started.check_full());
    assert_eq!(started.recorder.handle().stats().written, written as u64);
    check_stored(&started.path, &all[..written]);

    started.watch.limit(u64::MAX);
    started.recorder.handle().flush().wait().expect("there is room again");
    check_stored(&started.path, &all[..kept]);
    assert!(!started.recorder.handle().stats().stalled);
    let events: Vec<Event> = started.events.try_iter().collect();
    let [Event::HistoryStalled { cause, detail, waiting }, Event::HistoryResumed { lost, .. }] = &events[..]
    else {
        panic!("one event when it began and one when it was over: {events:?}");
    };
    assert_eq!((*cause, *lost), (StallCause::Full, 50_000 - kept as u64));
    assert!((1..=20_000).contains(waiting), "{waiting}");
    assert!(detail.contains("no room is left for"), "{detail}");
    started.recorder.shutdown().expect("it ends");
}

#[test]
fn writing_goes_on_by_itself_when_there_is_room() {
    let started = started(Duration::from_millis(1), |settings| settings.gather = Duration::ZERO);
    started.watch.limit(4_096);
    let all = mixed(1_000, MIDNIGHT);
    started.record(&all);
    let failed = started.watch.calls.iter().filter(|call| matches!(call, Call::Append(_, false)));
    assert_eq!(failed.take(3).count(), 3);
    started.watch.limit(u64::MAX);
    let resumed = started.events.iter().find(|event| matches!(event, Event::HistoryResumed { .. }));
    assert!(matches!(resumed, Some(Event::HistoryResumed { stalled_ms, lost: 0 }) if stalled_ms >= 0.0));
    started.recorder.shutdown().expect("it ends");
    check_stored(&started.path, &all);
}

#[test]
fn the_end_does_not_wait_for_the_next_try() {
    let started = started(NEVER, |_| ());
    started.watch.limit(4_096);
    let all = mixed(100, MIDNIGHT);
    started.record(&all);
    started.check_full();
    started.watch.limit(u64::MAX);
    started.recorder.shutdown().expect("it is tried at once");
    check_stored(&started.path, &all);
}

/// Damages the file so that nothing can be added.
fn damage(started: &Started) {
    let conn = Connection::open(&started.path).expect("it opens");
    conn.execute_batch("DROP TABLE observations").expect("it runs");
}

#[test]
fn a_store_that_always_fails_is_told_once_and_given_up_at_the_end() {
    let started = started(Duration::from_millis(1), |settings| settings.shutdown = Duration::ZERO);
    damage(&started);
    let handle = started.recorder.handle().clone();
    started.record(&mixed(10, MIDNIGHT));
    for _ in 0..3 {
        assert!(matches!(handle.flush().wait(), Err(FlushError::Store(_))));
    }
    let error = started.recorder.shutdown().expect_err("it was never written");
    assert!(matches!(error, ShutdownError::Unwritten { lost: 10, source: Some(_) }), "{error:?}");
    assert!(started.watch.is_closed());
    let stats = handle.stats();
    assert_eq!((stats.recorded, stats.written, stats.lost), (10, 0, 10));
    let events: Vec<Event> = started.events.try_iter().collect();
    assert!(matches!(events[..], [Event::HistoryStalled { cause: StallCause::Failed, waiting: 10, .. }]));
}

#[test]
fn a_recorder_that_is_dropped_tells_what_it_lost() {
    let started = started(NEVER, |settings| settings.shutdown = Duration::ZERO);
    damage(&started);
    started.record(&mixed(1, MIDNIGHT));
    drop(started.recorder);
    assert!(started.watch.is_closed());
    let events: Vec<Event> = started.events.try_iter().collect();
    let [Event::HistoryStalled { .. }, Event::Orphan { operation: "write history", detail, .. }] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(
        detail.starts_with("1 observations could not be written before the recorder ended: "),
        "{detail}"
    );
}

/// A store whose code is wrong.
struct Panicking;

impl HistoryStore for Panicking {
    fn append(&mut self, _: &[Observation]) -> Result<(), StoreError> {
        panic!("this is what the test is about")
    }

    fn observations(&mut self, _: &Query) -> Result<Vec<Stored>, StoreError> {
        Ok(Vec::new())
    }

    fn rollups(&mut self, _: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError> {
        Ok(Vec::new())
    }

    fn compact(&mut self, _: UnixMillis, _: &Retention) -> Result<Compacted, StoreError> {
        Ok(Compacted::default())
    }
}

#[test]
fn a_store_that_panics_leaves_nobody_waiting() {
    let (telemetry, events) = listening();
    let mut settings = RecorderSettings::default();
    settings.telemetry = telemetry;
    let recorder = Recorder::start(Box::new(Panicking), settings).expect("it starts");
    let all = mixed(5, MIDNIGHT);
    all.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    assert!(matches!(recorder.handle().flush().wait(), Err(FlushError::Ended)));
    recorder.handle().record(all[0].clone());
    assert_eq!(recorder.handle().stats().lost, 6);
    let error = recorder.shutdown().expect_err("it says so");
    assert!(matches!(error, ShutdownError::Panicked { lost: 5 }), "{error:?}");
    let events: Vec<Event> = events.try_iter().collect();
    assert!(matches!(events[..], [Event::HistoryStalled { cause: StallCause::Failed, .. }]), "{events:?}");
}
