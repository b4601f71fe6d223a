//! `component`: towers and what joins them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::blocks::places;
use super::minmax::divide;
use super::names::named;
use super::towers::towers;
use super::{Misfit, Proposal};
use crate::cut::{Draft, Study, quotient, total};
use crate::graph::NodeId;

pub(super) fn propose(study: &Study<'_>, shards: usize) -> Result<Proposal, Misfit> {
    let (mut components, how) = components(study)?;
    let weight =
        |nodes: &[NodeId]| nodes.iter().map(|&node| study.costs.mass[study.order.position[node]] + 1).sum();
    if components.len() >= shards {
        let weights: Vec<u64> = components.iter().map(|(_, nodes)| weight(nodes)).collect();
        let host = pack(&weights, shards);
        let drafts = components.into_iter().zip(host);
        let drafts = drafts.map(|((label, nodes), shard)| Draft { label, shard, nodes }).collect();
        return Ok(Proposal { notes: vec![how], ..Proposal::new(drafts) });
    }
    // More shards than components: the heaviest piece is cut in two, again and again.
    let kinds: Vec<BTreeSet<usize>> =
        places(study).into_iter().map(|kind| kind.at.into_iter().collect()).collect();
    let mut pieces: Vec<usize> = vec![1; components.len()];
    let mut divided: Vec<Vec<Vec<NodeId>>> =
        components.iter().map(|(_, nodes)| vec![nodes.clone()]).collect();
    let mut most = components.len();
    loop {
        let count: usize = divided.iter().map(Vec::len).sum();
        most = most.max(count);
        if count == shards {
            break;
        }
        let heaviest = |at: usize| divided[at].iter().map(|nodes| weight(nodes)).max().unwrap_or(0_u64);
        let open = (0..components.len()).filter(|&at| divided[at].len() == pieces[at]);
        match open.max_by_key(|&at| heaviest(at)) {
            Some(at) => {
                pieces[at] += 1;
                divided[at] = cut(study, &kinds, &components[at].1, pieces[at]);
            }
            None => return Err(Misfit::TooFewParts { most, wanted: shards }),
        }
    }
    let mut drafts = Vec::new();
    for ((label, _), pieces) in components.drain(..).zip(divided) {
        let several = pieces.len() > 1;
        for (at, nodes) in pieces.into_iter().enumerate() {
            let label = if several { format!("{label} {}", at + 1) } else { label.clone() };
            drafts.push(Draft { label, shard: drafts.len(), nodes });
        }
    }
    Ok(Proposal { notes: vec![how], ..Proposal::new(drafts) })
}

/// Components with their names, in an order in which each depends on earlier ones only.
type Components = Vec<(String, Vec<NodeId>)>;

fn components(study: &Study<'_>) -> Result<(Components, String), Misfit> {
    let parts = towers(study);
    if parts.len() > 1 {
        let named = parts.into_iter().map(|(set, nodes)| {
            let inputs: Vec<&str> = set.iter().map(|&input| &*study.graph.values[input].name).collect();
            let label = if inputs.len() > 1 { "joint".to_owned() } else { inputs.concat() };
            (label, nodes)
        });
        let components = narrow(study, named.collect());
        if sorted(study, &components) {
            return Ok((components, "components depend on different inputs".to_owned()));
        }
    }
    let found = named(study);
    if found.len() > 1 && sorted(study, &found) {
        return Ok((found, "components are told apart by the names of nodes".to_owned()));
    }
    Err(Misfit::OneComponent)
}

fn sorted(study: &Study<'_>, components: &Components) -> bool {
    let drafts: Vec<Draft> = components
        .iter()
        .map(|(label, nodes)| Draft { label: label.clone(), shard: 0, nodes: nodes.clone() })
        .collect();
    quotient(&study.graph, &drafts)
        .is_some_and(|found| found.flows.keys().all(|&value| study.graph.is_sendable(value)))
}

