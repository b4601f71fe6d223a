//! What the PostgreSQL store does with databases: what is not its own or newer is refused and left as it was.

#[path = "support/cluster.rs"]
mod cluster;
mod support;

use cluster::{Cluster, Database};
use perf_history::store::{PostgresStore, open, open_read_only};
use perf_history::{HistoryStore, Query, StoreError};
use support::{MIDNIGHT, mixed};

/// Everything in the schema, as text: its tables, their columns and their rows.
fn contents(database: &Database) -> String {
    let mut client = database.client();
    let mut all = String::new();
    let tables = client
        .query(
            "SELECT oid::regclass::text, relkind::text FROM pg_class WHERE relnamespace NOT IN \
             ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace) ORDER BY 1",
            &[],
        )
        .expect("a list");
    for table in tables {
        let (name, kind): (String, String) = (table.get(0), table.get(1));
        all += &format!("{name} {kind}\n");
        if kind == "r" {
            let sql = format!("SELECT row_to_json(t)::text FROM {name} AS t ORDER BY 1");
            let rows = client.query(&sql, &[]).expect("rows");
            rows.iter().for_each(|row| all += &format!("{}\n", row.get::<_, &str>(0)));
        }
    }
    all
}

/// Checks that neither way of opening takes this database, and that neither changes anything in it.
#[track_caller]
fn check_refused(filled: bool, sql: &str, expected: fn(&StoreError) -> bool, says: &str) {
    let database = Cluster::shared().database();
    if filled {
        PostgresStore::open(&database.url())
            .and_then(|mut store| store.append(&mixed(5, MIDNIGHT)))
            .expect("it fills");
    }
    database.client().batch_execute(sql).expect("it runs");
    let before = contents(&database);
    for open in [open, open_read_only] {
        let error = open(&database.location()).err().expect("it is refused");
        assert!(expected(&error), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(contents(&database), before);
    }
}

fn is_unusable(error: &StoreError) -> bool {
    matches!(error, StoreError::Unusable { .. })
}

#[test]
fn the_schema_of_something_else_is_refused() {
    for sql in [
        "CREATE SCHEMA perf_history CREATE TABLE theirs (a int)",
        "CREATE SCHEMA perf_history CREATE TABLE about (a int)",
        "CREATE SCHEMA perf_history CREATE TABLE about (application int, version text)",
        "CREATE SCHEMA perf_history CREATE TABLE about (application text, version bigint)",
        "CREATE SCHEMA perf_history CREATE VIEW about AS SELECT 'other'::text AS application, 1::bigint AS version",
    ] {
        check_refused(false, sql, is_unusable, "something else");
    }
    check_refused(true, "DROP TABLE perf_history.days", is_unusable, "days is missing");
}

#[test]
fn a_newer_schema_is_refused() {
    let is_newer = |error: &StoreError| matches!(error, StoreError::Newer { found: 99, known: 1, .. });
    check_refused(true, "UPDATE perf_history.about SET version = 99", is_newer, "schema 99");
}

#[test]
fn a_schema_that_became_newer_meanwhile_is_not_written_to() {
    let database = Cluster::shared().database();
    let mut store = PostgresStore::open(&database.url()).expect("it opens");
    store.append(&mixed(5, MIDNIGHT)).expect("they are added");
    database.client().batch_execute("UPDATE perf_history.about SET version = 2").expect("it runs");
    let before = contents(&database);
    let error = store.append(&mixed(5, MIDNIGHT)).expect_err("it is refused");
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert_eq!(contents(&database), before);
}

#[test]
fn a_database_that_cannot_hold_every_name_is_refused() {
    let cluster = Cluster::shared();
    cluster.admin("CREATE DATABASE latin TEMPLATE template0 ENCODING latin1 LC_COLLATE 'C' LC_CTYPE 'C'");
    for open in [PostgresStore::open, PostgresStore::open_read_only] {
        let error = open(&cluster.url("latin")).expect_err("it is refused");
        assert!(is_unusable(&error) && error.to_string().contains("LATIN1"), "{error}");
    }
}

#[test]
fn reading_creates_nothing() {
    let database = Cluster::shared().database();
    let before = contents(&database);
    let error = open_read_only(&database.location()).err().expect("there is nothing to read");
    assert!(is_unusable(&error), "{error:?}");
    assert_eq!(contents(&database), before);
}

#[test]
fn an_older_schema_is_left_to_those_that_write() {
    let database = Cluster::shared().database();
    drop(PostgresStore::open(&database.url()).expect("it opens"));
    database.client().batch_execute("UPDATE perf_history.about SET version = 0").expect("it runs");
    let error = PostgresStore::open_read_only(&database.url()).expect_err("it is refused");
    assert!(is_unusable(&error) && error.to_string().contains("schema 0"), "{error}");
}

#[test]
fn an_empty_schema_of_ones_own_is_enough() {
    let database = Cluster::shared().database();
    let mut admin = database.client();
    admin.batch_execute("CREATE ROLE modest LOGIN; CREATE ROLE stranger LOGIN").expect("they are created");
    let of = |name: &str| database.url().replace("tester", name);
    let error = PostgresStore::open(&of("modest")).expect_err("it may not create a schema");
    assert!(matches!(error, StoreError::Failed { operation: "be opened", .. }), "{error:?}");
    admin.batch_execute("CREATE SCHEMA perf_history AUTHORIZATION modest").expect("it is created");
    let mut store = PostgresStore::open(&of("modest")).expect("it opens");
    store.append(&mixed(5, MIDNIGHT)).expect("they are added");
    let error = PostgresStore::open_read_only(&of("stranger")).expect_err("it may not read");
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
}

#[test]
fn many_may_create_the_same_schema_at_once() {
    for _ in 0..5 {
        let database = Cluster::shared().database();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut store = PostgresStore::open(&database.url()).expect("it opens");
                    store.append(&mixed(5, MIDNIGHT)).expect("they are added");
                });
            }
        });
        let mut store = PostgresStore::open(&database.url()).expect("it opens");
        let all = store.observations(&Query::After { id: 0, limit: 1_000 }).expect("it reads");
        assert_eq!(all.iter().map(|stored| stored.id).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    }
}

