//! Which browser and backend is best for which model: observations, statistics about them, and what follows.
//!
//! Every run, load and recovery becomes an [`Observation`]. A [`HistoryStore`] keeps them, a [`Recorder`] writes them to it
//! without making anybody wait, and an [`Analyzer`](analysis::Analyzer) says what follows from all of them.
//!
//! The crate does **not** run anything and starts no browser; it decides nothing for anybody: it says what was seen and
//! how sure that is. Only the recorder reads a clock.
//!
//! ```
//! use perf_history::ScoreWeights;
//! use perf_history::stats::{DecayedRate, wilson};
//!
//! // One success in one run is little evidence; 990 in 1 000 are much.
//! assert!(wilson(1.0, 1.0, 1.0).low < wilson(990.0, 1_000.0, 1.0).low);
//!
//! // However long the history, what is new keeps its say.
//! let mut rate = DecayedRate::default();
//! (0..10_000).for_each(|_| rate.add(true, 100.0));
//! (0..1_000).for_each(|_| rate.add(false, 100.0));
//! assert!(rate.rate().is_some_and(|rate| rate < 0.05));
//!
//! // 70 % success and 30 % latency, relative to the best arm.
//! let score = ScoreWeights::default().score(0.9, 100.0, 50.0);
//! assert!((score - (0.7 * 0.9 + 0.3 * 0.5)).abs() < 1e-9);
//! ```

pub mod analysis;
mod arm;
mod experience;
#[cfg(any(feature = "csv", feature = "parquet"))]
pub mod export;
mod observation;
mod outcome;
mod prior;
pub mod recorder;
#[cfg(feature = "report")]
pub mod report;
mod rollup;
mod score;
mod shape;
pub mod stats;
pub mod store;

pub use arm::Arm;
pub use experience::{Experience, ExperienceSettings, Source, Standing};
pub use observation::{ModelId, Observation, Operation, UnixMillis};
pub use outcome::{Outcome, TimeoutPhase, UnknownOutcome, Verdict};
pub use prior::prior_latency_ratio;
pub use recorder::{Recorder, RecorderHandle, RecorderSettings};
pub use rollup::{LEAST_MS, Period, Rollup, Totals};
pub use score::{ScoreWeights, WeightsError};
pub use shape::ShapeBucket;
pub use store::{
    Compacted, HistoryStore, Location, ParseLocationError, Query, Retention, StoreError, Stored,
};
