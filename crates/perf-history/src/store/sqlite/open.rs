//! Opening a file: looked at first, and written to only when it is ours, whole, and not newer than we are.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::error::Fault;
use crate::StoreError;

/// Marks our files: `wnph`.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"wnph");

/// What brings a file from each version to the next, from version 0, an empty file.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// The version that this software writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// How long to wait for another process that is writing.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Files up to this size are checked whole whenever they are opened; checking takes about a second for each gigabyte.
const CHECKED_WHOLE: u64 = 256 << 20;

/// Tables that are small in every file, and without which nothing else can be read.
const SMALL_TABLES: &[&str] = &["state", "models", "arms", "series"];

const OPENING: &str = "be opened";

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// There is no file, or an empty one.
    Nothing,
    /// One of ours, in a version that we know.
    Ours,
}

/// Opens the file for reading and writing; it is created where there is none.
pub(super) fn writable(path: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = absolute(path)?;
    let found = look(&path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if found == Found::Nothing {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let fault = |fault: Fault| fault.at(&path, OPENING);
    let mut conn = Connection::open_with_flags(&path, flags).map_err(|error| fault(error.into()))?;
    conn.busy_timeout(PATIENCE).map_err(|error| fault(error.into()))?;
    if is_empty(&conn).map_err(fault)? {
        create(&mut conn).map_err(fault)?;
    }
    check(&conn, &path)?;
    migrate(&mut conn).and_then(|()| set_up(&conn)).map_err(fault)?;
    Ok((conn, path))
}

/// Opens the file for reading only; several readers do not hinder each other or a writer.
pub(super) fn read_only(path: &Path) -> Result<(Connection, PathBuf), StoreError> {
    let path = absolute(path)?;
    if look(&path)? == Found::Nothing {
        let source = Box::new(std::io::Error::from(std::io::ErrorKind::NotFound));
        return Err(StoreError::Open { path, source });
    }
    // Not SQLite's own read-only mode: in that, a reader that closes last leaves two files behind.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let prepare = || -> Result<Connection, Fault> {
        let conn = Connection::open_with_flags(&path, flags)?;
        conn.busy_timeout(PATIENCE)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok(conn)
    };
    let conn = prepare().map_err(|fault| fault.at(&path, OPENING))?;
    let found = check(&conn, &path)?;
    if found < VERSION {
        let reason = format!("it has schema {found}, and only an opening for writing brings it to {VERSION}");
        return Err(StoreError::Unusable { place: path.display().to_string(), reason });
    }
    Ok((conn, path))
}

/// The whole path, so that the process may change its folder, and so that SQLite reads no other meaning into it.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path)
        .map_err(|error| StoreError::Open { path: path.to_owned(), source: Box::new(error) })
}

/// Reads the first bytes and nothing else, so that what is not ours is not touched by as much as a lock.
fn look(path: &Path) -> Result<Found, StoreError> {
    let cannot = |error: std::io::Error| StoreError::Open { path: path.to_owned(), source: Box::new(error) };
    let place = || path.display().to_string();
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut header).map_err(cannot)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // SQLite would say only that it cannot open the file.
            path.parent().map_or(Ok(()), |folder| folder.metadata().map(drop)).map_err(cannot)?;
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(cannot(error)),
    };
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    // https://www.sqlite.org/fileformat.html#the_database_header
    let number = |at: usize| {
        header.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes: &[u8; 4]| i32::from_be_bytes(*bytes))
    };
    let (true, Some(version), Some(application)) =
        (header.starts_with(b"SQLite format 3\0"), number(60), number(68))
    else {
        return Err(StoreError::Unusable { place: place(), reason: "it is no SQLite file".to_owned() });
    };
    if application != APPLICATION_ID {
        let reason = "it is an SQLite file of something else".to_owned();
        return Err(StoreError::Unusable { place: place(), reason });
    }
    known(i64::from(version), path)?;
    Ok(Found::Ours)
}

fn known(found: i64, path: &Path) -> Result<(), StoreError> {
    if found > VERSION {
        return Err(StoreError::Newer { place: path.display().to_string(), found, known: VERSION });
    }
    Ok(())
}

