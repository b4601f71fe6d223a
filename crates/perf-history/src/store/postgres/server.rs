//! Where the server is, and connections to it.

use std::collections::HashMap;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::types::ToSql;
use postgres::{Client, Config, IsolationLevel, NoTls, Row, RowIter, Statement, Transaction};

use super::error::{Fault, is_lost};
use super::{open, tls};
use crate::{Location, StoreError};

/// How long a host is tried.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long a silent host counts as being there.
const SILENCE: Duration = Duration::from_secs(30);

/// What every session is told. A server that loses us ends our transaction before others lose patience with its locks.
/// Where commits are not flushed, ours are; where they are confirmed by standbys, that stays.
const SESSION: &str = "SET idle_in_transaction_session_timeout = '10s'; SET lock_timeout = '20s'; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') = 'off'";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// A database on a server.
#[derive(Debug)]
pub(super) struct Server {
    config: Config,
    access: Access,
    /// What it is called in errors, without its password.
    pub(super) place: String,
}

impl Server {
    pub(super) fn new(url: &str, access: Access) -> Result<Self, StoreError> {
        let place = Location::Postgres(url.to_owned()).to_string();
        let mut config: Config = match without_verify(url).parse() {
            Ok(config) => config,
            Err(error) => return Err(Fault::Connect(error).at(&place, open::OPENING)),
        };
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECTING);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        // What the driver has without being asked is two hours.
        if config.get_keepalives_idle() > SILENCE {
            config.keepalives_idle(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("perf-history");
        }
        Ok(Self { config, access, place })
    }

    /// Connects, and makes sure that the history there is one of ours, in our version.
    pub(super) fn connect(&self) -> Result<Conn, Fault> {
        let remote = |host: &Host| !matches!(host, Host::Unix(_));
        let encrypt = self.config.get_ssl_mode() != SslMode::Disable
            && (self.config.get_hosts().iter().any(remote) || !self.config.get_hostaddrs().is_empty());
        let client = match encrypt {
            true => self.config.connect(tls::connector()?),
            false => self.config.connect(NoTls),
        };
        let mut client = client.map_err(Fault::Connect)?;
        client.batch_execute(SESSION)?;
        if self.access == Access::Read {
            client.batch_execute("SET default_transaction_read_only = on")?;
        }
        let mut conn = Conn { client, statements: HashMap::new() };
        open::prepare(&mut conn, self.access)?;
        Ok(conn)
    }
}

/// The driver verifies nothing by itself and knows no such modes; what we give it verifies always.
fn without_verify(url: &str) -> String {
    let Some((address, params)) = url.rsplit_once('?') else { return url.to_owned() };
    let strict = |param: &str| matches!(param, "sslmode=verify-full" | "sslmode=verify-ca");
    let params = params.split('&').map(|param| if strict(param) { "sslmode=require" } else { param });
    format!("{address}?{}", params.collect::<Vec<_>>().join("&"))
}

/// A connection, with the statements that it has prepared.
pub(super) struct Conn {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("statements", &self.statements.len()).finish_non_exhaustive()
    }
}

impl Conn {
    /// Begins a transaction in which each statement sees what was committed before it. It is rolled back unless it is
    /// committed.
    pub(super) fn writing(&mut self) -> Result<Tx<'_>, Fault> {
        let Self { client, statements } = self;
        let level = IsolationLevel::ReadCommitted;
        Ok(Tx { inner: client.build_transaction().isolation_level(level).start()?, statements })
    }

    /// Begins a transaction in which everything is read from one state.
    pub(super) fn reading(&mut self) -> Result<Tx<'_>, Fault> {
        let Self { client, statements } = self;
        let level = IsolationLevel::RepeatableRead;
        Ok(Tx {
            inner: client.build_transaction().isolation_level(level).read_only(true).start()?,
            statements,
        })
    }
}

/// A transaction.
pub(super) struct Tx<'a> {
    pub(super) inner: Transaction<'a>,
    statements: &'a mut HashMap<String, Statement>,
}

impl Tx<'_> {
    /// The prepared statement; there are about thirty.
    pub(super) fn statement(&mut self, sql: &str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.inner.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) fn execute(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<i64, Fault> {
        let statement = self.statement(sql)?;
        Ok(i64::try_from(self.inner.execute(&statement, values)?).unwrap_or(i64::MAX))
    }

    pub(super) fn query(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql)?;
        Ok(self.inner.query(&statement, values)?)
    }

    /// Rows one after the other, where there may be very many.
    pub(super) fn rows(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<RowIter<'_>, Fault> {
        let statement = self.statement(sql)?;
        Ok(self.inner.query_raw(&statement, values.iter().copied())?)
    }

    pub(super) fn commit(self) -> Result<(), Fault> {
        self.inner.commit().map_err(|error| match is_lost(&error) {
            true => Fault::Unconfirmed(error),
            false => Fault::Sql(error),
        })
    }
}
