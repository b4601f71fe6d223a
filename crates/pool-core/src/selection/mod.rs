//! Which arm computes a request: what was observed, the policies over it, and how a decision is explained.
//!
//! A [`Selector`] holds the [`Experience`](perf_history::Experience) and one [`Policy`]. It is as pure as the core: it
//! takes the time as an argument, draws its random numbers from a seed, and starts nothing. The pool owns one; a replay
//! of recorded observations drives one alone.
//!
//! There are two time scales. The slow one is the score of an arm, from history; it orders the arms. The fast one is
//! the choice between the workers of the arms that come first, by what they have to do at this moment; that is
//! [`placement`](crate::core)'s.

mod bandit;
mod config;
mod context;
mod decision;
mod policy;
mod selector;
mod simple;
mod weighted;

pub use bandit::{Thompson, Ucb};
pub use config::{SelectionConfig, SelectionError};
pub use context::Context;
pub use decision::{Candidate, Decision};
pub use policy::{Choice, Policy, View, Why};
pub use selector::{ContextKey, Selector};
pub use simple::{Fixed, RoundRobin};
pub use weighted::Weighted;
