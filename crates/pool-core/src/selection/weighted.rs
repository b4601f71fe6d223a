//! The default policy: the best by score, with exploration that ends where it cannot pay.

use std::sync::Arc;

use perf_history::stats::Estimate;
use perf_history::{Source, Standing};

use super::context::Burst;
use super::{Choice, Policy, View, Why};

/// Sends requests to the leader, and a bounded share of them to arms that might be better.
///
/// Which arms might be is decided by their optimistic score: the upper end of the interval of success with the lower
/// end of that of latency, or with the latency that a slowed arm had before. Where that lies below the leader's own
/// score, trying the arm again could not change the order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighted;

/// An arm whose first run of a session took this many times what the leader takes is not tried further.
const COLD_LIMIT: f64 = 30.0;
/// The same for warm runs.
const WARM_LIMIT: f64 = 3.0;
/// An arm that is assumed to take this many times what the leader takes is not tried to get to know it. Its first run
/// alone could cost as much as hundreds of others.
const ASSUMED_LIMIT: f64 = 5.0;
/// A share of successes that is this much lower than the leader's may be the only reason why an arm does not lead.
pub(super) const UNRELIABLE: f64 = 0.05;
/// An arm that became worse is tried again when this share of the requests since it lost its lead has passed.
const AGAIN_AFTER: f64 = 0.2;
/// With this many samples an arm is known well enough for any comparison.
const WELL_KNOWN: f64 = 20.0;
/// How many latencies are wanted of an arm that is tried to get to know it, before another one has its turn.
const WANTED_LEARNING: u32 = 2;
/// The same for an arm of which something is known already.
const WANTED: u32 = 1;
/// How many requests in a row an arm gets at the most, and what there must be to explore with before it gets any.
const BURST: u32 = 5;
/// One run that takes this share of what the arm is known to take shows that it has not recovered.
const STILL: f64 = 0.9;
/// An arm that only fails is looked at as seldom as one that is this many times as slow.
const FAILING_RATIO: f64 = 8.0;

impl Policy for Weighted {
    fn choose(&mut self, mut view: View<'_>) -> Choice {
        if !view.config.explore || view.rows.len() < 2 || view.context.exploring {
            return Choice::LEADER;
        }
        let learning =
            u64::from(view.context.learned) < u64::from(view.config.learning_runs) * view.rows.len() as u64;
        if !learning {
            let every = f64::from(view.config.explore_every.max(1));
            view.context.tokens = (view.context.tokens + 1.0 / every).min(f64::from(BURST));
        }
        if let Some((row, why)) = go_on(&mut view) {
            return Choice::pinned(row, why);
        }
        if let Some(row) = surprise(&mut view) {
            return Choice::pinned(row, Why::Surprise);
        }
        // The leader has to be known first: the others are compared with it.
        if view.rows[0].source == Source::Default && !fails(&view.rows[0]) {
            return Choice::LEADER;
        }
        let promising = promising(&view);
        match promising {
            Some(Promising { row, is: Standout::ClearlyFaster }) => {
                return Choice::pinned(row, Why::Promising);
            }
            // How often this happens is bounded by itself.
            Some(Promising { row, is: Standout::OnceFaster }) => {
                let choice = begin(&mut view, row, Why::Promising, true);
                let known = view.rows[row].estimate.and_then(|estimate| estimate.latency_ms);
                if let Some(burst) = &mut view.context.burst {
                    burst.still_ms = known.map(|ms| ms * STILL);
                }
                return choice;
            }
            _ => {}
        }
        let affords = view.context.tokens >= f64::from(BURST);
        if !learning && !affords {
            return Choice::LEADER;
        }
        if let Some(row) = unknown(&view) {
            return compare(&mut view, row, Why::Learning, !learning);
        }
        // These are rare. If they waited for the others, two arms that are nearly the best would keep them waiting for ever.
        if affords && let Some(row) = stale(&view) {
            view.context.last_recheck = view.context.decisions;
            return begin(&mut view, row, Why::Recheck, true);
        }
        if let Some(Promising { row, .. }) = promising {
            return compare(&mut view, row, Why::Promising, !learning);
        }
        Choice::LEADER
    }
}

