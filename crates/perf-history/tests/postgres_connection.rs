//! What the PostgreSQL store does when its connection breaks: nothing is lost, and nothing is added twice.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use cluster::{Cluster, Database};
use perf_history::store::PostgresStore;
use perf_history::{HistoryStore, Observation, Query, Retention, StoreError, UnixMillis};
use proxy::{Break, Proxy};
use support::{MIDNIGHT, mixed, run};

/// A database with a store on it that is reached over a wire.
fn wired() -> (Database, Proxy, PostgresStore) {
    let database = Cluster::shared().database();
    let proxy = Proxy::to(&database.cluster.folder);
    let store = PostgresStore::open(&proxy.url(&database.name)).expect("it opens");
    (database, proxy, store)
}

/// Checks that exactly these are there, in this order, and that the sums say so, too.
#[track_caller]
fn check_holds(database: &Database, expected: &[Observation]) {
    let mut store = PostgresStore::open_read_only(&database.url()).expect("it opens");
    let all = store.observations(&Query::After { id: 0, limit: 10_000 }).expect("it reads");
    assert_eq!(
        all.iter().map(|stored| stored.id).collect::<Vec<_>>(),
        (1..=expected.len() as i64).collect::<Vec<_>>()
    );
    assert!(all.iter().map(|stored| &stored.observation).eq(expected));
    let mut sum = |count: fn(&perf_history::Totals) -> u64| -> u64 {
        store.rollups(None).expect("it reads").iter().map(|row| count(&row.totals)).sum()
    };
    let mut totals = perf_history::Totals::default();
    expected.iter().for_each(|observation| totals.add(observation));
    assert_eq!(
        [sum(|t| t.ok), sum(|t| t.failed), sum(|t| t.loads_ok)],
        [totals.ok, totals.failed, totals.loads_ok]
    );
}

#[test]
fn a_connection_that_broke_meanwhile_is_made_anew() {
    let (database, proxy, mut store) = wired();
    let all = mixed(40, MIDNIGHT);
    for batch in all.chunks(10) {
        store.append(batch).expect("they are added");
        proxy.break_now();
    }
    assert!(!store.rollups(None).expect("it reads").is_empty());
    proxy.break_now();
    assert_eq!(store.observations(&Query::After { id: 0, limit: 100 }).expect("it reads").len(), 40);
    proxy.break_now();
    store.compact(UnixMillis(MIDNIGHT), &Retention::default()).expect("it compacts");
    // The server itself may end the session, too.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
               AND pid <> pg_backend_pid()";
    database.client().batch_execute(end).expect("it runs");
    store.append(&all[..5]).expect("they are added");
    check_holds(&database, &[&all[..], &all[..5]].concat());
}

#[test]
fn without_a_server_nothing_is_added_and_all_is_well_when_it_is_back() {
    let (database, proxy, mut store) = wired();
    let all = mixed(20, MIDNIGHT);
    proxy.refuse(true);
    proxy.break_now();
    for _ in 0..2 {
        let error = store.append(&all).expect_err("there is no server");
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    }
    proxy.refuse(false);
    store.append(&all).expect("they are added");
    check_holds(&database, &all);
}

/// Lets the commit of the second batch go wrong.
#[track_caller]
fn check_commit(at: Break) {
    let (database, proxy, mut store) = wired();
    let all = mixed(30, MIDNIGHT);
    store.append(&all[..10]).expect("they are added");
    proxy.break_at_commit(at, false);
    store.append(&all[10..20]).expect("it finds out on another connection");
    store.append(&all[20..]).expect("they are added");
    check_holds(&database, &all);
    proxy.break_at_commit(at, false);
    // The very first batch of a writer is no exception.
    let mut other = PostgresStore::open(&proxy.url(&database.name)).expect("it opens");
    // Opening commits nothing, because the schema is there.
    other.append(&all[..5]).expect("it finds out on another connection");
    check_holds(&database, &[&all[..], &all[..5]].concat());
}

#[test]
fn a_commit_that_did_not_arrive_is_done_again() {
    check_commit(Break::Before);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    check_commit(Break::After);
}

/// Lets the commit go wrong and the server vanish, and then gives the same batch again, with others behind it.
#[track_caller]
fn check_given_again(at: Break) {
    let (database, proxy, mut store) = wired();
    // Times that are no numbers are not equal to themselves, and yet it is the same batch.
    let mut all = mixed(40, MIDNIGHT);
    all[12].total_ms = Some(f64::NAN);
    store.append(&all[..10]).expect("they are added");
    proxy.break_at_commit(at, true);
    let error = store.append(&all[10..20]).expect_err("nobody can tell");
    assert!(matches!(error, StoreError::Unconfirmed { .. }), "{error:?}");
    let error = store.append(&all[10..20]).expect_err("still nobody can tell");
    assert!(matches!(error, StoreError::Unconfirmed { .. }), "{error:?}");
    // Of another batch it is known that it was not added.
    let error = store.append(&[run(MIDNIGHT, 1.0)]).expect_err("there is no server");
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");

    proxy.refuse(false);
    // While it is found out, it happens again, and the batch has become longer.
    proxy.break_at_commit(at, true);
    let error = store.append(&all[10..30]).expect_err("nobody can tell");
    assert!(matches!(error, StoreError::Unconfirmed { .. }), "{error:?}");
    proxy.refuse(false);
    store.append(&all[10..]).expect("they are added");
    store.append(&all[..3]).expect("a batch that looks like an earlier one is a new one");
    let mut expected = [&all[..], &all[..3]].concat();
    expected[12].total_ms = None;
    check_holds(&database, &expected);
}

#[test]
fn what_was_not_committed_is_added_when_it_is_given_again() {
    check_given_again(Break::Before);
}

#[test]
fn what_was_committed_is_not_added_again_when_it_is_given_again() {
    check_given_again(Break::After);
}

#[test]
fn a_compaction_whose_answer_is_lost_says_so() {
    let (database, proxy, mut store) = wired();
    let all = mixed(20, MIDNIGHT);
    store.append(&all).expect("they are added");
    let mut few = Retention::default();
    few.most_observations = 5;
    proxy.break_at_commit(Break::After, false);
    let error = store.compact(UnixMillis(MIDNIGHT), &few).expect_err("nobody can tell");
    assert!(matches!(error, StoreError::Unconfirmed { .. }), "{error:?}");
    assert_eq!(store.compact(UnixMillis(MIDNIGHT), &few).expect("it compacts").observations, 0);
    assert_eq!(database.client().query("SELECT FROM perf_history.observations", &[]).expect("rows").len(), 5);
}
