//! Numbers about one arm, from its observations, with `now` passed in.

mod arm;
mod distributions;
mod drift;
mod interval;
mod latency;
mod rate;
mod sketch;

pub use arm::{ArmStats, Estimate, Memory};
pub(crate) use distributions::normal_below;
pub use distributions::{student_beyond, student_quantile};
pub use drift::{Change, Direction, Drift};
pub use interval::{Interval, wilson};
pub use latency::DecayedLatency;
pub use rate::DecayedRate;
pub use sketch::LatencySketch;
