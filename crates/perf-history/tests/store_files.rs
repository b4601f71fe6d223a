//! What the SQLite store does with files: what is not its own, damaged or newer is refused and left as it was, byte for
//! byte; a full disk is told from other troubles.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use perf_history::store::{SqliteStore, open, open_read_only};
use perf_history::{HistoryStore, Location, Query, StoreError};
use rusqlite::Connection;
use support::{MIDNIGHT, mixed};

/// Every file of the folder with its bytes. Of the shared memory beside a log only that it is there: whoever reads
/// the log makes it anew, and it holds nothing that is not in the log.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).expect("it lists").map(|entry| entry.expect("an entry").path());
    let bytes = |path: PathBuf| {
        let shared = path.to_string_lossy().ends_with("-shm");
        let bytes = if shared { Vec::new() } else { fs::read(&path).expect("it reads") };
        (path, bytes)
    };
    files.map(bytes).collect()
}

/// Checks that neither way of opening takes this file, and that neither changes anything in its folder.
#[track_caller]
fn check_refused(make: impl FnOnce(&Path), expected: fn(&StoreError) -> bool, says: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    make(&path);
    let before = contents(folder.path());
    let location = Location::Sqlite(path);
    for open in [open, open_read_only] {
        let error = open(&location).err().expect("it is refused");
        assert!(expected(&error), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(contents(folder.path()) == before, "the folder is as it was");
    }
}

fn is_unusable(error: &StoreError) -> bool {
    matches!(error, StoreError::Unusable { .. })
}

fn filled(path: &Path, count: usize) {
    let mut store = SqliteStore::open(path).expect("it opens");
    store.append(&mixed(count, MIDNIGHT)).expect("they are added");
}

/// Copies the files as they are while a store has them open, as if its process had been killed now.
fn abandoned(path: &Path, last: &str) {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = elsewhere.path().join("other.db");
    filled(&other, 100);
    let mut store = SqliteStore::open(&other).expect("it opens");
    store.append(&mixed(100, MIDNIGHT)).expect("they are added");
    Connection::open(&other).expect("it opens").execute_batch(last).expect("it runs");
    for ending in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        fs::copy(with(&other), with(path)).expect("it copies");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    check_refused(|path| fs::write(path, "hello").expect("written"), is_unusable, "no SQLite file");
    check_refused(|path| fs::write(path, [0; 8192]).expect("written"), is_unusable, "no SQLite file");
    let cut = |path: &Path| fs::write(path, "SQLite format 3\0").expect("written");
    check_refused(cut, is_unusable, "no SQLite file");
}

#[test]
fn the_database_of_something_else_is_refused() {
    let foreign = |path: &Path| {
        let conn = Connection::open(path).expect("it opens");
        conn.execute_batch(
            "PRAGMA journal_mode = wal; CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)",
        )
        .expect("it runs");
    };
    check_refused(foreign, is_unusable, "something else");
}

#[test]
fn a_newer_schema_is_refused() {
    let newer = |path: &Path| {
        filled(path, 10);
        let conn = Connection::open(path).expect("it opens");
        conn.pragma_update(None, "user_version", 99).expect("it is set");
    };
    let is_newer = |error: &StoreError| matches!(error, StoreError::Newer { found: 99, known: 1, .. });
    check_refused(newer, is_newer, "schema 99");
    // Where the newer version's process died before it wrote its log back, only the log says so.
    check_refused(|path| abandoned(path, "PRAGMA user_version = 99"), is_newer, "schema 99");
}

#[test]
fn damage_is_found_and_left_alone() {
    let damage = |path: &Path| {
        filled(path, 500);
        let mut bytes = fs::read(path).expect("it reads");
        // Whatever these pages hold: all of them are in use.
        for page in (5..bytes.len() / 4096).step_by(3) {
            bytes[page * 4096..page * 4096 + 64].fill(0xa5);
        }
        fs::write(path, bytes).expect("written");
    };
    check_refused(damage, is_unusable, "damaged");
    let cut = |path: &Path| {
        filled(path, 500);
        let bytes = fs::read(path).expect("it reads");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
    };
    check_refused(cut, is_unusable, "damaged");
    let log = |path: &Path| {
        abandoned(path, "");
        let bytes = fs::read(path).expect("it reads");
        fs::write(path, &bytes[..4096 * 2]).expect("written");
    };
    check_refused(log, is_unusable, "damaged");
}

#[test]
fn a_file_that_cannot_be_is_an_error_of_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    for path in [folder.path().join("missing/history.db"), folder.path().to_owned(), PathBuf::new()] {
        for open in [SqliteStore::open, SqliteStore::open_read_only] {
            let error = open(&path).expect_err("it is refused");
            assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
        }
    }
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn what_a_killed_process_left_is_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    abandoned(&path, "");
    let mut store = SqliteStore::open(&path).expect("it opens");
    let all = store.observations(&Query::After { id: 0, limit: 1_000 }).expect("it reads");
    assert_eq!(all.len(), 200);
    drop(store);
    assert_eq!(contents(folder.path()).len(), 1, "nothing remains beside the file");
}

