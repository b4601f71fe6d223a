//! `layer`: contiguous blocks of about the same weight, or of the same work where weight does not matter.

use super::blocks::places;
use super::minmax::divide;
use super::{Misfit, Proposal};
use crate::cut::{Draft, Study, total};
use crate::plan::Request;

pub(super) fn propose(study: &Study<'_>, request: &Request) -> Result<Proposal, Misfit> {
    let shards = request.shards;
    let by_work = everybody_could_hold_all(study, request);
    let mass = if by_work { work(study) } else { mass(study) };
    let mut most = 1;
    for places in places(study) {
        most = most.max(places.at.len() + 1);
        let Some(cuts) = divide(&mass, &places.at, &study.live.bytes, shards) else { continue };
        let mut proposal = Proposal::new(drafts(study, &cuts));
        proposal.notes.push(format!("cut between {}: {} places", places.kind, places.at.len()));
        if by_work {
            proposal
                .notes
                .push("evened out by work, because each worker could hold the whole model".to_owned());
        }
        return Ok(proposal);
    }
    Err(Misfit::TooFewParts { most, wanted: shards })
}

/// Whether memory is no reason to cut in one place or another.
fn everybody_could_hold_all(study: &Study<'_>, request: &Request) -> bool {
    let needed = total(study.costs.mass.iter().copied()).saturating_mul(request.memory_factor);
    !request.workers.is_empty() && request.workers.iter().all(|worker| worker.memory_bytes >= needed)
}

/// What is balanced where memory does not matter: the operations, and one for each node.
fn work(study: &Study<'_>) -> Vec<u64> {
    // Absurd sizes make absurd numbers, whose sum must still be one.
    let most = u64::MAX / 2 / (study.costs.work.len() as u64 + 1);
    study.costs.work.iter().map(|&work| work.saturating_add(1).min(most)).collect()
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
