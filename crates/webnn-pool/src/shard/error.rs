//! How sharding can fail.

use std::time::Duration;

use pool_core::LinkError;

use crate::error::ModelError;

/// Why a page did not do what a stage needed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostFailure {
    /// The pool's answer.
    #[error(transparent)]
    Run(#[from] pool_core::RunError),
    /// The part cannot be read, or no page could take it.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The page's answer.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The part was given up while the run was on its way.
    #[error("the part of stage {stage} is not loaded any more")]
    NotLoaded {
        /// The stage.
        stage: usize,
    },
}

/// Why there is no answer, or nothing to ask. Never comes with a part of an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardingError {
    /// The model cannot be found or used.
    #[error("the model cannot be used")]
    Model(#[from] ModelError),
    /// The model cannot be read.
    #[error("the model cannot be read")]
    Read(#[from] sharding::ReadError),
    /// The model cannot be cut like this.
    #[error("the model cannot be cut like this")]
    Plan(#[from] sharding::PlanError),
    /// The parts cannot be written.
    #[error("the parts cannot be written")]
    Write(#[from] sharding::WriteError),
    /// There is no folder for the parts.
    #[error("there is no folder for the parts")]
    Folder(#[source] std::io::Error),
    /// A setting makes no sense.
    #[error("a setting of sharding is wrong")]
    Config(#[from] sharding::ExecutorConfigError),
    /// There must be room for at least one page.
    #[error("max_connections is 0: at least one page has to compute")]
    NoConnections,
    /// Nothing was initialized.
    #[error("nothing is sharded yet: call initialize_sharding first")]
    NotInitialized,
    /// A component did not come to its end, whatever was tried.
    #[error("component {component} ({label}) failed")]
    Component {
        /// Its number.
        component: usize,
        /// What it is.
        label: String,
        /// What was tried, and why the last attempt failed.
        #[source]
        source: Box<sharding::RunError<HostFailure>>,
    },
    /// The run did not come to its end for another reason.
    #[error("the run failed")]
    Run(#[source] Box<sharding::RunError<HostFailure>>),
    /// There was no answer in time.
    #[error("no answer within {after:?}")]
    DeadlineExceeded {
        /// How long was waited.
        after: Duration,
    },
    /// The model cannot generate.
    #[error("the model cannot generate: {why}")]
    NotGenerative {
        /// What it lacks.
        why: String,
    },
    /// What was asked of a generation makes no sense.
    #[error("cannot generate: {why}")]
    Generation {
        /// What is wrong.
        why: String,
    },
    /// A task was given up from inside.
    #[error("the task that cut the model ended before it was done")]
    TaskLost,
}