fn fails(row: &Standing) -> bool {
    row.estimate.is_some_and(|estimate| estimate.samples >= 2 && estimate.success_rate == 0.0)
}

fn samples(row: &Standing) -> f64 {
    row.estimate.map_or(0.0, |estimate| estimate.effective_samples)
}

/// How many times as slow as the leader an arm is, as far as is known.
fn ratio(view: &View<'_>, row: &Standing) -> f64 {
    if fails(row) {
        return FAILING_RATIO;
    }
    match (row.expected_ms, view.rows[0].expected_ms) {
        (Some(ms), Some(best)) if best > 0.0 => (ms / best).max(1.0),
        _ => 1.0,
    }
}

/// Tries an arm, once the leader is known as well: of two that are compared, the one that is tried more often would win
/// by that alone.
fn compare(view: &mut View<'_>, row: usize, why: Why, costs: bool) -> Choice {
    if samples(&view.rows[0]) < samples(&view.rows[row]).min(WELL_KNOWN) {
        return Choice::LEADER;
    }
    begin(view, row, why, costs)
}

/// Tries an arm with some requests in a row, at the cost of as much exploring later unless it is free.
fn begin(view: &mut View<'_>, row: usize, why: Why, costs: bool) -> Choice {
    let wanted = if why == Why::Learning { WANTED_LEARNING } else { WANTED };
    let arm = Arc::clone(&view.rows[row].arm);
    view.context.burst = Some(Burst { arm, why, wanted, left: BURST, costs, still_ms: None });
    go_on(view).map_or(Choice::LEADER, |(row, why)| Choice::pinned(row, why))
}

/// The arm that is being tried, as long as it does not lead and is worth it.
fn go_on(view: &mut View<'_>) -> Option<(usize, Why)> {
    let burst = view.context.burst.take()?;
    let row = view.rows.iter().position(|row| row.arm == burst.arm).filter(|&row| row > 0)?;
    let tried = &view.rows[row];
    // Whether one that was slow has recovered is not to be judged by how slow it was.
    let useless = burst.why == Why::Learning && hopeless(view, tried);
    let too_long = tried.expected_ms.is_some_and(|ms| ms > view.longest_ms);
    if burst.left == 0 || fails(tried) || useless || too_long {
        return None;
    }
    view.context.tokens -= f64::from(u8::from(burst.costs));
    let why = burst.why;
    view.context.burst = Some(Burst { left: burst.left - 1, ..burst });
    Some((row, why))
}

/// The arm that surprised, as long as that goes on and it does not lead.
fn surprise(view: &mut View<'_>) -> Option<usize> {
    let (arm, left) = view.context.surprise.take()?;
    let row = view.rows.iter().position(|row| row.arm == arm).filter(|&row| row > 0)?;
    if left > 1 {
        view.context.surprise = Some((arm, left - 1));
    }
    Some(row)
}

/// Whether an arm is known to be, or may be taken to be, so slow that getting to know it better is of no use.
fn hopeless(view: &View<'_>, row: &Standing) -> bool {
    let Some(best) = view.rows[0].expected_ms else { return false };
    let warm = row.estimate.and_then(|estimate| estimate.latency_ms);
    let cold = view.context.tried(&row.arm).cold_ms;
    warm.is_some_and(|ms| ms > best * WARM_LIMIT)
        || cold.is_some_and(|ms| ms > best * COLD_LIMIT)
        || row.expected_ms.is_some_and(|ms| ms > best * ASSUMED_LIMIT)
}

/// The first arm of which too little is known, and enough to go on with it.
fn unknown(view: &View<'_>) -> Option<usize> {
    let worth = |row: &Standing| {
        row.source == Source::Default
            && !fails(row)
            && !hopeless(view, row)
            && row.expected_ms.is_none_or(|ms| ms <= view.longest_ms)
    };
    (1..view.rows.len()).find(|&row| worth(&view.rows[row]))
}

/// An arm that may be better than the leader.
#[derive(Debug, Clone, Copy)]
struct Promising {
    row: usize,
    is: Standout,
}

/// What makes it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standout {
    /// It is known to be faster.
    ClearlyFaster,
    /// It was faster before it changed, and it is time to see whether it is again.
    OnceFaster,
    /// As far as is known it may be either.
    Possible,
}

