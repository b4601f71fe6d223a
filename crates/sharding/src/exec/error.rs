//! Why there is no answer.

use std::time::Duration;

use tensor::InputError;

use super::host::HostError;

/// A run that gave no answer. Nothing of it was handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E: std::error::Error + 'static> {
    /// The inputs do not fit the model.
    #[error("the inputs do not fit the model")]
    Inputs(#[source] InputError),
    /// A stage did not come to an end that counts.
    #[error("stage {stage} failed after {attempts} attempts while {phase}")]
    Stage {
        /// The stage.
        stage: usize,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt was doing.
        phase: Phase,
        /// Why the last attempt failed.
        #[source]
        source: StageError<E>,
    },
    /// The sequence would have to keep more than it may.
    #[error("the sequence keeps {kept} bytes of inputs, and at most {limit} may be kept")]
    SequenceTooLong {
        /// Bytes that it keeps.
        kept: u64,
        /// Bytes that it may keep.
        limit: u64,
    },
    /// The model has no caches, so that there is nothing to go on from step to step.
    #[error("the model has no caches")]
    NoCaches,
    /// The plan does not hold together: a stage waits for what nobody gives.
    #[error("the plan is broken: stage {stage} takes {name:?}, which nobody gives")]
    BrokenPlan {
        /// The stage.
        stage: usize,
        /// What it takes.
        name: String,
    },
}

/// What an attempt was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Finding a worker.
    Placing,
    /// Loading the part.
    Loading,
    /// Giving the caches back what they held.
    Rebuilding,
    /// Running.
    Running,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Placing => "placing",
            Self::Loading => "loading",
            Self::Rebuilding => "rebuilding its caches",
            Self::Running => "running",
        })
    }
}

/// Why one attempt of one stage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError<E: std::error::Error + 'static> {
    /// No worker is there that could take it.
    #[error("no worker can take a part of {bytes} bytes, or no worker can take one part more")]
    NoWorker {
        /// Bytes of the part's weights.
        bytes: u64,
    },
    /// The host said so.
    #[error(transparent)]
    Host(#[from] HostError<E>),
    /// It did not end in time.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The reply lacks an output, or has one of another type.
    #[error("the reply has no fitting {name:?}")]
    BadReply {
        /// The output.
        name: String,
    },
    /// The reply's caches are not where they should be after the step.
    #[error("the caches are at epoch {epoch}, step {position}, which is not where the step leads")]
    BadCaches {
        /// Their incarnation.
        epoch: u64,
        /// The steps that they hold.
        position: u64,
    },
}
