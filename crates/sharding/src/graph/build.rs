//! From the file's messages to numbers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use onnx_graph::proto::{ModelProto, NodeProto};
use onnx_graph::qualified;

use super::captures::subgraphs;
use super::{Graph, Node, NodeId, Origin, Role, Value, ValueId, captures, weight_bytes};

/// Operators that draw at random: two copies of one give two different values, so they are no constants.
const RANDOM: [&str; 6] =
    ["RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"];

impl Graph {
    /// The main graph of a model that was checked. Values have no types yet.
    pub(crate) fn build(model: &ModelProto) -> Self {
        let mut graph = Self {
            nodes: Vec::new(),
            values: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            by_name: HashMap::new(),
        };
        let Some(proto) = &model.graph else { return graph };
        for weight in &proto.initializer {
            graph.value(weight.name(), Origin::Weight(weight_bytes(weight)));
        }
        for sparse in &proto.sparse_initializer {
            if let Some(values) = &sparse.values {
                let bytes = weight_bytes(values) + sparse.indices.as_ref().map_or(0, weight_bytes);
                graph.value(values.name(), Origin::Weight(bytes));
            }
        }
        for input in &proto.input {
            if !graph.by_name.contains_key(input.name()) {
                let value = graph.value(input.name(), Origin::Input);
                graph.inputs.push(value);
            }
        }
        for (at, node) in proto.node.iter().enumerate() {
            graph.add(at, node);
        }
        for output in &proto.output {
            let value = graph.by_name[output.name()];
            graph.values[value].is_output = true;
            graph.outputs.push(value);
        }
        graph.assign_roles(model);
        graph
    }

    fn value(&mut self, name: &str, origin: Origin) -> ValueId {
        let name: Arc<str> = name.into();
        let value = self.values.len();
        self.by_name.insert(Arc::clone(&name), value);
        self.values.push(Value { name, origin, consumers: Vec::new(), is_output: false, ty: None });
        value
    }

    fn add(&mut self, at: NodeId, node: &NodeProto) {
        let taken = node.input.iter().map(String::as_str).filter(|name| !name.is_empty());
        let mut inputs: Vec<ValueId> = Vec::new();
        for name in taken.chain(captures(node)) {
            // A name that is not there was refused by the check of the model.
            if let Some(&value) = self.by_name.get(name)
                && !inputs.contains(&value)
            {
                inputs.push(value);
                self.values[value].consumers.push(at);
            }
        }
        let given = node.output.iter().filter(|name| !name.is_empty());
        let outputs = given.map(|name| self.value(name, Origin::Node(at))).collect();
        let op = qualified(node).into();
        self.nodes.push(Node { op, name: node.name().into(), inputs, outputs, role: Role::Dead });
    }

    /// Walks back from the outputs to what is needed, and forward from the inputs to what can change.
    fn assign_roles(&mut self, model: &ModelProto) {
        let mut needed = BTreeSet::new();
        let mut open: Vec<NodeId> = self.outputs.iter().filter_map(|&value| self.producer(value)).collect();
        while let Some(node) = open.pop() {
            if needed.insert(node) {
                open.extend(self.nodes[node].inputs.iter().filter_map(|&value| self.producer(value)));
            }
        }
        let random = random_functions(model);
        for node in needed {
            // Nodes are in topological order, so the roles of what a node takes are known.
            let changes = self.nodes[node].inputs.iter().any(|&value| !self.is_constant(value));
            let proto = model.graph.as_ref().map(|graph| &graph.node[node]);
            let draws = proto.is_some_and(|proto| draws(proto, &random));
            self.nodes[node].role = if changes || draws { Role::Live } else { Role::Constant };
        }
    }
}

/// Whether a node draws at random, itself or within what it holds.
fn draws(node: &NodeProto, random: &BTreeSet<&str>) -> bool {
    RANDOM.contains(&node.op_type())
        || random.contains(node.op_type())
        || subgraphs(node).any(|graph| graph.node.iter().any(|inner| draws(inner, random)))
}

/// The names of the model's functions that draw at random, directly or through others.
fn random_functions(model: &ModelProto) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for function in &model.functions {
            if function.node.iter().any(|node| draws(node, &found)) {
                found.insert(function.name());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
