//! The thin shell that carries the decisions out under tokio's time.

mod attempt;
mod climb;
mod error;
mod guard;
mod recover;
mod reviver;
mod settings;

pub use error::{AttemptFailure, AttemptPhase, RecoveryError};
pub use recover::{Recovered, RecoveryStats, ResourcePoolErrorRecovery};
pub use reviver::{AttemptError, Reviver};
pub use settings::RecoverySettings;
