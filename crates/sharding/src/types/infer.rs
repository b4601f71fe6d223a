//! Hands types forward, node by node.

use std::cell::Cell;
use std::collections::HashMap;

use onnx_graph::calls;
use onnx_graph::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};
use tensor::{DType, Dim};

use super::scope::{At, Scope};
use super::{ValueType, elements, sequences, shapes};

/// How deeply functions may call each other before nothing more is said about them.
const MAX_CALLS: usize = 16;

/// Nodes that are looked at before nothing more is said: functions that call others several times would otherwise take
/// time without bound, because a call's types depend on what it takes.
const MAX_VISITS: u32 = 1 << 20;

/// The types of the values of the main graph, by name.
pub(crate) fn types(model: &ModelProto) -> HashMap<String, ValueType> {
    let mut scope = Scope::default();
    if let Some(graph) = &model.graph {
        let left = Cell::new(MAX_VISITS);
        let context = Context { model, calls: 0, left: &left };
        scope.declare(graph);
        context.nodes(&graph.node, &mut scope);
    }
    scope.types
}

struct Context<'a> {
    model: &'a ModelProto,
    calls: usize,
    /// Nodes that may still be looked at.
    left: &'a Cell<u32>,
}

impl Context<'_> {
    fn nodes(&self, nodes: &[NodeProto], scope: &mut Scope<'_>) {
        for node in nodes {
            let Some(left) = self.left.get().checked_sub(1) else { return };
            self.left.set(left);
            if let Some(value) = attribute(node, "value").and_then(|found| found.t.as_deref())
                && node.op_type() == "Constant"
                && let Some(output) = node.output.first()
            {
                scope.constant(output, value);
                continue;
            }
            if let Some(ty) = sequences::taken(node, scope)
                && let Some(output) = node.output.first()
            {
                scope.set(output, ty);
                continue;
            }
            let known = |scope: &Scope<'_>, name: &String| {
                let dims = scope.ty(name).and_then(|ty| ty.dims.as_ref());
                name.is_empty() || dims.is_some_and(|dims| !dims.contains(&Dim::Unknown))
            };
            if !node.output.iter().all(|name| known(scope, name)) {
                for (name, ty) in node.output.iter().zip(self.outputs(node, scope)) {
                    if let Some(ty) = ty.filter(|_| !name.is_empty()) {
                        scope.set(name, ty);
                    }
                }
            }
            fold(node, scope);
        }
    }

    fn outputs(&self, node: &NodeProto, scope: &Scope<'_>) -> Vec<Option<ValueType>> {
        if let Some(function) = self.function(node) {
            return self.call(function, node, scope);
        }
        match node.op_type() {
            "If" => self.branches(node, scope),
            "Loop" => self.looped(node, scope),
            "Scan" => self.scanned(node, scope),
            _ => {
                let at = At { node, scope };
                let shapes = shapes::shapes(&at);
                let elements = elements::elements(&at);
                let shaped = elements.into_iter().enumerate();
                shaped
                    .map(|(at, dtype)| {
                        dtype.map(|dtype| ValueType::of(dtype, shapes.get(at).cloned().flatten()))
                    })
                    .collect()
            }
        }
    }

    fn function(&self, node: &NodeProto) -> Option<&FunctionProto> {
        self.model.functions.iter().find(|function| calls(node, function))
    }

    fn call(&self, function: &FunctionProto, node: &NodeProto, scope: &Scope<'_>) -> Vec<Option<ValueType>> {
        if self.calls == MAX_CALLS || self.left.get() == 0 {
            return Vec::new();
        }
        let mut inner = Scope::default();
        for (formal, actual) in function.input.iter().zip(&node.input) {
            if let Some(ty) = scope.ty(actual) {
                inner.set(formal, ty.clone());
            }
            if let Some(ints) = scope.ints(actual) {
                inner.set_ints(formal, ints.to_vec());
            }
        }
        let bound = function.node.iter().map(|inner| bind(inner, node, function)).collect::<Vec<_>>();
        Context { calls: self.calls + 1, ..*self }.nodes(&bound, &mut inner);
        function.output.iter().map(|output| inner.ty(output).cloned()).collect()
    }

    /// The types of a body's outputs.
    fn body(
        &self,
        graph: &GraphProto,
        inputs: Vec<Option<ValueType>>,
        scope: &Scope<'_>,
    ) -> Vec<Option<ValueType>> {
        let mut inner = Scope::within(scope);
        for (input, ty) in graph.input.iter().zip(inputs) {
            if let Some(ty) = ty {
                inner.types.insert(input.name().to_owned(), ty);
            }
        }
        inner.declare(graph);
        self.nodes(&graph.node, &mut inner);
        graph.output.iter().map(|output| inner.ty(output.name()).cloned()).collect()
    }

    fn branches(&self, node: &NodeProto, scope: &Scope<'_>) -> Vec<Option<ValueType>> {
        let branch = |name| {
            let graph = attribute(node, name).and_then(|found| found.g.as_deref());
            graph.map(|graph| self.body(graph, Vec::new(), scope)).unwrap_or_default()
        };
        let (then, otherwise) = (branch("then_branch"), branch("else_branch"));
        let both = then.into_iter().zip(otherwise);
        both.map(|(a, b)| {
            let (a, b) = (a?, b?);
            let dims = if a.dims == b.dims { a.dims } else { None };
            (a.dtype == b.dtype).then(|| ValueType::of(a.dtype, dims))
        })
        .collect()
    }

    fn looped(&self, node: &NodeProto, scope: &Scope<'_>) -> Vec<Option<ValueType>> {
        let Some(body) = attribute(node, "body").and_then(|found| found.g.as_deref()) else {
            return Vec::new();
        };
        // What is carried from turn to turn may change its shape.
        let carried = node.input.iter().skip(2).map(|name| scope.ty(name).map(|ty| ValueType::any(ty.dtype)));
        let carried: Vec<_> = carried.collect();
        let mut inputs =
            vec![Some(ValueType::of(DType::I64, Some(Vec::new()))), Some(ValueType::any(DType::Bool))];
        inputs.extend(carried.iter().cloned());
        let given = self.body(body, inputs, scope).into_iter().skip(1).enumerate();
        given
            .map(
                |(at, ty)| {
                    if at < carried.len() { ty.map(|ty| ValueType::any(ty.dtype)) } else { stacked(ty) }
                },
            )
            .collect()
    }

    fn scanned(&self, node: &NodeProto, scope: &Scope<'_>) -> Vec<Option<ValueType>> {
        let Some(body) = attribute(node, "body").and_then(|found| found.g.as_deref()) else {
            return Vec::new();
        };
        // Neither what is carried from turn to turn nor what is stacked has a shape that is told here.
        let inputs = node.input.iter().map(|name| scope.ty(name).map(|ty| ValueType::any(ty.dtype)));
        let given = self.body(body, inputs.collect(), scope).into_iter();
        given.map(|ty| ty.map(|ty| ValueType::any(ty.dtype))).collect()
    }
}

