//! The ladder: which rung comes next, for how long, and when to stop.

mod choice;
mod config;
mod explain;
mod incident;
mod prior;
mod record;
mod step;

pub use config::{PerRung, RecoveryConfig};
pub use explain::{Explanation, RungFigures, Standing};
pub use incident::Incident;
pub use prior::{Prior, prior};
pub use record::{Estimate, Lesson, RungRecord, Source};
pub use step::{AttemptOutcome, Conditions, GiveUpCause, RestartRoom, Step, Subject, WaitReason};
