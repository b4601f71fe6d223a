//! The sums of hours that a connection wrote last, so that they need not be read again.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{Observation, Period, Totals};

/// How many sums are remembered at most between two batches.
const REMEMBERED: usize = 16_384;

/// A roll-up's key: the beginning of its time, and its series.
pub(super) type Key = (i64, i64);

/// Sums by their key.
#[derive(Debug, Default)]
pub(super) struct HourSums {
    /// What the database called its contents when these were written; any commit of another connection changes it.
    contents: i64,
    sums: HashMap<Key, Totals>,
}

impl HourSums {
    #[cfg(feature = "sqlite")]
    pub(super) fn forget(&mut self) {
        self.sums.clear();
    }

    /// Forgets what was written to other contents than these.
    pub(super) fn expect(&mut self, contents: i64) {
        if self.contents != contents {
            self.sums.clear();
            self.contents = contents;
        }
    }

    /// What its own commit has made of the contents.
    #[cfg(feature = "postgres")]
    pub(super) fn moved_to(&mut self, contents: i64) {
        self.contents = contents;
    }

    /// Adds a batch, given with the series of each observation; `read` gives the sums of those hours that are not
    /// remembered, where there are any. Returns those that have to be written. If these are not committed, everything
    /// must be forgotten.
    pub(super) fn add<E>(
        &mut self,
        batch: &[Observation],
        series: &[i64],
        read: impl FnOnce(&[Key]) -> Result<HashMap<Key, Totals>, E>,
    ) -> Result<Vec<(Key, &Totals)>, E> {
        if self.sums.len() > REMEMBERED {
            self.sums.clear();
        }
        let hour = |observation: &Observation| Period::Hour.start(observation.at).0;
        let keys: Vec<Key> =
            batch.iter().zip(series).map(|(observation, &series)| (hour(observation), series)).collect();
        let missing: HashSet<Key> = keys.iter().copied().filter(|key| !self.sums.contains_key(key)).collect();
        if !missing.is_empty() {
            self.sums.extend(read(&missing.into_iter().collect::<Vec<_>>())?);
        }
        for (key, observation) in keys.iter().zip(batch) {
            self.sums.entry(*key).or_default().add(observation);
        }
        let changed: BTreeSet<Key> = keys.into_iter().collect();
        Ok(changed.into_iter().filter_map(|key| Some((key, self.sums.get(&key)?))).collect())
    }
}

/// The table of a period.
pub(super) const fn table(period: Period) -> &'static str {
    match period {
        Period::Hour => "hours",
        Period::Day => "days",
    }
}