/// Turns an empty file into one of ours in one transaction, unless another process does so meanwhile.
fn create(conn: &mut Connection) -> Result<(), Fault> {
    let tx = conn.transaction()?;
    // Freed pages can be given back later only when the file was made so. Outside of a transaction, this would write a
    // first page that does not say whose it is.
    tx.pragma_update(None, "auto_vacuum", "incremental")?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables == 0 && version(&tx)? == 0 {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        migrate_in(&tx, 0)?;
    }
    Ok(tx.commit()?)
}

/// Whether there is nothing in the file, also because a process was killed while it created it.
fn is_empty(conn: &Connection) -> Result<bool, Fault> {
    Ok(conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0)
}

/// Whether the file is ours, known and whole; returns its version. Nothing is written, and what was beside the file
/// before, such as the log of a process that crashed, is left as it was if it is refused.
fn check(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let log = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let keep_log = |keep: bool| {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
            .map(drop)
            .map_err(|error| Fault::from(error).at(path, OPENING))
    };
    keep_log(log)?;
    let found = version_if_whole(conn).map_err(|fault| fault.at(path, OPENING))?;
    let found = found.map_err(|reason| StoreError::Unusable { place: path.display().to_string(), reason })?;
    known(found, path)?;
    keep_log(false)?;
    Ok(found)
}

/// The version, or what is wrong with the file.
fn version_if_whole(conn: &Connection) -> Result<Result<i64, String>, Fault> {
    // One transaction, so that what is checked is one state of the file.
    let tx = conn.unchecked_transaction()?;
    let application: i32 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Ok(Err("it is an SQLite file of something else".to_owned()));
    }
    let found = version(&tx)?;
    if found > VERSION {
        return Ok(Ok(found));
    }
    let pages: u64 = tx.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))?.cast_unsigned();
    let size: u64 = tx.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?.cast_unsigned();
    let mut checks = vec!["PRAGMA quick_check(1)".to_owned()];
    if pages.saturating_mul(size) > CHECKED_WHOLE {
        checks = SMALL_TABLES.iter().map(|table| format!("PRAGMA quick_check('{table}')")).collect();
    }
    for check in checks {
        let report: String = tx.query_row(&check, (), |row| row.get(0))?;
        if report != "ok" {
            let first = report.lines().next().unwrap_or_default().to_owned();
            return Ok(Err(format!("it is damaged ({first})")));
        }
    }
    Ok(Ok(found))
}

fn version(conn: &Connection) -> Result<i64, Fault> {
    Ok(conn.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Brings the file to our version, in one transaction.
fn migrate(conn: &mut Connection) -> Result<(), Fault> {
    if version(conn)? == VERSION {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it while we waited.
    let found = version(&tx)?;
    migrate_in(&tx, found)?;
    Ok(tx.commit()?)
}

fn migrate_in(tx: &Connection, found: i64) -> Result<(), Fault> {
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    Ok(tx.pragma_update(None, "user_version", VERSION)?)
}

/// Settings of a connection that writes.
fn set_up(conn: &Connection) -> Result<(), Fault> {
    write_ahead(conn)?;
    // With the write-ahead log this flushes the log at every commit, so that a commit survives a loss of power too.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    // How much of the log is written back at once. Pages that are written again and again are written back once.
    conn.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    Ok(())
}

/// How often it is tried to change to the write-ahead log, while others try the same.
const TRIES: u32 = 100;

/// Readers and a writer do not hinder each other with the write-ahead log. Changing to it takes the file for a moment.
/// SQLite does not wait for others when it does that, but it does when it begins a transaction that excludes them.
fn write_ahead(conn: &Connection) -> Result<(), Fault> {
    let mut tries = 0;
    loop {
        let mode = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match mode {
            Err(error) if tries < TRIES && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                tries += 1;
                conn.execute_batch("BEGIN EXCLUSIVE; ROLLBACK")?;
            }
            mode => return Ok(mode.map(drop)?),
        }
    }
}

/// The path of a file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
