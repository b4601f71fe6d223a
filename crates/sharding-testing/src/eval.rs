//! Computes models of a few operators, slowly and plainly.

use std::collections::HashMap;

use onnx_graph::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use tensor::{NamedTensor, Tensor, TensorError};

/// Why a model was not computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The operator is not one of the few.
    #[error("the evaluator does not know {0}")]
    Operator(String),
    /// A value is not there.
    #[error("there is no {0:?}")]
    Missing(String),
    /// Operands do not fit each other.
    #[error("the operands of {0} do not fit each other")]
    Shapes(String),
    /// A tensor is not float32, or not as long as its shape says.
    #[error("a tensor is not what the evaluator takes")]
    Tensor(#[from] TensorError),
}

#[derive(Debug, Clone)]
struct Array {
    dims: Vec<u64>,
    values: Vec<f32>,
}

type Values = HashMap<String, Array>;

/// All outputs of a model. Values are computed once each, in the order of the file, in float32.
///
/// # Errors
/// An operator or type that it does not know, and a model that does not hold together.
pub fn eval(model: &ModelProto, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, EvalError> {
    let Some(graph) = &model.graph else { return Ok(Vec::new()) };
    let mut values = Values::new();
    for input in inputs {
        let array =
            Array { dims: input.tensor.shape().dims().to_vec(), values: input.tensor.to_vec::<f32>()? };
        values.insert(input.name.to_string(), array);
    }
    run(graph, &mut values)?;
    let output = |name: &str| {
        let array = values.get(name).ok_or_else(|| EvalError::Missing(name.to_owned()))?;
        Ok(NamedTensor::new(name, Tensor::from_vec(&array.dims[..], array.values.clone())?))
    };
    graph.output.iter().map(|info| output(info.name())).collect()
}

fn run(graph: &GraphProto, values: &mut Values) -> Result<(), EvalError> {
    for weight in &graph.initializer {
        values.insert(weight.name().to_owned(), constant(weight));
    }
    for node in &graph.node {
        let result = compute(node, values)?;
        for (name, array) in node.output.iter().zip(result) {
            values.insert(name.clone(), array);
        }
    }
    Ok(())
}

fn constant(weight: &TensorProto) -> Array {
    let raw = weight.raw_data.as_deref().unwrap_or_default();
    let (words, _) = raw.as_chunks::<4>();
    let values = if words.is_empty() {
        weight.float_data.clone()
    } else {
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    };
    Array { dims: weight.dims.iter().map(|&dim| dim.unsigned_abs()).collect(), values }
}

fn compute(node: &NodeProto, values: &Values) -> Result<Vec<Array>, EvalError> {
    let op = node.op_type();
    let input = |at: usize| {
        let name = node.input.get(at).filter(|name| !name.is_empty())?;
        Some(values.get(name).ok_or_else(|| EvalError::Missing(name.clone())))
    };
    let need =
        |at: usize| input(at).unwrap_or_else(|| Err(EvalError::Missing(format!("input {at} of {op}"))));
    let each = |of: fn(f32) -> f32| {
        let Array { dims, values } = need(0)?;
        Ok(vec![Array { dims: dims.clone(), values: values.iter().map(|&value| of(value)).collect() }])
    };
    let both = |of: fn(f32, f32) -> f32| {
        let mut result = need(0)?.clone();
        for at in 1..node.input.len() {
            result = elementwise(&result, need(at)?, of).ok_or_else(|| EvalError::Shapes(op.to_owned()))?;
        }
        Ok(vec![result])
    };
    match op {
        "Identity" => Ok(vec![need(0)?.clone()]),
        "Neg" => each(|x| -x),
        "Relu" => each(|x| x.max(0.0)),
        "Tanh" => each(f32::tanh),
        "Add" | "Sum" => both(|a, b| a + b),
        "Sub" => both(|a, b| a - b),
        "Mul" => both(|a, b| a * b),
        "Max" => both(f32::max),
        "Less" => both(|a, b| if a < b { 1.0 } else { 0.0 }),
        "Clip" => {
            let bound = |at: usize, default: f32| match input(at) {
                Some(bound) => Ok(bound?.values.first().copied().unwrap_or(default)),
                None => Ok::<f32, EvalError>(default),
            };
            let (low, high) = (bound(1, f32::MIN)?, bound(2, f32::MAX)?);
            let Array { dims, values } = need(0)?;
            let values = values.iter().map(|value| value.max(low).min(high)).collect();
            Ok(vec![Array { dims: dims.clone(), values }])
        }
        "MatMul" => matmul(need(0)?, need(1)?).map(|product| vec![product]),
        "Concat" => {
            let axis = node.attribute.iter().find_map(|attribute| attribute.i).unwrap_or(0);
            let parts = (0..node.input.len()).map(need).collect::<Result<Vec<_>, _>>()?;
            concat(&parts, usize::try_from(axis).unwrap_or(0)).map(|joined| vec![joined])
        }
        "If" => {
            let name = if need(0)?.values.first().is_some_and(|&value| value != 0.0) {
                "then_branch"
            } else {
                "else_branch"
            };
            let body = node.attribute.iter().find(|attribute| attribute.name() == name);
            let body =
                body.and_then(|body| body.g.as_deref()).ok_or_else(|| EvalError::Missing(name.to_owned()))?;
            // A body sees what is around it, and nobody sees into a body.
            let mut inner = values.clone();
            run(body, &mut inner)?;
            let output = |name: &str| inner.remove(name).ok_or_else(|| EvalError::Missing(name.to_owned()));
            body.output.iter().map(|info| info.name()).map(output).collect()
        }
        _ => Err(EvalError::Operator(op.to_owned())),
    }
}

/// Operands of equal shape, or one of a single value.
fn elementwise(a: &Array, b: &Array, of: fn(f32, f32) -> f32) -> Option<Array> {
    if a.dims == b.dims {
        let values = a.values.iter().zip(&b.values).map(|(&a, &b)| of(a, b)).collect();
        return Some(Array { dims: a.dims.clone(), values });
    }
    match (&a.values[..], &b.values[..]) {
        (_, &[b]) => {
            Some(Array { dims: a.dims.clone(), values: a.values.iter().map(|&a| of(a, b)).collect() })
        }
        (&[a], _) => {
            Some(Array { dims: b.dims.clone(), values: b.values.iter().map(|&b| of(a, b)).collect() })
        }
        _ => None,
    }
}

fn matmul(a: &Array, b: &Array) -> Result<Array, EvalError> {
    let (&[rows, inner], &[depth, columns]) = (&a.dims[..], &b.dims[..]) else {
        return Err(EvalError::Shapes("MatMul".to_owned()));
    };
    if inner != depth {
        return Err(EvalError::Shapes("MatMul".to_owned()));
    }
    let (inner, wide) = (inner as usize, columns as usize);
    let cell = |at: usize| {
        let (row, column) = (at / wide, at % wide);
        (0..inner).map(|k| a.values[row * inner + k] * b.values[k * wide + column]).sum()
    };
    Ok(Array { dims: vec![rows, columns], values: (0..rows as usize * wide).map(cell).collect() })
}

fn concat(parts: &[&Array], axis: usize) -> Result<Array, EvalError> {
    let bad = || EvalError::Shapes("Concat".to_owned());
    let first = parts.first().ok_or_else(bad)?;
    let mut dims = first.dims.clone();
    *dims.get_mut(axis).ok_or_else(bad)? =
        parts.iter().map(|part| part.dims.get(axis).copied().unwrap_or(0)).sum();
    let outer: u64 = dims[..axis].iter().product();
    let mut values = Vec::new();
    for row in 0..outer as usize {
        for part in parts {
            let chunk = part.dims[axis..].iter().product::<u64>() as usize;
            values.extend_from_slice(part.values.get(row * chunk..(row + 1) * chunk).ok_or_else(bad)?);
        }
    }
    Ok(Array { dims, values })
}
