//! Caches: inputs whose next value an output gives.

use std::collections::HashSet;

use onnx_graph::proto::{ModelProto, NodeProto};

use super::{Graph, NodeId, ValueId};

/// One cache tensor of a model that is called step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The input that takes the cache.
    pub(crate) past: ValueId,
    /// The output that gives it back for the next step.
    pub(crate) present: ValueId,
    /// The dimension along which it grows, where it does.
    pub(crate) axis: Option<usize>,
}

/// Fused operators with a cache: name, input of the past, output of the present. All grow along dimension 2.
const FUSED: [(&str, usize, usize); 7] = [
    ("GroupQueryAttention", 3, 1),
    ("GroupQueryAttention", 4, 2),
    ("MultiHeadAttention", 6, 1),
    ("MultiHeadAttention", 7, 2),
    ("Attention", 4, 1),
    ("Attention", 5, 2),
    ("TensorScatter", 0, 0),
];

/// The caches of a model, in the order of its inputs. Found by structure; by name only where the structure is hidden
/// in a subgraph, and then only if the one depends on the other.
pub(crate) fn states(graph: &Graph, model: &ModelProto) -> Vec<State> {
    let nodes = model.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    let mut found: Vec<State> = Vec::new();
    for &past in &graph.inputs {
        let taken = |present: ValueId| found.iter().any(|state| state.present == present);
        let mut outputs = graph.outputs.iter().copied().filter(|&output| !taken(output));
        let by_structure = outputs.clone().find_map(|present| {
            let axis = handed_on(graph, nodes, past, present)?;
            Some(State { past, present, axis })
        });
        let state = by_structure.or_else(|| {
            let named =
                outputs.find(|&output| alike(&graph.values[past].name, &graph.values[output].name))?;
            depends(graph, named, past).then_some(State { past, present: named, axis: Some(2) })
        });
        found.extend(state);
    }
    found
}

/// Whether a node takes the one and gives the other as a cache; then the dimension along which it grows.
fn handed_on(graph: &Graph, nodes: &[NodeProto], past: ValueId, present: ValueId) -> Option<Option<usize>> {
    let mut value = present;
    let mut node = graph.live_producer(value)?;
    // Exporters put an Identity between a cache and its output to give it its name.
    while &*graph.nodes[node].op == "Identity" {
        value = *graph.nodes[node].inputs.first()?;
        node = graph.live_producer(value)?;
    }
    let (proto, past) = (&nodes[node], &*graph.values[past].name);
    let takes = |at: usize| proto.input.get(at).is_some_and(|name| name == past);
    let gives = |at: usize| proto.output.get(at).is_some_and(|name| **name == *graph.values[value].name);
    let attribute = |name: &str| proto.attribute.iter().find(|attribute| attribute.name() == name)?.i;
    match proto.op_type() {
        "Concat" if takes(0) => {
            let rank = graph.values[value].ty.as_ref()?.dims.as_ref()?.len();
            let axis = attribute("axis")?;
            let from_front = if axis < 0 { axis + rank as i64 } else { axis };
            Some(usize::try_from(from_front).ok())
        }
        "ScatterND" | "ScatterElements" if takes(0) => Some(None),
        operator => FUSED
            .iter()
            .any(|&(name, input, output)| name == operator && takes(input) && gives(output))
            .then_some(if operator == "TensorScatter" { None } else { Some(2) }),
    }
}

/// Whether two names are those of one cache before and after: `past_key_values.0.key` and `present.0.key`.
fn alike(past: &str, present: &str) -> bool {
    let rest = |name: &str, words: &[&str]| {
        let name = name.to_ascii_lowercase();
        words
            .iter()
            .find_map(|word| Some(name.strip_prefix(word)?.trim_start_matches(['.', '_', '/']).to_owned()))
    };
    let past = rest(past, &["past_key_values", "past_key_value", "past", "cache_in"]);
    let present = rest(present, &["present_key_values", "present_key_value", "present", "cache_out"]);
    past.is_some() && past == present
}

fn depends(graph: &Graph, output: ValueId, input: ValueId) -> bool {
    let mut seen: HashSet<NodeId> = HashSet::new();
    let mut open: Vec<NodeId> = graph.live_producer(output).into_iter().collect();
    while let Some(node) = open.pop() {
        if graph.nodes[node].inputs.contains(&input) {
            return true;
        }
        open.extend(graph.predecessors(node).filter(|&before| seen.insert(before)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_cache_before_and_after() {
        assert!(alike("past_key_values.3.key", "present.3.key"));
        assert!(alike("past_0", "present_0"));
        assert!(!alike("past_key_values.3.key", "present.3.value"));
        assert!(!alike("input_ids", "logits"));
    }
}
