//! One fixed order of the live nodes, in which what belongs together stands together.
//!
//! Files order nodes as their exporter saw them; some put masks and rotations first, some mix branches. Walking back
//! from the outputs, depth first and input by input, gives the same order for the same structure however the file is
//! ordered: each branch stands as a whole before what joins it, and layers that are alike are ordered alike. What only
//! a lesser output needs is put right behind what it is made of, so that a layer's cache stays with the layer.

use super::{Graph, NodeId, Role};

/// The live nodes in order, and where each stands.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) nodes: Vec<NodeId>,
    /// By number of the node; `usize::MAX` for those that are not live.
    pub(crate) position: Vec<usize>,
}

impl Order {
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut roots: Vec<(usize, NodeId)> = Vec::new();
        for &output in &graph.outputs {
            if let Some(node) = graph.live_producer(output) {
                roots.push((ancestors(graph, node), node));
            }
        }
        // The output that most depends on comes first; among equals, the first.
        roots.sort_by_key(|&(ancestors, _)| std::cmp::Reverse(ancestors));
        let mut seen = vec![false; graph.nodes.len()];
        let mut keyed: Vec<(usize, usize, NodeId)> = Vec::new();
        let mut key = vec![0; graph.nodes.len()];
        for (at, &(_, root)) in roots.iter().enumerate() {
            post_order(graph, root, &mut seen, &mut |node| {
                let behind = graph.predecessors(node).map(|before| key[before]).max();
                key[node] = if at == 0 { keyed.len() + 1 } else { behind.unwrap_or(0) };
                keyed.push((key[node], keyed.len(), node));
            });
        }
        keyed.sort_unstable();
        let nodes: Vec<NodeId> = keyed.into_iter().map(|(.., node)| node).collect();
        let mut position = vec![usize::MAX; graph.nodes.len()];
        for (at, &node) in nodes.iter().enumerate() {
            position[node] = at;
        }
        Self { nodes, position }
    }
}

fn ancestors(graph: &Graph, root: NodeId) -> usize {
    let mut seen = vec![false; graph.nodes.len()];
    let mut count = 0;
    post_order(graph, root, &mut seen, &mut |_| count += 1);
    count
}

/// Visits what a node depends on and then the node, each once.
fn post_order(graph: &Graph, root: NodeId, seen: &mut [bool], visit: &mut dyn FnMut(NodeId)) {
    if std::mem::replace(&mut seen[root], true) {
        return;
    }
    let mut open = vec![(root, 0)];
    while let Some((node, at)) = open.last_mut() {
        let Some(&value) = graph.nodes[*node].inputs.get(*at) else {
            visit(*node);
            open.pop();
            continue;
        };
        *at += 1;
        if let Some(before) = graph.producer(value)
            && graph.nodes[before].role == Role::Live
            && !std::mem::replace(&mut seen[before], true)
        {
            open.push((before, 0));
        }
    }
}
