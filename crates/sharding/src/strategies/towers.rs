//! Finds parts that depend on different inputs: the towers of a model, and what joins them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cut::{Study, total};
use crate::graph::{NodeId, Origin};

/// A tower with less than this share of the model's work is a part of what it goes into: one in twenty.
const SMALLEST: u64 = 20;

/// Towers that a node stands on, by number.
type Set = BTreeSet<usize>;

/// The parts: each a set of towers with the live nodes that stand on exactly these. Fewer than two if the model is all
/// of one piece.
pub(super) fn towers(study: &Study<'_>) -> BTreeMap<Set, Vec<NodeId>> {
    let mut groups = group_inputs(study);
    loop {
        let parts = assign(study, &groups);
        // A tower that hardly computes is merged with the one that it first meets.
        let work = |nodes: &Vec<NodeId>| {
            total(nodes.iter().map(|&node| study.costs.work[study.order.position[node]]))
        };
        let whole = total(study.costs.work.iter().copied());
        let small = parts.iter().find(|(set, nodes)| {
            let joins =
                parts.keys().any(|other| other.len() > 1 && set.iter().all(|tower| other.contains(tower)));
            set.len() == 1 && joins && work(nodes).saturating_mul(SMALLEST) < whole
        });
        let Some((set, _)) = small else { return parts };
        let tower = set.iter().next().copied().unwrap_or(0);
        let with = parts.keys().find(|other| other.len() > 1 && other.contains(&tower));
        let mate = with.and_then(|other| other.iter().copied().find(|&other| other != tower));
        let Some(mate) = mate else { return parts };
        for group in groups.values_mut().filter(|group| **group == tower) {
            *group = mate;
        }
    }
}

/// Which inputs belong together: those that meet before anything heavy was computed from them.
fn group_inputs(study: &Study<'_>) -> BTreeMap<usize, usize> {
    let graph = &study.graph;
    let mut groups: BTreeMap<usize, usize> = graph.inputs.iter().map(|&input| (input, input)).collect();
    // For each node: the inputs that it depends on, and whether anything heavy lies between.
    let mut raw: Vec<Set> = vec![Set::new(); graph.nodes.len()];
    let mut heavy: Vec<bool> = vec![false; graph.nodes.len()];
    for &node in &study.order.nodes {
        let mut all = Set::new();
        let mut light = Set::new();
        let mut any_heavy = false;
        for &value in &graph.nodes[node].inputs {
            match graph.values[value].origin {
                Origin::Input => {
                    all.insert(value);
                    light.insert(value);
                }
                Origin::Node(before) => {
                    all.extend(&raw[before]);
                    any_heavy |= heavy[before];
                    if !heavy[before] {
                        light.extend(&raw[before]);
                    }
                }
                Origin::Weight(_) => {}
            }
        }
        if study.computes(node) {
            // Whatever goes into one product without a product before is of one kind.
            let joined = if any_heavy { &light } else { &all };
            join(&mut groups, joined);
        }
        heavy[node] = any_heavy || study.computes(node);
        raw[node] = all;
    }
    // Inputs that never go into a product of their own, such as masks, belong to the first part that they meet.
    settle(study, &raw, &heavy, &mut groups);
    groups
}

fn join(groups: &mut BTreeMap<usize, usize>, inputs: &Set) {
    let Some(first) = inputs.iter().next().and_then(|input| groups.get(input).copied()) else { return };
    for input in inputs {
        let old = groups.get(input).copied();
        groups.values_mut().filter(|group| Some(**group) == old).for_each(|group| *group = first);
    }
}

/// Gives inputs that reach no product alone to the group of the first heavy value that they are joined with.
fn settle(study: &Study<'_>, raw: &[Set], heavy: &[bool], groups: &mut BTreeMap<usize, usize>) {
    let graph = &study.graph;
    let mut seeded: Set = Set::new();
    for &node in &study.order.nodes {
        if study.computes(node) && !graph.predecessors(node).any(|before| heavy[before]) {
            seeded.extend(&raw[node]);
        }
    }
    for &node in &study.order.nodes {
        let values = &graph.nodes[node].inputs;
        let side = |value: usize| match graph.values[value].origin {
            Origin::Input => Some((Set::from([value]), false)),
            Origin::Node(before) => Some((raw[before].clone(), heavy[before])),
            Origin::Weight(_) => None,
        };
        let sides: Vec<(Set, bool)> = values.iter().filter_map(|&value| side(value)).collect();
        let Some(home) = sides
            .iter()
            .find(|(_, heavy)| *heavy)
            .and_then(|(set, _)| set.iter().find(|input| seeded.contains(input)).copied())
        else {
            continue;
        };
        for (set, _) in sides.iter().filter(|(_, heavy)| !heavy) {
            for &input in set.iter().filter(|input| !seeded.contains(input)) {
                join(groups, &Set::from([home, input]));
            }
            seeded.extend(set);
        }
    }
}

/// The towers that each node stands on. What does not yet compute goes where it is used.
fn assign(study: &Study<'_>, groups: &BTreeMap<usize, usize>) -> BTreeMap<Set, Vec<NodeId>> {
    let graph = &study.graph;
    let mut on: Vec<Set> = vec![Set::new(); graph.nodes.len()];
    for &node in &study.order.nodes {
        let mut set = Set::new();
        for &value in &graph.nodes[node].inputs {
            match graph.values[value].origin {
                Origin::Input => set.extend(groups.get(&value)),
                Origin::Node(before) => set.extend(on[before].iter().copied()),
                Origin::Weight(_) => {}
            }
        }
        on[node] = set;
    }
    let mut parts: BTreeMap<Set, Vec<NodeId>> = BTreeMap::new();
    for &node in &study.order.nodes {
        parts.entry(std::mem::take(&mut on[node])).or_default().push(node);
    }
    parts
}
