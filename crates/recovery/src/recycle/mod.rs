//! When a browser that works is replaced all the same, and how.

mod recycler;
mod slope;

pub use recycler::{Plan, RecycleConfig, Recycler, Spare};
pub use slope::{Slope, slope};
