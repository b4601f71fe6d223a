//! Circuit breakers: when to stop asking something that fails, and how to find out that it works again.

mod circuit;
mod config;
mod set;
mod window;

pub use circuit::{Admission, Breaker, CallOutcome, CallPermit, Transition};
pub use config::BreakerConfig;
pub use set::{BreakerSet, SetConfig, Verdicts};
