//! Small models, put together from the same messages that the reader uses.

#![allow(dead_code, reason = "every test binary uses another part of this")]

use onnx_graph::proto::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto,
    TypeValue, ValueInfoProto,
};

pub(crate) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A value of an ONNX element type; a dimension is a number, a name, or `?`.
pub(crate) fn value(name: &str, code: i32, dims: &[&str]) -> ValueInfoProto {
    let dim = |dim: &&str| match (dim.parse(), *dim) {
        (Ok(size), _) => Some(DimensionValue::DimValue(size)),
        (_, "?") => None,
        (_, name) => Some(DimensionValue::DimParam(name.to_owned())),
    };
    let dim = dims.iter().map(|text| Dimension { value: dim(text), denotation: None }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor = TypeValue::TensorType(TensorType { elem_type: Some(code), shape });
    let r#type = Some(TypeProto { value: Some(tensor), denotation: None });
    ValueInfoProto { name: text(name), r#type, ..ValueInfoProto::default() }
}

pub(crate) fn node(operator: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        op_type: text(operator),
        input: input.iter().map(|&name| name.to_owned()).collect(),
        output: output.iter().map(|&name| name.to_owned()).collect(),
        ..NodeProto::default()
    }
}

/// A float constant with its data in `raw_data`.
pub(crate) fn constant(name: &str, dims: &[i64]) -> TensorProto {
    let bytes = 4 * dims.iter().product::<i64>() as usize;
    TensorProto {
        name: text(name),
        dims: dims.to_vec(),
        data_type: Some(1),
        raw_data: Some(vec![0; bytes].into()),
        ..TensorProto::default()
    }
}

/// A float constant of another file.
pub(crate) fn external(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: text(key), value: text(value) };
    TensorProto {
        name: text(name),
        dims: dims.to_vec(),
        data_type: Some(1),
        external_data: entries.iter().map(entry).collect(),
        data_location: Some(1),
        ..TensorProto::default()
    }
}

pub(crate) fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: text(domain), version: Some(version) }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![opset("", 20)],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// `y = x · w + b`, with a branch that uses `w` of the graph around it.
pub(crate) fn graph() -> GraphProto {
    let branch = GraphProto {
        node: vec![node("MatMul", &["x", "w"], &["z"])],
        output: vec![value("z", 1, &["batch", "2"])],
        ..GraphProto::default()
    };
    let then = |name: &str| AttributeProto {
        name: text(name),
        g: Some(Box::new(branch.clone())),
        r#type: Some(AttributeType::Graph.into()),
        ..AttributeProto::default()
    };
    let mut choose = node("If", &["which"], &["product"]);
    choose.attribute = vec![then("then_branch"), then("else_branch")];
    GraphProto {
        name: text("main"),
        input: vec![value("x", 1, &["batch", "3"]), value("which", 9, &[]), value("w", 1, &["3", "2"])],
        initializer: vec![constant("w", &[3, 2]), constant("b", &[2])],
        node: vec![choose, node("Add", &["product", "b"], &["y"])],
        output: vec![value("y", 1, &["batch", "2"])],
        ..GraphProto::default()
    }
}
