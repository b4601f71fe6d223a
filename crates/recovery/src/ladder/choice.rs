//! Which of the rungs that are left is worth trying.

use std::time::Duration;

use vocab::Rung;

/// A rung that may be tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) rung: Rung,
    /// The chance that it helps, this time.
    pub(super) chance: f64,
    /// What one attempt costs: its time on the average, and its disruption.
    pub(super) price: Duration,
    /// How long it takes where it helps.
    pub(super) worked: Duration,
    /// The longest that it may take.
    pub(super) limit: Duration,
}

/// A candidate with the outcome of weighing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighed {
    pub(super) candidate: Candidate,
    /// What recovery is expected to cost from here on, if this one is tried now and the better ones above it after it.
    pub(super) cost: f64,
    /// What it is expected to cost without it; `None` for the last one.
    pub(super) without: Option<f64>,
}

impl Weighed {
    pub(super) fn pays(&self) -> bool {
        self.without.is_none_or(|without| self.cost <= without)
    }
}

/// A chance of which no more is known than that it is small.
const LEAST_CHANCE: f64 = 0.01;

/// What each candidate costs against going straight up. They come in the order of the ladder.
///
/// From the top down, V = price ⁄ chance for the last one, which is repeated until it helps, and
/// V(i) = min(V(i + 1), price(i) + (1 − chance(i)) · V(i + 1)) for those below it. So a rung is tried exactly where
/// price ⁄ chance is not more than what going straight up costs. This is plain dynamic programming over one choice a
/// rung, to try it or to pass over it.
pub(super) fn weigh(candidates: &[Candidate]) -> Vec<Weighed> {
    let mut above: Option<f64> = None;
    let mut all: Vec<Weighed> = candidates
        .iter()
        .rev()
        .map(|&candidate| {
            let price = candidate.price.as_secs_f64();
            let chance = candidate.chance.clamp(LEAST_CHANCE, 1.0);
            let cost = above.map_or(price / chance, |above| price + (1.0 - chance) * above);
            let weighed = Weighed { candidate, cost, without: above };
            above = Some(above.map_or(cost, |above| above.min(cost)));
            weighed
        })
        .collect();
    all.reverse();
    all
}

/// The candidate to try, and how long it may take, where `left` is the time until the deadline; `None` where there is
/// none, or no time.
///
/// The mildest one that pays is taken. It leaves the time that the quickest one above it needs to help, among those
/// that are more likely to help than not and would fit at all. Where this leaves it less than it needs itself, it is
/// passed over if one of those is likelier to help, and else gets all the time that there is.
pub(super) fn choose(weighed: &[Weighed], left: Duration) -> Option<(Candidate, Duration)> {
    if left.is_zero() {
        return None;
    }
    let paying: Vec<&Candidate> =
        weighed.iter().filter(|weighed| weighed.pays()).map(|weighed| &weighed.candidate).collect();
    for (index, candidate) in paying.iter().enumerate() {
        let above = paying[index + 1..].iter().filter(|above| above.chance >= 0.5 && above.worked < left);
        let reserve = above.clone().map(|above| above.worked).min().unwrap_or_default();
        let time = candidate.limit.min(left - reserve);
        if time >= candidate.worked.min(candidate.limit) {
            return Some((**candidate, time));
        }
        if above.into_iter().all(|above| above.chance <= candidate.chance) {
            return Some((**candidate, candidate.limit.min(left)));
        }
    }
    None
}
