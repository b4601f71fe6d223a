//! Why a model could not be read.

use std::io;
use std::path::PathBuf;

use onnx_graph::OnnxError;

/// A file that could not be read as a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no model, or one that no browser runtime could run.
    #[error("{} is not a model that can be cut", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: OnnxError,
    },
    /// A file of weights is shorter than the model says.
    #[error("{} has {got} bytes, but the model's weights in it reach to byte {needed}", path.display())]
    ShortWeights {
        /// The file of weights.
        path: PathBuf,
        /// Bytes that it must have at least.
        needed: u64,
        /// Bytes that it has.
        got: u64,
    },
    /// What is left of a model without its weights is still too large to hold.
    #[error("the structure of {} takes more than {limit} bytes without its weights", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that the structure may have.
        limit: u64,
    },
    /// The model has more nodes than are cut in a reasonable time.
    #[error("{} has {nodes} nodes, and at most {limit} can be cut", path.display())]
    TooManyNodes {
        /// The file.
        path: PathBuf,
        /// Its nodes.
        nodes: usize,
        /// Nodes that it may have.
        limit: usize,
    },
    /// Weights are said to lie in a file whose name is taken.
    #[error("weights of {} lie in a file called #self, which no file of weights may be called", path.display())]
    ReservedLocation {
        /// The model's file.
        path: PathBuf,
    },
}
