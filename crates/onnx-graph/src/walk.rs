//! A visit to every node and every constant of a model, wherever they stand.

use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Called with what there is in a model. The nesting was bounded before.
pub(crate) trait Visitor<'a> {
    fn node(&mut self, _node: &'a NodeProto) {}
    fn constant(&mut self, _constant: &'a TensorProto) {}
}

/// Visits the graph, its subgraphs and the bodies of functions. What serves training only is left out, because no
/// session loads it.
pub(crate) fn walk<'a>(model: &'a ModelProto, visitor: &mut impl Visitor<'a>) {
    model.graph.iter().for_each(|graph| walk_graph(graph, visitor));
    for function in &model.functions {
        walk_nodes(&function.node, visitor);
        walk_attributes(&function.attribute_proto, visitor);
    }
}

fn walk_graph<'a>(graph: &'a GraphProto, visitor: &mut impl Visitor<'a>) {
    graph.initializer.iter().for_each(|constant| visitor.constant(constant));
    for sparse in &graph.sparse_initializer {
        sparse.values.iter().chain(&sparse.indices).for_each(|constant| visitor.constant(constant));
    }
    walk_nodes(&graph.node, visitor);
}

fn walk_nodes<'a>(nodes: &'a [NodeProto], visitor: &mut impl Visitor<'a>) {
    for node in nodes {
        visitor.node(node);
        walk_attributes(&node.attribute, visitor);
    }
}

fn walk_attributes<'a>(attributes: &'a [AttributeProto], visitor: &mut impl Visitor<'a>) {
    for attribute in attributes {
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).for_each(|t| visitor.constant(t));
        for sparse in attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors) {
            sparse.values.iter().chain(&sparse.indices).for_each(|constant| visitor.constant(constant));
        }
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(|g| walk_graph(g, visitor));
    }
}