#[test]
fn an_empty_file_becomes_a_store_and_readers_leave_nothing_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    fs::write(&path, "").expect("written");
    filled(&path, 10);
    let mut reader = SqliteStore::open_read_only(&path).expect("it opens");
    assert_eq!(reader.observations(&Query::After { id: 0, limit: 1_000 }).expect("it reads").len(), 10);
    drop(reader);
    assert_eq!(contents(folder.path()).len(), 1);
}

#[test]
fn many_may_create_the_same_file_at_once() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| filled(&path, 5));
            }
        });
        let mut store = SqliteStore::open(&path).expect("it opens");
        let all = store.observations(&Query::After { id: 0, limit: 1_000 }).expect("it reads");
        assert_eq!(all.iter().map(|stored| stored.id).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
        let setting = |name: &str| {
            let conn = Connection::open(&path).expect("it opens");
            conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .expect("a value")
        };
        assert_eq!(setting("auto_vacuum"), 2.into(), "freed pages can be given back");
        assert_eq!(setting("journal_mode"), "wal".to_owned().into());
    }
}

/// Adds until it is full, and checks that what failed left no trace. Returns how many observations are there.
#[track_caller]
fn fill_up(store: &mut SqliteStore) -> usize {
    let batch = mixed(500, MIDNIGHT);
    let mut added = 0;
    let error = loop {
        match store.append(&batch) {
            Ok(()) => added += batch.len(),
            Err(error) => break error,
        }
        assert!(added < 1_000_000, "it is full at some time");
    };
    assert!(error.is_full(), "{error:?}");
    let all = store.observations(&Query::After { id: 0, limit: 2_000_000 }).expect("it reads");
    assert_eq!(all.len(), added);
    let sums = store.rollups(None).expect("it reads");
    let seen: u64 = sums.iter().map(|row| row.totals.runs() + row.totals.neutral).sum();
    let runs = all.iter().filter(|stored| stored.observation.operation == perf_history::Operation::Run);
    assert_eq!(seen, runs.count() as u64);
    added
}

#[test]
fn a_limit_is_a_full_disk_until_it_is_lifted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let mut store = SqliteStore::open(&path).expect("it opens");
    store.limit_size(1 << 20).expect("it is set");
    let added = fill_up(&mut store);
    assert!(added > 0);
    store.limit_size(u64::MAX).expect("it is lifted");
    store.append(&mixed(500, MIDNIGHT)).expect("there is room again");
    let all = store.observations(&Query::After { id: 0, limit: 2_000_000 }).expect("it reads");
    assert_eq!(all.len(), added + 500);
    assert_eq!(all.last().map(|stored| stored.id), Some(added as i64 + 500), "what failed used no ids up");
}

#[test]
fn a_file_that_is_compacted_stays_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history.db");
    let mut store = SqliteStore::open(&path).expect("it opens");
    let mut kept = perf_history::Retention::default();
    (kept.observation_days, kept.hour_days, kept.day_days) = (1, 2, 4);
    let mut sizes = Vec::new();
    // Thirty days of an observation a minute; 1 440 of them, and the sums of some days, are kept.
    for day in 0..30 {
        let start = MIDNIGHT + day * support::DAY;
        store.append(&mixed(1_440, start)).expect("they are added");
        while store.compact(perf_history::UnixMillis(start + support::DAY), &kept).expect("it compacts").more
        {
        }
        let size = Connection::open(&path)
            .expect("it opens")
            .pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))
            .expect("a count");
        sizes.push(size);
    }
    let early = sizes[4..10].iter().max().expect("some");
    assert!(sizes[10..].iter().all(|size| size <= &(early * 5 / 4)), "{sizes:?}");
}
