//! The types of values: what the file says, and what follows from that by the operators' rules.

mod assume;
mod elements;
mod infer;
mod ranks;
mod scope;
mod sequences;
mod shapes;
mod spatial;

use onnx_graph::proto::ModelProto;
use tensor::{DType, Dim};

pub use assume::Assumptions;

use crate::graph::Graph;

/// The type of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ValueType {
    pub(crate) dtype: DType,
    /// The dimensions; `None` where not even their number is known.
    pub(crate) dims: Option<Vec<Dim>>,
}

impl ValueType {
    pub(crate) const fn of(dtype: DType, dims: Option<Vec<Dim>>) -> Self {
        Self { dtype, dims }
    }

    /// A tensor of unknown shape.
    pub(crate) const fn any(dtype: DType) -> Self {
        Self { dtype, dims: None }
    }
}

/// Gives every value its type, where one is stated or follows.
pub(crate) fn assign(graph: &mut Graph, model: &ModelProto) {
    let types = infer::types(model);
    for value in &mut graph.values {
        value.ty = types.get(&*value.name).cloned();
    }
}
