//! What a graph takes and gives.

use std::collections::HashSet;
use std::sync::Arc;

use tensor::{DType, Dim, Signature, TensorSpec};

use crate::OnnxError;
use crate::proto::{DimensionValue, GraphProto, TensorShapeProto, TypeValue, ValueInfoProto};

/// The graph's inputs without those that are initialized, and its outputs.
pub(crate) fn signature(graph: &GraphProto) -> Result<Signature, OnnxError> {
    let constants = graph.initializer.iter().map(|constant| constant.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let constants: HashSet<&str> = constants.chain(sparse.map(|values| values.name())).collect();
    let inputs = graph.input.iter().filter(|input| !constants.contains(input.name()));
    Ok(Signature {
        inputs: inputs.map(spec).collect::<Result<_, _>>()?,
        outputs: graph.output.iter().map(spec).collect::<Result<_, _>>()?,
    })
}

fn spec(value: &ValueInfoProto) -> Result<TensorSpec, OnnxError> {
    let not_a_tensor = |kind| OnnxError::NotATensor { value: value.name().to_owned(), kind };
    let tensor = match value.r#type.as_ref().and_then(|r#type| r#type.value.as_ref()) {
        Some(TypeValue::TensorType(tensor)) => tensor,
        Some(TypeValue::SequenceType(_)) => return Err(not_a_tensor("a sequence")),
        Some(TypeValue::MapType(_)) => return Err(not_a_tensor("a map")),
        Some(TypeValue::OptionalType(_)) => return Err(not_a_tensor("optional")),
        Some(TypeValue::SparseTensorType(_)) => return Err(not_a_tensor("a sparse tensor")),
        Some(TypeValue::OpaqueType(_)) => return Err(not_a_tensor("of an opaque type")),
        None => return Err(not_a_tensor("of no stated type")),
    };
    let code = tensor.elem_type();
    let Some(dtype) = DType::from_onnx_code(code) else {
        return Err(OnnxError::UnsupportedElementType { value: value.name().to_owned(), code });
    };
    let dims = tensor.shape.as_ref().map(dims);
    Ok(TensorSpec { name: value.name().into(), dtype, dims, optional: false })
}

fn dims(shape: &TensorShapeProto) -> Vec<Dim> {
    let dim = |value: &Option<DimensionValue>| match value {
        // Some exporters write −1 for a size that is not known.
        Some(DimensionValue::DimValue(size)) => u64::try_from(*size).map_or(Dim::Unknown, Dim::Fixed),
        Some(DimensionValue::DimParam(name)) if !name.is_empty() => Dim::Symbol(Arc::from(name.as_str())),
        Some(DimensionValue::DimParam(_)) | None => Dim::Unknown,
    };
    shape.dim.iter().map(|dimension| dim(&dimension.value)).collect()
}
