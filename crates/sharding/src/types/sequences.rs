//! Lists of tensors. No list can be sent, but what is taken out of one can.

use onnx_graph::proto::NodeProto;
use tensor::Dim;

use super::ValueType;
use super::scope::{At, Scope};

/// Takes note of what a node's list holds, or gives the type of what the node takes out of one.
pub(crate) fn taken(node: &NodeProto, scope: &mut Scope<'_>) -> Option<ValueType> {
    let at = At { node, scope };
    let first = node.input.first().map_or("", String::as_str);
    let open = |ty: &ValueType| ValueType {
        dtype: ty.dtype,
        dims: ty.dims.as_ref().map(|dims| vec![Dim::Unknown; dims.len()]),
    };
    let held = match node.op_type() {
        "SplitToSequence" => {
            let ty = at.input(0)?;
            // Without sizes, slices lose the dimension along which they were cut unless they are told to keep it.
            let drops = !at.has(1) && at.int("keepdims") == Some(0);
            let rank = ty.dims.as_ref().map(|dims| dims.len() - usize::from(drops).min(dims.len()));
            ValueType { dtype: ty.dtype, dims: rank.map(|rank| vec![Dim::Unknown; rank]) }
        }
        "SequenceConstruct" => {
            let ty = open(at.input(0)?);
            let alike = (1..node.input.len()).all(|input| at.input(input).map(open) == Some(ty.clone()));
            if alike { ty } else { ValueType::any(ty.dtype) }
        }
        "SequenceInsert" => {
            let ty = open(at.input(1)?);
            match scope.sequence(first) {
                Some(list) if *list == ty => ty,
                _ => ValueType::any(ty.dtype),
            }
        }
        "SequenceErase" => scope.sequence(first)?.clone(),
        "SequenceAt" => return scope.sequence(first).cloned(),
        "ConcatFromSequence" => {
            let ty = scope.sequence(first)?.clone();
            let extra = usize::from(at.int("new_axis").unwrap_or(0) == 1);
            let dims = ty.dims.map(|dims| vec![Dim::Unknown; dims.len() + extra]);
            return Some(ValueType { dtype: ty.dtype, dims });
        }
        _ => return None,
    };
    if let Some(output) = node.output.first() {
        scope.set_sequence(output, held);
    }
    None
}
