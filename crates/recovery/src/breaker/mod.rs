//! Circuit breakers: when to stop asking something that fails, and how to find out that it works again.

mod call;
mod circuit;
mod config;
mod set;
mod window;

pub use call::{Admission, CallOutcome, CallPermit, Transition};
pub use circuit::Breaker;
pub use config::BreakerConfig;
pub use set::{BreakerSet, SetConfig, Verdicts};
