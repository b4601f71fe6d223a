//! What would cross each place of the order if the model were cut there.

use crate::graph::{Graph, Order, State, ValueId};
use crate::types::Assumptions;

/// For each place `p` from 0 to the number of nodes: the cut between the nodes before `p` and those from `p` on.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Bytes that cross, as far as types are known.
    pub(crate) bytes: Vec<u64>,
    /// Values that cross.
    pub(crate) count: Vec<usize>,
    /// Whether it must not be cut there: something crosses that cannot be sent, or a cache would be torn from its stage.
    pub(crate) forbidden: Vec<bool>,
}

impl Live {
    pub(crate) fn of(graph: &Graph, order: &Order, states: &[State], assumed: &Assumptions) -> Self {
        let places = order.nodes.len() + 1;
        let mut live =
            Self { bytes: vec![0; places], count: vec![0; places], forbidden: vec![false; places] };
        for value in 0..graph.values.len() {
            let Some((first, last)) = span(graph, order, value) else { continue };
            let ty = graph.values[value].ty.as_ref();
            let bytes = ty.and_then(|ty| assumed.bytes(ty)).unwrap_or(0);
            for place in first + 1..=last {
                live.bytes[place] = live.bytes[place].saturating_add(bytes);
                live.count[place] += 1;
                live.forbidden[place] |= !graph.is_sendable(value);
            }
        }
        for state in states {
            let takers = graph.values[state.past].consumers.iter().map(|&node| order.position[node]);
            let giver = graph.live_producer(state.present).map(|node| order.position[node]);
            let places = takers.filter(|&at| at != usize::MAX).chain(giver);
            let (first, last) =
                places.fold((usize::MAX, 0), |(first, last), at| (at.min(first), at.max(last)));
            if first < last {
                live.forbidden[first + 1..=last].fill(true);
            }
        }
        live
    }
}

/// Where a value that flows comes into being, and where it is used last.
fn span(graph: &Graph, order: &Order, value: ValueId) -> Option<(usize, usize)> {
    let first = order.position[graph.live_producer(value)?];
    let takers = graph.values[value].consumers.iter().map(|&node| order.position[node]);
    let last = takers.filter(|&at| at != usize::MAX).max()?;
    Some((first, last))
}
