//! From evidence to a fault.

mod diagnose;
mod signs;

pub use diagnose::{DiagnosisConfig, diagnose};
pub use signs::{Canary, Seen, Signs};