/// The arm whose optimistic score is the most above the leader's own one.
fn promising(view: &View<'_>) -> Option<Promising> {
    let leader = &view.rows[0];
    let least = leader.expected_ms?;
    let known = leader.estimate?;
    // What it may be. What was better once may be so again; the longer it has been worse, the rarer that is asked.
    let may_be = |row: &Standing| {
        let estimate = row.estimate.filter(|_| row.source == Source::History && !fails(row))?;
        let ms = estimate.latency?.low.min(estimate.latency_ms?);
        let unreliable = is_less_reliable(&estimate, &known);
        if (unreliable || estimate.former_ms.is_some()) && may_have_recovered(view, row) {
            let success = if unreliable { 1.0 } else { estimate.success.high };
            return Some((success, estimate.former_ms.map_or(ms, |former| former.min(ms))));
        }
        Some((estimate.success.high, ms))
    };
    let gain = |row: &Standing| {
        let (success, ms) = may_be(row)?;
        // Both in the measure of the faster one, which the latency of a score is relative to.
        let best = least.min(ms);
        let gain =
            view.weights().score(success, ms, best) - view.weights().score(known.success.low, least, best);
        (gain >= 0.0).then_some(gain)
    };
    let rows = view.rows.iter().enumerate().skip(1);
    let scored = rows
        .filter(|(_, row)| row.expected_ms.is_none_or(|ms| ms <= view.longest_ms))
        .filter_map(|(index, row)| Some((index, gain(row)?)));
    let (row, _) = scored.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    let arm = &view.rows[row];
    let changed = arm.estimate.is_some_and(|estimate| estimate.former_ms.is_some());
    let is = if is_clearly_faster(arm, leader) {
        Standout::ClearlyFaster
    } else if changed && may_have_recovered(view, arm) {
        Standout::OnceFaster
    } else {
        Standout::Possible
    };
    Some(Promising { row, is })
}

/// Whether an arm is faster by more than chance and no less reliable: what keeps it from leading is only how few its
/// samples are, and getting more of them costs nothing.
fn is_clearly_faster(row: &Standing, leader: &Standing) -> bool {
    let (Some(row), Some(leader)) = (row.estimate, leader.estimate) else { return false };
    let (Some(latency), Some(led)) = (row.latency, leader.latency) else { return false };
    latency.high < led.low && row.success_rate >= leader.success_rate
}

/// Whether an arm succeeds less often than the leader, by more than chance.
pub(super) fn is_less_reliable(arm: &Estimate, leader: &Estimate) -> bool {
    arm.success.high < leader.success_rate - UNRELIABLE
}

/// Whether it is time to try an arm again that became worse: when a fifth of the requests since it lost its lead have
/// passed since it was last tried.
fn may_have_recovered(view: &View<'_>, row: &Standing) -> bool {
    let tried = view.context.tried(&row.arm);
    let since_demoted = view.context.decisions.saturating_sub(tried.demoted.unwrap_or(0));
    let most = f64::from(view.config.recheck_every) * ratio(view, row);
    let wait = (since_demoted as f64 * AGAIN_AFTER).min(most).max(f64::from(view.config.explore_every));
    view.context.since_tried(&row.arm) as f64 >= wait
}

/// The arm that was not looked at for the longest time, in proportion to the square of how slow it is: a look costs as
/// many times as much, and is as many times less likely to find that it has become the best.
fn stale(view: &View<'_>) -> Option<usize> {
    let every = u64::from(view.config.recheck_every);
    if view.context.decisions.saturating_sub(view.context.last_recheck) < every {
        return None;
    }
    let due = |row: &Standing| {
        let waited = view.context.since_tried(&row.arm) as f64;
        let overdue = waited / (every as f64 * ratio(view, row).powi(2));
        (overdue >= 1.0).then_some(overdue)
    };
    let rows = view.rows.iter().enumerate().skip(1);
    let scored = rows
        .filter(|(_, row)| row.expected_ms.is_none_or(|ms| ms <= view.longest_ms))
        .filter_map(|(index, row)| Some((index, due(row)?)));
    scored.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(index, _)| index)
}