#[test]
fn sessions_are_as_safe_as_promised_whatever_the_database_is_set_to() {
    let database = Cluster::shared().database();
    database.cluster.admin(&format!(
        "ALTER DATABASE {0} SET synchronous_commit = off; \
         ALTER DATABASE {0} SET default_transaction_isolation = 'serializable'",
        database.name
    ));
    let mut store = PostgresStore::open(&database.url()).expect("it opens");
    database
        .client()
        .batch_execute(
            "CREATE TABLE seen (safe text, level text, idle text); \
             CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.seen VALUES (current_setting('synchronous_commit'), \
             current_setting('transaction_isolation'), current_setting('idle_in_transaction_session_timeout')); \
             RETURN NULL; END $$; \
             CREATE TRIGGER look AFTER UPDATE ON perf_history.state EXECUTE FUNCTION look()",
        )
        .expect("it runs");
    store.append(&mixed(5, MIDNIGHT)).expect("they are added");
    let row = database.client().query_one("SELECT safe, level, idle FROM seen", &[]).expect("a row");
    assert_eq!([row.get::<_, &str>(0), row.get(1), row.get(2)], ["on", "read committed", "10s"]);
}

#[test]
fn a_full_disk_is_told_from_other_troubles_and_leaves_nothing_behind() {
    let database = Cluster::shared().database();
    let mut store = PostgresStore::open(&database.url()).expect("it opens");
    store.append(&mixed(5, MIDNIGHT)).expect("they are added");
    let before = contents(&database);
    let trouble = |code: &str| {
        format!(
            "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{code}'; END $$; \
             CREATE OR REPLACE TRIGGER trouble AFTER UPDATE ON perf_history.state EXECUTE FUNCTION trouble()"
        )
    };
    // What a server reports when it cannot extend a file, and when something else is wrong.
    for (code, full) in [("53100", true), ("XX000", false)] {
        database.client().batch_execute(&trouble(code)).expect("it runs");
        let error = store.append(&mixed(50, MIDNIGHT)).expect_err("there is trouble");
        assert_eq!(error.is_full(), full, "{error:?}");
        assert_eq!(contents(&database), before);
    }
    database.client().batch_execute("DROP TRIGGER trouble ON perf_history.state").expect("it runs");
    store.append(&mixed(50, MIDNIGHT)).expect("they are added");
    let all = store.observations(&Query::After { id: 0, limit: 1_000 }).expect("it reads");
    assert_eq!(all.last().map(|stored| stored.id), Some(55), "what failed used no ids up");
}
