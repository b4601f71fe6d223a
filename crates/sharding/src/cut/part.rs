//! From the nodes of a stage to a model of its own.

use std::collections::{BTreeSet, HashSet};

use onnx_graph::calls;
use onnx_graph::proto::{
    Dimension, DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto, TensorShapeProto,
    TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use tensor::Dim;

use super::Study;
use crate::graph::{NodeId, ValueId, subgraphs};
use crate::types::ValueType;

/// A stage's model without its weights' data, and what it takes, gives and holds.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) model: ModelProto,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) weights: BTreeSet<ValueId>,
}

/// Takes a stage out of the model: its live nodes, copies of the constant nodes and weights that they need, and nothing
/// else. `outputs` are the values that others want of it; constants may be among them.
pub(crate) fn extract(study: &Study<'_>, live: &[NodeId], outputs: &BTreeSet<ValueId>, name: &str) -> Part {
    let graph = &study.graph;
    let (mut nodes, mut weights) = (BTreeSet::new(), BTreeSet::new());
    let own: HashSet<NodeId> = live.iter().copied().collect();
    let mut inputs = BTreeSet::new();
    for &node in live {
        for &value in &graph.nodes[node].inputs {
            if graph.is_constant(value) {
                graph.cone(value, &mut nodes, &mut weights);
            } else if graph.producer(value).is_none_or(|from| !own.contains(&from)) {
                inputs.insert(value);
            }
        }
    }
    for &value in outputs {
        graph.cone(value, &mut nodes, &mut weights);
    }
    nodes.extend(live);
    let whole = study.proto();
    let Some(main) = &whole.graph else {
        return Part { model: whole.clone(), inputs: Vec::new(), outputs: Vec::new(), weights };
    };
    let node: Vec<NodeProto> = nodes.iter().map(|&node| main.node[node].clone()).collect();
    let is_own_weight = |name: &str| graph.by_name.get(name).is_some_and(|value| weights.contains(value));
    let computed: HashSet<&str> =
        node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
    let inputs: Vec<ValueId> = inputs.into_iter().collect();
    let outputs: Vec<ValueId> = outputs.iter().copied().collect();
    let boundary: HashSet<&str> =
        inputs.iter().chain(&outputs).map(|&value| &*graph.values[value].name).collect();
    // Older files list weights among the inputs too.
    let listed = main.input.iter().filter(|input| is_own_weight(input.name())).cloned();
    let typed = |value: &ValueId| info(study, main, *value);
    let part = GraphProto {
        name: Some(name.to_owned()),
        doc_string: None,
        initializer: main.initializer.iter().filter(|weight| is_own_weight(weight.name())).cloned().collect(),
        sparse_initializer: main
            .sparse_initializer
            .iter()
            .filter(|sparse| sparse.values.as_ref().is_some_and(|values| is_own_weight(values.name())))
            .cloned()
            .collect(),
        input: inputs.iter().map(typed).chain(listed).collect(),
        output: outputs.iter().map(typed).collect(),
        value_info: main
            .value_info
            .iter()
            .filter(|info| computed.contains(info.name()) && !boundary.contains(info.name()))
            .cloned()
            .collect(),
        quantization_annotation: main
            .quantization_annotation
            .iter()
            .filter(|about| computed.contains(about.tensor_name()) || is_own_weight(about.tensor_name()))
            .cloned()
            .collect(),
        metadata_props: main.metadata_props.clone(),
        node: Vec::new(),
    };
    let functions = used_functions(whole, &node);
    let model = ModelProto {
        ir_version: whole.ir_version,
        producer_name: whole.producer_name.clone(),
        producer_version: whole.producer_version.clone(),
        domain: whole.domain.clone(),
        model_version: whole.model_version,
        doc_string: whole.doc_string.clone(),
        graph: Some(GraphProto { node, ..part }),
        opset_import: whole.opset_import.clone(),
        metadata_props: whole.metadata_props.clone(),
        training_info: Vec::new(),
        functions,
        configuration: whole.configuration.clone(),
    };
    Part { model, inputs, outputs, weights }
}

/// How the file types a value, or what follows for it.
fn info(study: &Study<'_>, main: &GraphProto, value: ValueId) -> ValueInfoProto {
    let of = &study.graph.values[value];
    let stated = main.input.iter().chain(&main.output).chain(&main.value_info);
    let ranked = |info: &&ValueInfoProto| {
        let tensor = info.r#type.as_ref().and_then(|ty| ty.value.as_ref());
        matches!(tensor, Some(TypeValue::TensorType(tensor)) if tensor.shape.is_some())
    };
    if let Some(found) = stated.filter(|info| info.name() == &*of.name).find(ranked) {
        return found.clone();
    }
    ValueInfoProto {
        name: Some(of.name.to_string()),
        r#type: of.ty.as_ref().map(type_proto),
        ..ValueInfoProto::default()
    }
}

fn type_proto(ty: &ValueType) -> TypeProto {
    let shape = ty.dims.as_ref().map(|dims| {
        let dim = dims.iter().map(|dim| {
            let value = match dim {
                Dim::Fixed(size) => i64::try_from(*size).ok().map(DimensionValue::DimValue),
                Dim::Symbol(name) => Some(DimensionValue::DimParam(name.to_string())),
                Dim::Unknown => None,
            };
            Dimension { value, denotation: None }
        });
        TensorShapeProto { dim: dim.collect() }
    });
    let tensor = TensorType { elem_type: Some(ty.dtype.onnx_code()), shape };
    TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None }
}

/// The functions that nodes call, and those that these call.
fn used_functions(model: &ModelProto, nodes: &[NodeProto]) -> Vec<FunctionProto> {
    let mut used: BTreeSet<usize> = BTreeSet::new();
    let mut open: Vec<&NodeProto> = nodes.iter().collect();
    while let Some(node) = open.pop() {
        let called = model.functions.iter().enumerate().filter(|(_, function)| calls(node, function));
        for (at, function) in called {
            if used.insert(at) {
                open.extend(&function.node);
            }
        }
        open.extend(subgraphs(node).flat_map(|graph| &graph.node));
    }
    used.into_iter().map(|at| model.functions[at].clone()).collect()
}
