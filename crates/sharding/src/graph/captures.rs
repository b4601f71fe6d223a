//! What the bodies of If, Loop and Scan take from the graph around them.

use std::collections::HashSet;

use onnx_graph::proto::{GraphProto, NodeProto};

/// The names that the subgraphs of a node use and do not define, each once, in the order of their first use.
pub(crate) fn captures(node: &NodeProto) -> Vec<&str> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for graph in subgraphs(node) {
        free(graph, &mut |name| {
            if seen.insert(name) {
                found.push(name);
            }
        });
    }
    found
}

/// The graphs that a node holds.
pub(crate) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

/// Hands every name on that a graph uses and does not define before.
fn free<'a>(graph: &'a GraphProto, found: &mut dyn FnMut(&'a str)) {
    let inputs = graph.input.iter().map(|input| input.name());
    let constants = graph.initializer.iter().map(|constant| constant.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let mut defined: HashSet<&str> =
        inputs.chain(constants).chain(sparse.map(|values| values.name())).collect();
    for node in &graph.node {
        for name in node.input.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            if !defined.contains(name) {
                found(name);
            }
        }
        for inner in subgraphs(node) {
            free(inner, &mut |name| {
                if !defined.contains(name) {
                    found(name);
                }
            });
        }
        defined.extend(node.output.iter().map(String::as_str));
    }
    for output in graph.output.iter().map(|output| output.name()) {
        if !defined.contains(output) {
            found(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use onnx_graph::proto::{AttributeProto, ValueInfoProto};

    use super::*;

    fn node(inputs: &[&str], output: &str, body: Option<GraphProto>) -> NodeProto {
        let body = body.map(|g| AttributeProto { g: Some(Box::new(g)), ..AttributeProto::default() });
        NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: body.into_iter().collect(),
            ..NodeProto::default()
        }
    }

    fn body(nodes: Vec<NodeProto>, output: &str) -> GraphProto {
        let output = vec![ValueInfoProto { name: Some(output.to_owned()), ..ValueInfoProto::default() }];
        GraphProto { node: nodes, output, ..GraphProto::default() }
    }

    #[test]
    fn nested_bodies_give_what_no_body_defines() {
        let inner = body(vec![node(&["outer", "middle"], "deep", None)], "far");
        let middle = body(
            vec![node(&["other", ""], "middle", None), node(&["middle"], "result", Some(inner))],
            "result",
        );
        assert_eq!(captures(&node(&["condition"], "y", Some(middle))), ["other", "outer", "far"]);
    }

    #[test]
    fn a_body_may_give_what_it_only_passes_on() {
        assert_eq!(captures(&node(&["condition"], "y", Some(body(vec![], "x")))), ["x"]);
    }
}
