//! The words that every layer of the browser pool shares, as closed types.
//!
//! This crate holds names and nothing else: which browsers, backends, devices and model types there are, how a
//! failure is classified, what can be wrong with a worker and what can be tried about it, and the ids that tie one
//! request's events together. It holds no behaviour, no I/O and no
//! policy; what a layer *does* with a name belongs to that layer.
//!
//! Every enum whose value can arrive from a browser or from another process has an `Unknown(String)` variant, so that
//! a newer page never makes an older host fail to read.
//!
//! ```
//! use vocab::{Backend, BrowserName};
//!
//! let browser: BrowserName = "firefox".parse()?;
//! let backend: Backend = "webgpu".parse()?;
//! assert_eq!(format!("{browser}/{backend}"), "firefox/webgpu");
//! assert!("netscape".parse::<BrowserName>().is_err());
//! # Ok::<(), vocab::UnknownName>(())
//! ```

mod backend;
mod browser;
mod device;
mod failure;
mod fault;
mod ids;
mod model_type;
mod names;
mod policy;
mod sequence;

pub use backend::Backend;
pub use browser::BrowserName;
pub use device::DeviceKind;
pub use failure::FailureKind;
pub use fault::{Fault, PressureLevel, Rung};
pub use ids::{ModelHash, ParseModelHashError, RequestId, SequenceId, SessionId, WorkerId};
pub use model_type::ModelType;
pub use names::UnknownName;
pub use policy::PolicyName;
pub use sequence::{CachesAt, Step};
