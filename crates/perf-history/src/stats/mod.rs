//! Numbers about one arm, from its observations, with `now` passed in.

mod sketch;

pub use sketch::LatencySketch;
