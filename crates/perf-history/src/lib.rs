//! Which browser and backend is best for which model: observations, statistics about them, and what follows.
//!
//! Every run, load and recovery becomes an [`Observation`]. A [`HistoryStore`] keeps them.
//!
//! The crate does **not** run anything and starts no browser; it reads no clock, and decides nothing for anybody: it
//! says what was seen and how sure that is.

mod arm;
mod observation;
mod outcome;
mod rollup;
mod shape;
pub mod stats;
pub mod store;

pub use arm::Arm;
pub use observation::{ModelId, Observation, Operation, UnixMillis};
pub use outcome::{Outcome, TimeoutPhase, UnknownOutcome, Verdict};
pub use rollup::{LEAST_MS, Period, Rollup, Totals};
pub use shape::ShapeBucket;
pub use store::{
    Compacted, HistoryStore, Location, ParseLocationError, Query, Retention, StoreError, Stored,
};
