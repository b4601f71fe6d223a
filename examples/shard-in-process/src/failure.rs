//! Why a model could not be loaded or run here.

use tensor::{DType, TensorError};
use tract_onnx::prelude::{DatumType, TractError};
use vocab::SessionId;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("tract cannot {doing} it")]
    Tract {
        doing: &'static str,
        #[source]
        source: TractError,
    },
    #[error("no tensor of tract has {0} elements in this program")]
    NotForTract(DType),
    #[error("tract gave elements of type {0:?}, which this program does not know")]
    NotFromTract(DatumType),
    #[error("tract gave a tensor that does not hold together")]
    Tensor(#[source] TensorError),
    #[error("the input {0:?} is missing")]
    NoInput(String),
    #[error("tract gave {got} outputs where the model has {expected}")]
    Outputs { expected: usize, got: usize },
    #[error("there is no session {0}")]
    NoSession(SessionId),
    #[error("this program keeps no caches from step to step: hand them in and take them out as tensors")]
    NoSequences,
    #[error("the thread that computed is gone")]
    Thread(#[source] tokio::task::JoinError),
}
