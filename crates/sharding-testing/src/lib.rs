//! What tests of sharding need: a [`Builder`] of models, an evaluator ([`eval`]) for the handful of operators that these
//! use, and a [`ScriptedHost`] whose workers fail as they are told and compute with that evaluator.
//!
//! It is **no** runtime: the evaluator knows float32 and few operators, and refuses the rest. It is a dev-dependency only.
//!
//! ```
//! use sharding_testing::{Builder, eval};
//! use tensor::{NamedTensor, Tensor};
//!
//! let model = Builder::new().input("x", &[2]).node("Neg", &["x"], &["y"]).output("y").build();
//! let outputs = eval(&model, &[NamedTensor::new("x", Tensor::from_vec([2], vec![1.0_f32, -2.0])?)])?;
//! assert_eq!(outputs[0].tensor.to_vec::<f32>()?, [-1.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod eval;
mod host;

pub use builder::Builder;
pub use eval::{EvalError, eval};
pub use host::{Fault, HostFailure, Ran, ScriptedHost};
