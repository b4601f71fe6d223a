//! The one row that says how far everything is, and that whoever writes holds.

use postgres::Row;

use super::error::Fault;
use super::open::VERSION;
use super::server::Tx;
use crate::store::columns::BadRow;

/// The row of the table `state`.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The id of the observation that was added last.
    pub(super) last_id: i64,
    /// How many observations there are.
    pub(super) observations: i64,
    /// Grows when models, arms or series are dropped.
    pub(super) generation: i64,
    /// Grows with everything that is written.
    pub(super) contents: i64,
}

impl State {
    /// Reads it.
    pub(super) fn read(tx: &mut Tx<'_>) -> Result<Self, Fault> {
        Self::of(tx.query(
            "SELECT last_id, observations, generation, contents, (SELECT version FROM perf_history.about) \
             FROM perf_history.state",
            &[],
        )?)
    }

    /// Reads it, and keeps everybody else from writing until the transaction ends. So ids become visible in their
    /// order: whoever is next gets the row when this transaction is visible to all.
    pub(super) fn lock(tx: &mut Tx<'_>) -> Result<Self, Fault> {
        tx.query("SELECT sole FROM perf_history.state FOR UPDATE", &[])?;
        // Only a statement that begins after the wait sees what was committed during it, in other tables too.
        Self::read(tx)
    }

    fn of(rows: Vec<Row>) -> Result<Self, Fault> {
        let row = rows.first().ok_or(BadRow::Missing { table: "state", id: 1 })?;
        // A newer version may have taken over while this one was connected.
        let version: i64 = row.try_get(4)?;
        if version > VERSION {
            return Err(Fault::Newer(version));
        }
        Ok(Self {
            last_id: row.try_get(0)?,
            observations: row.try_get(1)?,
            generation: row.try_get(2)?,
            contents: row.try_get(3)?,
        })
    }

    /// Writes it, and returns what the contents are called from then on.
    pub(super) fn write(self, tx: &mut Tx<'_>) -> Result<i64, Fault> {
        let Self { last_id, observations, generation, contents } = self;
        let contents = contents.wrapping_add(1);
        tx.execute(
            "UPDATE perf_history.state SET last_id = $1, observations = $2, generation = $3, contents = $4",
            &[&last_id, &observations, &generation, &contents],
        )?;
        Ok(contents)
    }
}
