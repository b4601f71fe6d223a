//! What became of a commit whose answer was lost.

use super::error::Fault;
use super::server::Tx;
use crate::Observation;
use crate::store::columns::{BadRow, finite};

/// Who adds, and what it has added last. The row of the table `writers` with this id says which batch was committed
/// last, because it is written together with the batch.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The row, once this handle has added something.
    id: Option<i64>,
    /// The number of the batch whose commit was asked for last.
    batch: i64,
    /// Set as long as nobody knows whether that batch was committed.
    unconfirmed: Option<Unconfirmed>,
}

/// A batch whose commit was not answered.
#[derive(Debug)]
struct Unconfirmed {
    observations: Vec<Observation>,
    /// How many of them, from the beginning, had been added before.
    before: usize,
}

impl Writer {
    /// How many observations at the beginning of `batch` have been added already. Only while nobody else can write:
    /// the transaction whose end is not known has ended then.
    pub(super) fn already_added(&self, tx: &mut Tx<'_>, batch: &[Observation]) -> Result<usize, Fault> {
        let Some(unconfirmed) = self.unconfirmed_in(batch) else { return Ok(0) };
        let rows = tx.query("SELECT batch FROM perf_history.writers WHERE id = $1", &[&self.id])?;
        let committed: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(if committed == Some(self.batch) { unconfirmed.observations.len() } else { unconfirmed.before })
    }

    /// Writes down which batch is being added; returns its number.
    pub(super) fn begin(&mut self, tx: &mut Tx<'_>) -> Result<i64, Fault> {
        let id: i64 = match self.id {
            Some(id) => id,
            None => {
                let sql = "SELECT nextval(pg_get_serial_sequence('perf_history.writers', 'id'))";
                let rows = tx.query(sql, &[])?;
                rows.first().ok_or(BadRow::Missing { table: "writers", id: 0 })?.try_get(0)?
            }
        };
        // The number is used up, whether or not this is committed.
        self.id = Some(id);
        let batch = self.batch + 1;
        tx.execute(
            "INSERT INTO perf_history.writers (id, batch, seen) OVERRIDING SYSTEM VALUE VALUES ($1, $2, now()) \
             ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, seen = excluded.seen",
            &[&id, &batch],
        )?;
        Ok(batch)
    }

    /// This batch was committed.
    pub(super) fn confirm(&mut self, number: i64) {
        (self.batch, self.unconfirmed) = (number, None);
    }

    /// Nobody knows whether this batch was committed, of which the first `before` had been added earlier.
    pub(super) fn doubt(&mut self, number: i64, batch: &[Observation], before: usize) {
        self.batch = number;
        self.unconfirmed = Some(Unconfirmed { observations: batch.to_vec(), before });
    }

    /// Whether `batch` begins with what may have been added already.
    pub(super) fn doubts(&self, batch: &[Observation]) -> bool {
        self.unconfirmed_in(batch).is_some()
    }

    fn unconfirmed_in(&self, batch: &[Observation]) -> Option<&Unconfirmed> {
        self.unconfirmed.as_ref().filter(|unconfirmed| {
            let same = |(one, other)| kept(one) == kept(other);
            batch.len() >= unconfirmed.observations.len()
                && batch.iter().zip(&unconfirmed.observations).all(same)
        })
    }
}

/// The observation as it is kept, without times that are no numbers and hence not equal to themselves.
fn kept(observation: &Observation) -> Observation {
    Observation {
        load_ms: finite(observation.load_ms),
        queue_ms: finite(observation.queue_ms),
        in_page_ms: finite(observation.in_page_ms),
        service_ms: finite(observation.service_ms),
        total_ms: finite(observation.total_ms),
        ..observation.clone()
    }
}

/// Drops the rows of those that have not written for a month.
pub(super) fn drop_silent(tx: &mut Tx<'_>) -> Result<(), Fault> {
    tx.execute("DELETE FROM perf_history.writers WHERE seen < now() - interval '30 days'", &[])?;
    Ok(())
}
