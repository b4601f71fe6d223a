//! Tells components apart by what exporters call them.

use std::collections::BTreeMap;

use crate::cut::Study;
use crate::graph::NodeId;

/// What components are called.
const WORDS: [&str; 14] = [
    "encoder",
    "decoder",
    "text_model",
    "vision_model",
    "text",
    "vision",
    "audio",
    "image",
    "backbone",
    "neck",
    "fusion",
    "unet",
    "vae",
    "detr",
];

/// The components by name, in the order in which they first occur; nodes without such a name go with the one that they
/// follow. Fewer than two where names tell nothing.
pub(super) fn named(study: &Study<'_>) -> Vec<(String, Vec<NodeId>)> {
    let words: Vec<Option<&'static str>> =
        study.order.nodes.iter().map(|&node| word(&study.graph.nodes[node].name)).collect();
    let mut found: Vec<(String, Vec<NodeId>)> = Vec::new();
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    let mut label: Vec<Option<&'static str>> = vec![None; study.graph.nodes.len()];
    let first = words.iter().flatten().next().copied();
    for (&node, word) in study.order.nodes.iter().zip(&words) {
        let behind = || {
            let before = study.graph.predecessors(node).filter(|&before| label[before].is_some());
            before.max_by_key(|&before| study.order.position[before]).and_then(|before| label[before])
        };
        let Some(own) = word.or_else(behind).or(first) else { return Vec::new() };
        label[node] = Some(own);
        let at = *place.entry(own).or_insert_with(|| {
            found.push((own.to_owned(), Vec::new()));
            found.len() - 1
        });
        found[at].1.push(node);
    }
    // A word that hardly any node carries names no component.
    let total = study.order.nodes.len();
    let strong = found
        .iter()
        .all(|(_, nodes)| nodes.len() * 20 >= total && nodes.iter().any(|&node| study.computes(node)));
    if strong { found } else { Vec::new() }
}

/// The component that a node's name tells: `/model/decoder/layers.0/MatMul` is in `decoder`.
fn word(name: &str) -> Option<&'static str> {
    let mut segments = name.split(['/', '.']).filter(|segment| !segment.is_empty());
    segments.find_map(|segment| WORDS.into_iter().find(|word| segment.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_in_a_name_counts() {
        assert_eq!(word("/model/decoder/layers.0/encoder_attn/MatMul"), Some("decoder"));
        assert_eq!(word("text_model.encoder.layers.0"), Some("text_model"));
        assert_eq!(word("/encoderless/Add"), None);
        assert_eq!(word(""), None);
    }
}