/// One more dimension in front: one entry for each turn.
fn stacked(ty: Option<ValueType>) -> Option<ValueType> {
    let ty = ty?;
    let dims = ty.dims.map(|dims| std::iter::once(Dim::Unknown).chain(dims).collect());
    Some(ValueType::of(ty.dtype, dims))
}

/// A function's node with the attributes that its call gives.
fn bind(inner: &NodeProto, call: &NodeProto, function: &FunctionProto) -> NodeProto {
    let mut bound = inner.clone();
    bound.attribute.retain_mut(|own| {
        let Some(wanted) = own.ref_attr_name.take() else { return true };
        let given = call.attribute.iter().chain(&function.attribute_proto);
        match given.into_iter().find(|found| found.name() == wanted) {
            Some(found) => {
                *own = AttributeProto { name: own.name.take(), ..found.clone() };
                true
            }
            None => false,
        }
    });
    bound
}

pub(crate) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// Keeps track of small integers, and of sizes, through the operators that exporters compute shapes with.
fn fold(node: &NodeProto, scope: &mut Scope<'_>) {
    let Some(output) = node.output.first() else { return };
    let at = At { node, scope };
    if let Some(ints) = folded(&at, |at, input| at.constant(input).map(<[i64]>::to_vec), shape_ints) {
        scope.set_ints(output, ints);
    } else if let Some(sizes) = folded(&at, |at, input| at.sizes(input), shape_sizes) {
        scope.set_sizes(output, sizes);
    }
}

