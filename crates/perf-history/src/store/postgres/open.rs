//! Making sure that a database has a history of ours: looked at first, and written to only when it is ours or nobody's.

use postgres::error::SqlState;

use super::error::Fault;
use super::server::{Access, Conn, Tx};

/// Marks our schema.
const APPLICATION: &str = "wnph";

/// What brings a schema from each version to the next, from version 0, an empty one.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// The version that this software writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What every version has since the first one.
const TABLES: &[&str] = &["state", "writers", "models", "arms", "series", "observations", "hours", "days"];

/// Whoever creates or migrates holds this lock of the database: `wnph`, twice.
const MIGRATING: i64 = i64::from_be_bytes(*b"wnphwnph");

pub(super) const OPENING: &str = "be opened";

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No schema of that name.
    Nothing,
    /// An empty schema of that name.
    Empty,
    /// Ours, in this version.
    Ours(i64),
}

/// Checks what is there; with [`Access::Write`], creates or migrates it.
pub(super) fn prepare(conn: &mut Conn, access: Access) -> Result<(), Fault> {
    let found = look(&mut conn.reading()?)?;
    match (found, access) {
        (Found::Ours(VERSION), _) => Ok(()),
        (_, Access::Write) => migrate(conn),
        (Found::Ours(found), Access::Read) => Err(Fault::Unusable(format!(
            "it has schema {found}, and only an opening for writing brings it to {VERSION}"
        ))),
        (Found::Nothing | Found::Empty, Access::Read) => {
            Err(Fault::Unusable("there is none yet, and only an opening for writing creates it".to_owned()))
        }
    }
}

/// What is there, if it is not something else.
fn look(tx: &mut Tx<'_>) -> Result<Found, Fault> {
    let rows = tx.inner.query(
        "SELECT current_setting('server_encoding'), to_regnamespace('perf_history') IS NOT NULL, \
         to_regclass('perf_history.about') IS NOT NULL, \
         EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('perf_history'))",
        &[],
    )?;
    let row = rows.first().ok_or_else(|| Fault::Unusable("it answers nothing".to_owned()))?;
    let encoding: &str = row.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Fault::Unusable(format!(
            "its encoding is {encoding}, and only UTF8 can hold every name"
        )));
    }
    match (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?) {
        (false, ..) => return Ok(Found::Nothing),
        (true, _, false) => return Ok(Found::Empty),
        (true, false, true) => return Err(foreign()),
        (true, true, _) => {}
    }
    let about = tx
        .inner
        .query("SELECT version FROM perf_history.about WHERE application::text = $1::text", &[&APPLICATION]);
    let about = about.map_err(|error| match error.code() {
        Some(&(SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION)) => foreign(),
        _ => error.into(),
    })?;
    let version: i64 = about.first().ok_or_else(foreign)?.try_get(0).map_err(|_| foreign())?;
    if version > VERSION {
        return Err(Fault::Newer(version));
    }
    let missing = tx.inner.query(
        "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass('perf_history.' || name) IS NULL",
        &[&TABLES],
    )?;
    match missing.first() {
        Some(row) => Err(Fault::Unusable(format!("its table {} is missing", row.try_get::<_, &str>(0)?))),
        None => Ok(Found::Ours(version)),
    }
}

fn foreign() -> Fault {
    Fault::Unusable("its schema perf_history is of something else".to_owned())
}

/// Brings what is there to our version, in one transaction.
fn migrate(conn: &mut Conn) -> Result<(), Fault> {
    let mut tx = conn.writing()?;
    tx.inner.query("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING])?;
    // Another process may have done it while we waited.
    let found = look(&mut tx)?;
    if found == Found::Nothing {
        tx.inner.batch_execute("CREATE SCHEMA perf_history")?;
    }
    let version = match found {
        Found::Nothing | Found::Empty => 0,
        Found::Ours(version) => version,
    };
    for step in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.inner.batch_execute(step)?;
    }
    tx.inner.execute("UPDATE perf_history.about SET version = $1", &[&VERSION])?;
    tx.commit()
}
