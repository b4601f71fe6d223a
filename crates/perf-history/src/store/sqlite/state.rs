//! The one row that says how far everything is.

use rusqlite::Connection;

use super::error::Fault;

/// The row of the table `state`.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The id of the observation that was added last.
    pub(super) last_id: i64,
    /// Observations up to this id are in `by_series`.
    pub(super) arranged: i64,
    /// How many observations there are.
    pub(super) observations: i64,
    /// Grows when models, arms or series are dropped.
    pub(super) generation: i64,
}

impl State {
    pub(super) fn read(conn: &Connection) -> Result<Self, Fault> {
        let mut statement =
            conn.prepare_cached("SELECT last_id, arranged, observations, generation FROM state")?;
        Ok(statement.query_row((), |row| {
            Ok(Self {
                last_id: row.get(0)?,
                arranged: row.get(1)?,
                observations: row.get(2)?,
                generation: row.get(3)?,
            })
        })?)
    }

    pub(super) fn write(self, conn: &Connection) -> Result<(), Fault> {
        let Self { last_id, arranged, observations, generation } = self;
        conn.prepare_cached(
            "UPDATE state SET last_id = ?1, arranged = ?2, observations = ?3, generation = ?4",
        )?
        .execute([last_id, arranged, observations, generation])?;
        Ok(())
    }
}
