//! The places at which a model can be cut well, best kind first.

use crate::cut::Study;
use crate::graph::{Repeat, repeats, signatures};

/// Places of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// What lies between them, for people.
    pub(crate) kind: &'static str,
    /// Between which nodes of the order, in rising order.
    pub(crate) at: Vec<usize>,
}

/// All kinds of places, each containing the ones before it.
///
/// 1. Between blocks that repeat, at the point of the block where least crosses. 2. Also within blocks where hardly
///    more crosses than between them. 3. Wherever as few values cross as anywhere in the model. 4. Wherever one may.
pub(crate) fn places(study: &Study<'_>) -> Vec<Places> {
    let live = &study.live;
    let allowed = allowed(study);
    let repeats = repeats(&signatures(&study.graph, study.proto(), &study.order));
    let mut all = Vec::new();
    let between: Vec<usize> = repeats.iter().flat_map(|repeat| boundaries(study, repeat)).collect();
    let mut known: Vec<usize> = Vec::new();
    let mut add = |kind, more: Vec<usize>| {
        known.extend(more);
        known.sort_unstable();
        known.dedup();
        all.push(Places { kind, at: known.clone() });
    };
    let dear = between.iter().map(|&place| live.bytes[place]).max();
    add("blocks that repeat", between);
    if let Some(dear) = dear {
        let cheap =
            allowed.iter().copied().filter(|&place| live.bytes[place] <= dear.saturating_add(dear / 4));
        add("halves of blocks that repeat", local(study, cheap));
    }
    let fewest = allowed.iter().map(|&place| live.count[place]).min().unwrap_or(0);
    let few = allowed.iter().copied().filter(|&place| live.count[place] == fewest);
    add("narrow places", local(study, few));
    add("any nodes", allowed);
    all
}

/// Every place at which the model may be cut.
pub(super) fn allowed(study: &Study<'_>) -> Vec<usize> {
    (1..study.order.nodes.len()).filter(|&place| !study.live.forbidden[place]).collect()
}

/// Of neighbouring places, the one where least crosses: cutting between a layer's last node and its successor's first
/// one is no other cut than one node later.
fn local(study: &Study<'_>, places: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    let total: u64 = study.costs.mass.iter().sum();
    // Scales and axes between two places do not make them two.
    let weighs =
        |from: usize, to: usize| study.costs.mass[from..to].iter().sum::<u64>().saturating_mul(1000) > total;
    for place in places {
        match kept.last_mut() {
            Some(last) if !weighs(*last, place) => {
                if study.live.bytes[place] < study.live.bytes[*last] {
                    *last = place;
                }
            }
            _ => kept.push(place),
        }
    }
    kept
}

/// Where one repetition ends and the next begins: the offset within the period at which least crosses in sum, and among
/// equals the one from which the way to the block's attention is shortest.
fn boundaries(study: &Study<'_>, repeat: &Repeat) -> Vec<usize> {
    let at = |offset: usize| {
        (repeat.start + offset..=repeat.end).step_by(repeat.period).filter(|&place| place > 0)
    };
    let attention = |offset: usize| {
        let from = repeat.start + offset;
        let block = study.order.nodes.get(from..from + repeat.period).unwrap_or_default();
        block.iter().position(|&node| study.attends(node)).unwrap_or(repeat.period)
    };
    let cost = |offset: usize| {
        let inner = at(offset).filter(|&place| place < study.order.nodes.len());
        let (mut bytes, mut count) = (0, 0_usize);
        for place in inner {
            if study.live.forbidden[place] {
                return None;
            }
            bytes = study.live.bytes[place].saturating_add(bytes);
            count += 1;
        }
        // Offsets near the front have one place more: what counts is the mean.
        (count > 0).then(|| bytes / count as u64)
    };
    let best = (0..repeat.period)
        .filter_map(|offset| Some((cost(offset)?, attention(offset), offset)))
        .min()
        .map(|(.., offset)| offset);
    let Some(best) = best else { return Vec::new() };
    at(best).filter(|&place| place < study.order.nodes.len()).collect()
}
