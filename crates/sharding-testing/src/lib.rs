//! What tests of sharding need: a [`Builder`] of models, an evaluator ([`eval`]) for the handful of operators that these
//! use, and a [`ScriptedHost`] whose workers fail as they are told and compute with that evaluator.
//!
//! It is **no** runtime: the evaluator knows float32 and few operators, and refuses the rest. It is a dev-dependency only.

mod builder;
mod eval;
mod host;

pub use builder::Builder;
pub use eval::{EvalError, eval};
pub use host::{Fault, HostFailure, Ran, ScriptedHost};
