//! `layer`: contiguous blocks of about the same weight.

use super::blocks::places;
use super::minmax::divide;
use super::{Misfit, Proposal};
use crate::cut::{Draft, Study};

pub(super) fn propose(study: &Study<'_>, shards: usize) -> Result<Proposal, Misfit> {
    let mass = mass(study);
    let mut most = 1;
    for places in places(study) {
        most = most.max(places.at.len() + 1);
        let Some(cuts) = divide(&mass, &places.at, &study.live.bytes, shards) else { continue };
        let mut proposal = Proposal::new(drafts(study, &cuts));
        proposal.notes.push(format!("cut between {}: {} places", places.kind, places.at.len()));
        return Ok(proposal);
    }
    Err(Misfit::TooFewParts { most, wanted: shards })
}

/// What is balanced: the bytes of weights, and one for each node so that a model without weights is divided too.
pub(super) fn mass(study: &Study<'_>) -> Vec<u64> {
    study.costs.mass.iter().map(|&mass| mass + 1).collect()
}

/// Stages between cuts, one a shard.
pub(super) fn drafts(study: &Study<'_>, cuts: &[usize]) -> Vec<Draft> {
    let ends = cuts.iter().copied().chain([study.order.nodes.len()]);
    let mut start = 0;
    ends.enumerate()
        .map(|(shard, end)| {
            let nodes = study.order.nodes[std::mem::replace(&mut start, end)..end].to_vec();
            Draft { label: format!("layers {}", shard + 1), shard, nodes }
        })
        .collect()
}
