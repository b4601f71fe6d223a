//! `attention-feedforward`: attention with its caches on some shards, feed-forward on the others.
//!
//! In a layer `y = x + Attention(N₁ x)`, `z = y + FeedForward(N₂ y)` each half ends with its residual addition. Each
//! addition is in exactly one half, so that one tensor goes over and one comes back: two hops a layer.

use std::collections::HashSet;

use super::minmax::divide;
use super::{Misfit, Proposal};
use crate::cut::{Draft, Study};
use crate::graph::{NodeId, ValueId};

/// What a half does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Attention,
    FeedForward,
}

/// A half of a layer has not more nodes than this; looking further would take a time that grows with the square of the model.
const MOST_INNER: usize = 4096;

/// A stretch of the order that ends with a residual addition.
#[derive(Debug, Clone)]
struct Half {
    kind: Kind,
    /// From where to where in the order, the second excluded.
    span: (usize, usize),
}

pub(super) fn propose(study: &Study<'_>, shards: usize) -> Result<Proposal, Misfit> {
    let halves = halves(study);
    let count = |kind| halves.iter().filter(|half| half.kind == kind).count();
    let (attentions, feeds) = (count(Kind::Attention), count(Kind::FeedForward));
    if attentions == 0 {
        return Err(Misfit::NoAttention);
    }
    if feeds == 0 {
        return Err(Misfit::NoFeedForward);
    }
    if shards < 2 {
        return Err(Misfit::OneShard);
    }
    if attentions + feeds < shards {
        return Err(Misfit::TooFewParts { most: attentions + feeds, wanted: shards });
    }
    let weight = |half: &Half| study.costs.mass[half.span.0..half.span.1].iter().sum::<u64>() + 1;
    let weights = |kind| halves.iter().filter(|half| half.kind == kind).map(weight).collect::<Vec<u64>>();
    let (attention, feed) = (weights(Kind::Attention), weights(Kind::FeedForward));
    let hosts = hosts(shards, &attention, &feed);
    let on_attention = spread(&attention, hosts);
    let on_feed = spread(&feed, shards - hosts);
    let (mut at_attention, mut at_feed) = (0, 0);
    let drafts = halves.iter().map(|half| {
        let nodes = study.order.nodes[half.span.0..half.span.1].to_vec();
        match half.kind {
            Kind::Attention => {
                at_attention += 1;
                let label = format!("attention {at_attention}");
                Draft { label, shard: on_attention[at_attention - 1], nodes }
            }
            Kind::FeedForward => {
                at_feed += 1;
                let label = format!("feed-forward {at_feed}");
                Draft { label, shard: hosts + on_feed[at_feed - 1], nodes }
            }
        }
    });
    let mut proposal = Proposal::new(drafts.collect());
    proposal.notes.push(format!("{hosts} shards attend, {} feed forward", shards - hosts));
    Ok(proposal)
}

/// How many shards attend: in proportion to the weights, at least one of each kind, at most one for each half.
fn hosts(shards: usize, attention: &[u64], feed: &[u64]) -> usize {
    let (a, f) = (attention.iter().sum::<u64>() as f64, feed.iter().sum::<u64>() as f64);
    let wanted = (shards as f64 * a / (a + f)).round() as usize;
    wanted.clamp(shards.saturating_sub(feed.len()).max(1), attention.len().min(shards - 1))
}

/// The host of each half: contiguous, of about the same weight.
fn spread(weights: &[u64], hosts: usize) -> Vec<usize> {
    let places: Vec<usize> = (1..weights.len()).collect();
    let cuts = divide(weights, &places, &vec![0; weights.len() + 1], hosts).unwrap_or_default();
    (0..weights.len()).map(|at| cuts.iter().filter(|&&cut| cut <= at).count()).collect()
}

