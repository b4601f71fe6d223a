//! The graph of stages: who waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use super::Draft;
use crate::graph::{Graph, NodeId, ValueId};

/// Stages and what flows between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quotient {
    /// The stages in an order in which each stands behind what it depends on, as indices of the drafts.
    pub(crate) order: Vec<usize>,
    /// For each value that crosses: the stage that gives it and those that take it.
    pub(crate) flows: BTreeMap<ValueId, (usize, BTreeSet<usize>)>,
}

/// Finds the flows; `None` if two stages wait for each other.
pub(crate) fn quotient(graph: &Graph, drafts: &[Draft]) -> Option<Quotient> {
    let mut stage_of: Vec<usize> = vec![usize::MAX; graph.nodes.len()];
    for (at, draft) in drafts.iter().enumerate() {
        for &node in &draft.nodes {
            stage_of[node] = at;
        }
    }
    let stage = |node: NodeId| stage_of[node];
    let mut flows: BTreeMap<ValueId, (usize, BTreeSet<usize>)> = BTreeMap::new();
    let mut behind: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        for &node in &draft.nodes {
            for &value in &graph.nodes[node].inputs {
                if let Some(from) = graph.live_producer(value).map(stage).filter(|&from| from != at) {
                    flows.entry(value).or_insert_with(|| (from, BTreeSet::new())).1.insert(at);
                    behind[at].insert(from);
                }
            }
        }
    }
    let mut order = Vec::with_capacity(drafts.len());
    let mut placed = vec![false; drafts.len()];
    while order.len() < drafts.len() {
        let ready = |at: &usize| !placed[*at] && behind[*at].iter().all(|&from| placed[from]);
        let next = (0..drafts.len()).find(ready)?;
        placed[next] = true;
        order.push(next);
    }
    Some(Quotient { order, flows })
}
