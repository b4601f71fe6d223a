//! The store for many machines: a schema in a PostgreSQL database.

mod append;
mod compact;
mod error;
mod hours;
mod names;
mod open;
mod read;
mod server;
mod state;
mod text;
mod tls;
mod writer;

use self::error::Fault;
use self::server::{Access, Conn, Server};
use self::state::State;
use self::writer::Writer;
use super::hour_sums::HourSums;
use super::subject::Known;
use crate::{Compacted, HistoryStore, Observation, Query, Retention, Rollup, StoreError, Stored, UnixMillis};

/// Observations in the schema `perf_history` of a PostgreSQL database, version 12 or newer, with the encoding UTF8.
///
/// Any number of processes may have it open; one of them writes at a time, the others wait for up to 20 seconds, and
/// readers wait for nobody.
///
/// What [`append`](HistoryStore::append) has added is flushed to the server's disk, unless the server itself runs with
/// `fsync=off`. A connection that broke is made anew once in each call. When it broke during a commit, the server is
/// asked whether that took place, so nothing is added twice; only where no new connection can be had, the call fails
/// with [`StoreError::Unconfirmed`], and the next one asks.
///
/// The address is `postgres://user:password@host:port/database`, with parameters behind a `?`: those of libpq that the
/// crate `postgres` knows. `sslmode` is `disable`, `prefer` (the default: encrypted where the server can) or `require`;
/// `verify-ca` and `verify-full` mean the same as `require`, because whatever is encrypted is also verified: the
/// certificate against the roots that the system trusts, or those in the file that `SSL_CERT_FILE` names, and the
/// host's name against the certificate. Certificates of clients are not supported. A host that does not answer is
/// given up after 10 seconds (`connect_timeout`), and a connection to a host that fell silent after 30
/// (`tcp_user_timeout`). A pooler in between must keep sessions.
#[derive(Debug)]
pub struct PostgresStore {
    server: Server,
    conn: Option<Conn>,
    memory: Memory,
    writer: Writer,
}

/// What a connection remembers of the database.
#[derive(Debug, Default)]
struct Memory {
    known: Known,
    sums: HourSums,
}

impl Memory {
    /// Forgets what is not so any more.
    fn expect(&mut self, state: &State) {
        self.known.expect(state.generation);
        self.sums.expect(state.contents);
    }
}

impl PostgresStore {
    /// Connects for reading and writing. The schema is created where there is none, and brought to this version.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], also for an address that cannot be read; [`StoreError::Failed`] where the user may
    /// not do this. [`StoreError::Unusable`] and [`StoreError::Newer`] mean that nothing was changed.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::new(url, Access::Write)
    }

    /// Connects for reading, to a standby too. There, [`append`](HistoryStore::append) and
    /// [`compact`](HistoryStore::compact) fail.
    ///
    /// # Errors
    /// As for [`open`](Self::open); where there is no history yet, [`StoreError::Unusable`].
    pub fn open_read_only(url: &str) -> Result<Self, StoreError> {
        Self::new(url, Access::Read)
    }

    fn new(url: &str, access: Access) -> Result<Self, StoreError> {
        let server = Server::new(url, access)?;
        let conn = server.connect().map_err(|fault| fault.at(&server.place, open::OPENING))?;
        Ok(Self { server, conn: Some(conn), memory: Memory::default(), writer: Writer::default() })
    }

    /// Does the work, and once more on a new connection where the old one is lost and nothing can have been committed.
    fn run<T>(
        &mut self,
        operation: &'static str,
        mut work: impl FnMut(&mut Conn, &mut Memory, &mut Writer) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let Self { server, conn, memory, writer } = self;
        let mut again = conn.is_some();
        loop {
            let done = match conn {
                Some(conn) => work(conn, memory, writer),
                None => match server.connect() {
                    Ok(new) => {
                        *conn = Some(new);
                        continue;
                    }
                    Err(fault) => Err(fault),
                },
            };
            let fault = match done {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            // It may be of rows that do not exist.
            *memory = Memory::default();
            if fault.is_lost() {
                *conn = None;
                if std::mem::take(&mut again) && !matches!(fault, Fault::Unconfirmed(_)) {
                    continue;
                }
            }
            return Err(fault.at(&server.place, operation));
        }
    }

    fn add(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        self.run("add observations", |conn, memory, writer| append::append(conn, memory, writer, batch))
    }
}

impl HistoryStore for PostgresStore {
    fn append(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut added = self.add(batch);
        if matches!(added, Err(StoreError::Unconfirmed { .. })) {
            // On another connection, it finds out what became of it.
            added = self.add(batch);
        }
        added.map_err(|error| match error {
            StoreError::Unreachable { place, source } | StoreError::Failed { place, source, .. }
                if self.writer.doubts(batch) =>
            {
                StoreError::Unconfirmed { place, source }
            }
            error => error,
        })
    }

    fn observations(&mut self, query: &Query) -> Result<Vec<Stored>, StoreError> {
        self.run("read observations", |conn, memory, _| read::observations(conn, memory, query))
    }

    fn rollups(&mut self, since: Option<UnixMillis>) -> Result<Vec<Rollup>, StoreError> {
        self.run("read roll-ups", |conn, memory, _| read::rollups(conn, memory, since))
    }

    fn compact(&mut self, now: UnixMillis, retention: &Retention) -> Result<Compacted, StoreError> {
        self.run("drop what is old", |conn, _, _| compact::compact(conn, now, retention))
    }
}