/// The halves in order, covering everything: what comes before the first belongs to it, and what is between two or
/// behind the last (a norm after the addition, the head) to the one before it.
fn halves(study: &Study<'_>) -> Vec<Half> {
    let mut ends: Vec<(Kind, usize)> = Vec::new();
    let mut start = 0;
    for (at, &node) in study.order.nodes.iter().enumerate() {
        let Some(inner) = residual(study, node) else { continue };
        let place = |node: &NodeId| study.order.position[*node];
        // An addition within a half, such as one inside of a gate, is no end of one.
        if inner.iter().map(place).min().is_none_or(|first| first < start) || study.live.forbidden[at + 1] {
            continue;
        }
        let attends = inner.iter().any(|&node| study.attends(node));
        let computes = inner.iter().any(|&node| study.computes(node));
        let kind = match (attends, computes) {
            (true, _) => Kind::Attention,
            (false, true) => Kind::FeedForward,
            (false, false) => continue,
        };
        ends.push((kind, at + 1));
        start = at + 1;
    }
    let length = study.order.nodes.len();
    let mut halves: Vec<Half> = Vec::new();
    for (at, &(kind, end)) in ends.iter().enumerate() {
        let from = if at == 0 { 0 } else { ends[at - 1].1 };
        let to = if at + 1 == ends.len() { length } else { end };
        halves.push(Half { kind, span: (from, to) });
    }
    absorb_norms(study, &mut halves);
    halves
}

/// A norm right behind an addition, as in layers that normalise last, goes with the addition: so the one tensor that
/// leaves is the normalised one, and not both.
fn absorb_norms(study: &Study<'_>, halves: &mut [Half]) {
    for at in 1..halves.len() {
        let (from, to) = halves[at].span;
        let best = (from..to).take_while(|&place| !heavy(study, place)).map(|place| place + 1);
        let cheapest = best.filter(|&place| !study.live.forbidden[place] && place < to);
        let cost = |place: usize| (study.live.count[place], study.live.bytes[place]);
        if let Some(better) = cheapest.min_by_key(|&place| (cost(place), place))
            && cost(better) < cost(from)
        {
            halves[at - 1].span.1 = better;
            halves[at].span.0 = better;
        }
    }
}

fn heavy(study: &Study<'_>, place: usize) -> bool {
    let node = study.order.nodes[place];
    study.computes(node) || study.attends(node)
}

/// The nodes between a value and its sum with what was made of it, if the node is such a sum. `None` also where one side
/// depends on more than the other and on what does not come from there, unless that is the same for all layers.
fn residual(study: &Study<'_>, node: NodeId) -> Option<HashSet<NodeId>> {
    let graph = &study.graph;
    let op = &*graph.nodes[node].op;
    let fused = op.ends_with("SkipLayerNormalization") || op.ends_with("SkipSimplifiedLayerNormalization");
    if !(op == "Add" || op == "Sum" || fused) {
        return None;
    }
    let flows = |value: &&ValueId| !graph.is_constant(**value);
    let sides: Vec<ValueId> = graph.nodes[node].inputs.iter().filter(flows).copied().collect();
    let &[a, b] = &sides[..] else { return None };
    let around = |skip: ValueId, through: ValueId| {
        let from = graph.live_producer(skip);
        let behind =
            |node: NodeId| from.is_none_or(|from| study.order.position[node] > study.order.position[from]);
        let mut inner = HashSet::new();
        let mut touches = false;
        let mut open: Vec<NodeId> = graph.live_producer(through).into_iter().collect();
        while let Some(at) = open.pop() {
            if Some(at) == from {
                touches = true;
            } else if behind(at) && inner.insert(at) {
                if inner.len() > MOST_INNER {
                    return None;
                }
                touches |= graph.nodes[at].inputs.contains(&skip);
                open.extend(graph.predecessors(at));
            }
        }
        (touches && !inner.is_empty()).then_some(inner)
    };
    around(a, b).or_else(|| around(b, a))
}