/// The entries of a value, from those of what a node takes.
fn folded<T: Clone>(
    at: &At<'_>,
    of: impl Fn(&At<'_>, usize) -> Option<Vec<T>>,
    shape: impl Fn(&At<'_>) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    let entries = match at.node.op_type() {
        "Constant" | "Shape" => shape(at)?,
        "Identity" | "Cast" | "Unsqueeze" | "Squeeze" => of(at, 0)?,
        "Concat" => (0..at.node.input.len()).map(|input| of(at, input)).collect::<Option<Vec<_>>>()?.concat(),
        "Gather" => {
            let (data, places) = (of(at, 0)?, at.constant(1)?);
            let pick = |&place: &i64| {
                let place = if place < 0 { place + data.len() as i64 } else { place };
                data.get(usize::try_from(place).ok()?).cloned()
            };
            places.iter().map(pick).collect::<Option<_>>()?
        }
        "Slice" => {
            let (data, from, to) = (of(at, 0)?, at.constant(1)?, at.constant(2)?);
            let place = |place: i64| {
                let place = if place < 0 { place.saturating_add(data.len() as i64) } else { place };
                place.clamp(0, data.len() as i64) as usize
            };
            let (&[from], &[to], false) = (from, to, at.has(4)) else { return None };
            data.get(place(from)..place(to))?.to_vec()
        }
        _ => return None,
    };
    (entries.len() <= 64).then_some(entries)
}

fn shape_sizes(at: &At<'_>) -> Option<Vec<Dim>> {
    let dims = at.dims(0)?;
    Some(dims[shapes::shape_range(at, dims.len())].to_vec())
}

fn shape_ints(at: &At<'_>) -> Option<Vec<i64>> {
    if at.node.op_type() == "Constant" {
        let many = at.ints("value_ints").filter(|ints| !ints.is_empty()).map(<[i64]>::to_vec);
        return many.or_else(|| at.int("value_int").map(|int| vec![int]));
    }
    let sizes = shape_sizes(at)?;
    let fixed = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).ok(),
        _ => None,
    };
    sizes.iter().map(fixed).collect()
}

#[cfg(test)]
mod tests {
    use onnx_graph::proto::{Dimension, DimensionValue, TensorShapeProto, TensorType, TypeProto};
    use onnx_graph::proto::{TypeValue, ValueInfoProto};

    use super::*;

    fn input(name: &str, dtype: DType, dims: &[i64]) -> ValueInfoProto {
        let dim = |&size: &i64| Dimension { value: Some(DimensionValue::DimValue(size)), denotation: None };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = TensorType { elem_type: Some(dtype.onnx_code()), shape };
        let r#type = Some(TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None });
        ValueInfoProto { name: Some(name.to_owned()), r#type, ..ValueInfoProto::default() }
    }

    /// What one node gives, as element types and ranks, from inputs of these types.
    #[track_caller]
    fn check(op: &str, code: Option<(&str, DType)>, inputs: &[DType], expected: &[(DType, Option<usize>)]) {
        let names: Vec<String> = (0..inputs.len()).map(|at| format!("i{at}")).collect();
        let outputs: Vec<String> = (0..expected.len()).map(|at| format!("o{at}")).collect();
        let attribute = code.map(|(name, dtype)| AttributeProto {
            name: Some(name.to_owned()),
            i: Some(dtype.onnx_code().into()),
            ..AttributeProto::default()
        });
        let node = NodeProto {
            op_type: Some(op.to_owned()),
            input: names.clone(),
            output: outputs.clone(),
            attribute: attribute.into_iter().collect(),
            ..NodeProto::default()
        };
        let input = names.iter().zip(inputs).map(|(name, &dtype)| input(name, dtype, &[2, 3])).collect();
        let graph = GraphProto { node: vec![node], input, ..GraphProto::default() };
        let found = types(&ModelProto { graph: Some(graph), ..ModelProto::default() });
        let found: Vec<_> = outputs
            .iter()
            .map(|name| found.get(name).map(|ty| (ty.dtype, ty.dims.as_ref().map(Vec::len))))
            .collect();
        assert_eq!(found, expected.iter().copied().map(Some).collect::<Vec<_>>(), "{op}");
    }

    #[test]
    fn element_types_that_are_easily_mistaken() {
        check("StringNormalizer", None, &[DType::String], &[(DType::String, None)]);
        let half = Some(("output_datatype", DType::F16));
        for op in ["HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"] {
            check(op, None, &[DType::I64], &[(DType::F32, None)]);
            check(op, half, &[DType::I64], &[(DType::F16, None)]);
        }
        let embedded = [(DType::F16, Some(3)), (DType::I32, Some(1)), (DType::F16, Some(3))];
        check("EmbedLayerNormalization", None, &[DType::I32, DType::I32, DType::F16], &embedded);
        check("RandomNormalLike", Some(("dtype", DType::F16)), &[DType::F32], &[(DType::F16, Some(2))]);
    }
}