/// Moves the ends of a tower behind its last narrow place: what a decoder makes of an encoder's output for each of its
/// layers depends on the encoder alone, but one tensor is sent instead of two a layer if the decoder makes it.
fn narrow(study: &Study<'_>, mut components: Components) -> Components {
    let Some(last) = components.iter().position(|(label, _)| label == "joint") else { return components };
    for at in 0..components.len() {
        if at == last {
            continue;
        }
        let nodes = components[at].1.clone();
        let leaving = crossing(study, &nodes);
        let many = leaving[nodes.len()];
        // The place nearest to the end that fewer values leave, one if there is such a place.
        let least = (1..nodes.len()).map(|place| leaving[place]).min().unwrap_or(many);
        if least == 0 || least >= many {
            continue;
        }
        let Some(place) = (1..nodes.len()).rev().find(|&place| leaving[place] == least) else { continue };
        let outputs = |node: &NodeId| {
            study.graph.nodes[*node].outputs.iter().any(|&value| study.graph.values[value].is_output)
        };
        let work =
            |nodes: &[NodeId]| total(nodes.iter().map(|&node| study.costs.work[study.order.position[node]]));
        if nodes[place..].iter().any(outputs) || work(&nodes[place..]) > work(&nodes[..place]) {
            continue;
        }
        let moved = components[at].1.split_off(place);
        components[last].1.extend(moved);
    }
    if let Some((_, nodes)) = components.get_mut(last) {
        nodes.sort_by_key(|&node| study.order.position[node]);
    }
    components
}

/// For each place in a list of nodes, how many values made before it are used behind it or by others.
fn crossing(study: &Study<'_>, nodes: &[NodeId]) -> Vec<usize> {
    let place: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let mut count = vec![0; nodes.len() + 1];
    for (at, &node) in nodes.iter().enumerate() {
        for &value in &study.graph.nodes[node].outputs {
            let takers = study.graph.values[value].consumers.iter();
            let live = takers.filter(|&&taker| study.order.position[taker] != usize::MAX);
            let last = live.map(|taker| place.get(taker).copied().unwrap_or(nodes.len())).max();
            (at + 1..=last.unwrap_or(0)).for_each(|place| count[place] += 1);
        }
    }
    count
}

/// Cuts a component into contiguous pieces, at places where the whole model may be cut, of the first kind that has enough;
/// into one piece if none has.
fn cut(study: &Study<'_>, kinds: &[BTreeSet<usize>], nodes: &[NodeId], pieces: usize) -> Vec<Vec<NodeId>> {
    let position = |at: usize| study.order.position[nodes[at]];
    let mass: Vec<u64> = (0..nodes.len()).map(|at| study.costs.mass[position(at)] + 1).collect();
    let own = crossing(study, nodes);
    let price: Vec<u64> = own.iter().map(|&count| count as u64).collect();
    for good in kinds {
        let at: Vec<usize> = (1..nodes.len()).filter(|&at| good.contains(&position(at))).collect();
        if let Some(cuts) = divide(&mass, &at, &price, pieces) {
            let ends = cuts.into_iter().chain([nodes.len()]);
            let mut start = 0;
            return ends.map(|end| nodes[std::mem::replace(&mut start, end)..end].to_vec()).collect();
        }
    }
    vec![nodes.to_vec()]
}

/// Heaviest first, each to the shard that has least (Graham, "Bounds on Multiprocessing Timing Anomalies", 1969).
fn pack(weights: &[u64], shards: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(weights[at]));
    let mut load = vec![0_u64; shards];
    let mut host: BTreeMap<usize, usize> = BTreeMap::new();
    for at in order {
        let least = (0..shards).min_by_key(|&shard| load[shard]).unwrap_or(0);
        load[least] += weights[at];
        host.insert(at, least);
    }
    host.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_component_has_a_shard_of_its_own() {
        assert_eq!(pack(&[5, 100, 3, 40], 2), [1, 0, 1, 1]);
        assert_eq!(pack(&[1, 2], 2), [1, 0]);
    }
}
