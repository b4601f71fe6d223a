//! How a comparison can fail as a whole. An arm that fails is a row of the report, not an error.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tensor::InputError;
use tensor::oip::OipError;

use super::input::InputsError;
use crate::error::ModelError;

/// Why nothing was compared. No process is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The directory for our own files cannot be named.
    #[error("the directory for webnn-pool's own files cannot be used")]
    Home(#[from] provision::HomeError),
    /// The page's runtime is missing or damaged.
    #[error("the page's runtime is not ready")]
    Runtime(#[from] provision::RuntimeError),
    /// The page server could not start.
    #[error("the page server could not start")]
    Bridge(#[from] webnn_bridge::BridgeError),
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The inputs do not fit the model.
    #[error("the inputs do not fit the model")]
    Input(#[from] InputError),
    /// No inputs were given and none can be made.
    #[error("no inputs could be made")]
    Generate(#[from] InputsError),
    /// The reference is not a response of this model.
    #[error("the reference does not fit the model: {problem}")]
    Reference {
        /// What is wrong with it.
        problem: String,
    },
    /// The native runtime that was asked for did not give a reference.
    #[error("the native runtime gave no reference")]
    Native(#[from] NativeError),
    /// The native runtime was asked for, and there is none.
    #[error("there is no native runtime: no Python of {tried} has the package onnxruntime")]
    NoNative {
        /// The programs that were tried.
        tried: String,
    },
    /// A setting makes no sense.
    #[error("{what} must be {expected}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// No browser of those asked for is here.
    #[error("no browser was found on this machine: run webnn-pool setup")]
    NoBrowser,
    /// The task that looked for browsers was lost.
    #[error("the task that looked for browsers ended before it was done")]
    TaskLost,
}

/// Why the native runtime gave no reference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NativeError {
    /// A temporary file could not be written or read.
    #[error("a temporary file could not be written or read")]
    Files {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A message could not be written or read.
    #[error("its message is not one of the Open Inference Protocol")]
    Message {
        /// The cause.
        #[source]
        source: OipError,
    },
    /// The program could not be started.
    #[error("{} could not be started", python.display())]
    Start {
        /// The program.
        python: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The program failed.
    #[error("{} failed: {said}", python.display())]
    Failed {
        /// The program.
        python: PathBuf,
        /// Its last words.
        said: String,
    },
    /// It took too long.
    #[error("{} was not done after {limit:?}", python.display())]
    TimedOut {
        /// The program.
        python: PathBuf,
        /// How long it was given.
        limit: Duration,
    },
}
