//! A recorder drops what is not kept any more, a portion at a time, and goes on writing meanwhile.

mod support;
#[path = "support/watched.rs"]
mod watched;

use perf_history::store::SqliteStore;
use perf_history::{HistoryStore as _, Recorder, RecorderSettings, Retention, UnixMillis};
use support::{DAY, MIDNIGHT, mixed};
use watched::{Call, check_stored, stored, watched};

/// As many minutes later, to which `mixed` gives that many observations, one a minute.
const OLD: usize = 45_000;

const NOW: UnixMillis = UnixMillis(MIDNIGHT + OLD as i64 * 60_000 + 2 * DAY);

#[test]
fn what_is_old_goes_in_portions_by_the_clock_that_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let mut store = SqliteStore::open(&path).expect("it opens");
    mixed(OLD, MIDNIGHT).chunks(15_000).for_each(|batch| store.append(batch).expect("they are added"));
    drop(store);

    let (store, mut watch) = watched(&path);
    watch.gate = None;
    let mut settings = RecorderSettings::default();
    let mut kept = Retention::default();
    kept.observation_days = 1;
    (settings.retention, settings.clock) = (Some(kept), || NOW);
    let recorder = Recorder::start(store, settings).expect("it starts");
    let new = mixed(100, NOW.0);
    new.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    recorder.handle().flush().wait().expect("it is written");

    let mut portions = Vec::new();
    for call in watch.calls.iter() {
        let Call::Compact(now, dropped) = call else { continue };
        assert_eq!(now, NOW);
        portions.push(dropped.observations);
        if !dropped.more {
            break;
        }
    }
    assert!(portions.len() >= 3, "in portions: {portions:?}");
    assert_eq!(portions.iter().sum::<u64>(), OLD as u64);
    let stats = recorder.shutdown().expect("it ends");
    assert_eq!((stats.compacted.observations, stats.compacted.more), (OLD as u64, false));
    check_stored(&path, &new);
    assert!(watch.calls.iter().all(|call| !matches!(call, Call::Compact(..))), "once is enough for an hour");
}

#[test]
fn nothing_is_dropped_where_everything_is_to_be_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let (store, mut watch) = watched(&path);
    watch.gate = None;
    let mut settings = RecorderSettings::default();
    settings.retention = None;
    let recorder = Recorder::start(store, settings).expect("it starts");
    let ancient = mixed(10, 0);
    ancient.iter().cloned().for_each(|observation| recorder.handle().record(observation));
    recorder.shutdown().expect("it ends");
    assert_eq!(stored(&path).len(), 10);
    assert_eq!(watch.calls.iter().collect::<Vec<_>>(), [Call::Append(10, true)]);
}
