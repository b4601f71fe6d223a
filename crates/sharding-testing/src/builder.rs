//! Builds models in a few lines.

use bytes::Bytes;
use onnx_graph::proto::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};

/// A graph in the making; all values are float32.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    graph: GraphProto,
}

impl Builder {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An input; a negative size is an open one, named `d` and its place.
    #[must_use]
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph.input.push(info(name, Some(dims)));
        self
    }

    /// An output, of unknown shape.
    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(info(name, None));
        self
    }

    /// A weight, its data written as `raw_data`.
    #[must_use]
    pub fn weight(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(TensorProto {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(1),
            raw_data: Some(Bytes::from(raw)),
            ..TensorProto::default()
        });
        self
    }

    /// A node without attributes.
    #[must_use]
    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, Vec::new())
    }

    /// A node that joins along an axis.
    #[must_use]
    pub fn concat(self, inputs: &[&str], output: &str, axis: i64) -> Self {
        let axis = AttributeProto {
            name: Some("axis".to_owned()),
            i: Some(axis),
            r#type: Some(AttributeType::Int as i32),
            ..AttributeProto::default()
        };
        self.node_with("Concat", inputs, &[output], vec![axis])
    }

    /// A node that takes one of two bodies.
    #[must_use]
    pub fn branch(self, condition: &str, output: &str, then: Self, otherwise: Self) -> Self {
        let body = |name: &str, body: Self| AttributeProto {
            name: Some(name.to_owned()),
            g: Some(Box::new(body.graph)),
            r#type: Some(AttributeType::Graph as i32),
            ..AttributeProto::default()
        };
        let bodies = vec![body("then_branch", then), body("else_branch", otherwise)];
        self.node_with("If", &[condition], &[output], bodies)
    }

    fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> Self {
        self.graph.node.push(NodeProto {
            op_type: Some(op.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            attribute,
            ..NodeProto::default()
        });
        self
    }

    /// The model, of opset 20.
    #[must_use]
    pub fn build(mut self) -> ModelProto {
        self.graph.name = Some("built".to_owned());
        ModelProto {
            ir_version: Some(9),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(20) }],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

fn info(name: &str, dims: Option<&[i64]>) -> ValueInfoProto {
    let shape = dims.map(|dims| {
        let dim = dims.iter().enumerate().map(|(at, &size)| {
            let value = match size {
                0.. => DimensionValue::DimValue(size),
                _ => DimensionValue::DimParam(format!("d{at}")),
            };
            Dimension { value: Some(value), denotation: None }
        });
        TensorShapeProto { dim: dim.collect() }
    });
    let tensor = TensorType { elem_type: Some(1), shape };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..ValueInfoProto::default() }
}
