//! Finds layers that are alike, by what they compute and not by what they are called.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use onnx_graph::proto::ModelProto;

use super::{Graph, Order, Origin};

/// How many distances are tried at most; the most frequent ones come first.
const PERIODS: usize = 400;

/// A stretch of the order that says the same again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// Where it begins.
    pub(crate) start: usize,
    /// After how many nodes it repeats itself.
    pub(crate) period: usize,
    /// Where what is like its predecessor ends; not always a whole number of periods behind the start.
    pub(crate) end: usize,
}

/// For each node in order, what it computes as a number: operator, attributes, and the shapes of its weights.
pub(crate) fn signatures(graph: &Graph, model: &ModelProto, order: &Order) -> Vec<u64> {
    let protos = model.graph.as_ref().map_or(&[][..], |graph| &graph.node);
    order
        .nodes
        .iter()
        .map(|&node| {
            let mut hash = DefaultHasher::new();
            graph.nodes[node].op.hash(&mut hash);
            for attribute in &protos[node].attribute {
                attribute.name().hash(&mut hash);
                (attribute.i, attribute.f.map(f32::to_bits), &attribute.ints, &attribute.s).hash(&mut hash);
            }
            for &value in &graph.nodes[node].inputs {
                let of = &graph.values[value];
                let kind = match of.origin {
                    Origin::Weight(_) => 0_u8,
                    _ if graph.is_constant(value) => 0,
                    Origin::Input => 1,
                    Origin::Node(_) => 2,
                };
                // An input's place is taken by a value in other layers, such as the first one's.
                (kind == 0).hash(&mut hash);
                if kind == 0 {
                    of.ty.hash(&mut hash);
                }
            }
            hash.finish()
        })
        .collect()
}

/// The stretches that repeat, from the front to the back, none overlapping another.
pub(crate) fn repeats(signatures: &[u64]) -> Vec<Repeat> {
    let mut found = Vec::new();
    search(signatures, 0, &mut found);
    found.sort_by_key(|repeat| repeat.start);
    found
}

fn search(signatures: &[u64], offset: usize, found: &mut Vec<Repeat>) {
    // What is shorter than this is no layer.
    if signatures.len() < 8 {
        return;
    }
    let Some(best) = best(signatures) else { return };
    let Repeat { start, period, end } = best;
    found.push(Repeat { start: start + offset, period, end: end + offset });
    search(&signatures[..start], offset, found);
    search(&signatures[end..], offset + end, found);
}

/// The stretch that covers most; of those that cover nearly as much, the one with the shortest period.
fn best(signatures: &[u64]) -> Option<Repeat> {
    let mut last = BTreeMap::new();
    let mut distances: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, signature) in signatures.iter().enumerate() {
        if let Some(before) = last.insert(signature, at) {
            *distances.entry(at - before).or_default() += 1;
        }
    }
    // Within a layer the same operator stands several times, so that sums of neighbouring distances matter too.
    let counted: Vec<(usize, usize)> = distances.into_iter().collect();
    let mut rare = BTreeMap::new();
    for signature in signatures {
        *rare.entry(signature).or_insert(0_usize) += 1;
    }
    let mut periods: BTreeMap<usize, usize> = counted.into_iter().collect();
    for (signature, count) in rare {
        if (2..=256).contains(&count) {
            let places: Vec<usize> =
                (0..signatures.len()).filter(|&at| signatures[at] == *signature).take(64).collect();
            for skip in 1..=8 {
                for pair in places.windows(skip + 1).take(8) {
                    *periods.entry(pair[skip] - pair[0]).or_default() += 1;
                }
            }
        }
        if periods.len() > 8 * PERIODS {
            break;
        }
    }
    let mut periods: Vec<(usize, usize)> = periods.into_iter().filter(|&(period, _)| period >= 3).collect();
    periods.sort_by_key(|&(period, count)| (std::cmp::Reverse(count), period));
    periods.truncate(PERIODS);
    let runs: Vec<Repeat> =
        periods.into_iter().filter_map(|(period, _)| longest(signatures, period)).collect();
    let most = runs.iter().map(|run| run.end - run.start).max()?;
    runs.into_iter().filter(|run| (run.end - run.start) * 10 >= most * 9).min_by_key(|run| run.period)
}

/// The longest stretch of this period that is at least two periods long.
fn longest(signatures: &[u64], period: usize) -> Option<Repeat> {
    let mut best: Option<Repeat> = None;
    let mut start = 0;
    for at in 0..=signatures.len().saturating_sub(period) {
        let alike = at + period < signatures.len() && signatures[at] == signatures[at + period];
        if !alike {
            let run = Repeat { start, period, end: at + period };
            if at - start >= period && best.is_none_or(|best| best.end - best.start < run.end - run.start) {
                best = Some(run);
            }
            start = at + 1;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, usize, usize)]) {
        let signatures: Vec<u64> = text.bytes().map(u64::from).collect();
        let expected: Vec<Repeat> =
            expected.iter().map(|&(start, period, end)| Repeat { start, period, end }).collect();
        assert_eq!(repeats(&signatures), expected, "{text}");
    }

    #[test]
    fn layers_are_found_between_what_is_not_alike() {
        check("xyabcdabcdabcdzz", &[(2, 4, 14)]);
        check("abcaadabcaadabcaad", &[(0, 6, 18)]);
    }

    #[test]
    fn two_kinds_of_layers_are_two_stretches() {
        check("mabcdabcdabcdabcdnuvwxyuvwxyo", &[(1, 4, 17), (18, 5, 28)]);
    }

    #[test]
    fn what_does_not_repeat_is_no_layer() {
        check("abcdefghijklmnop", &[]);
        check("ababab", &[]);
    }
}
