//! Two classic policies that mix exploring and exploiting in every decision.

use perf_history::Standing;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::{Choice, Policy, View, Why};

/// The highest sum of the score and a bonus for what is little known: UCB1 (Auer, Cesa-Bianchi and Fischer,
/// "Finite-time analysis of the multiarmed bandit problem", 2002), with a bonus of 0.1·√(2 ln N ⁄ n), because scores of
/// arms that work lie within a few tenths of each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ucb;

const BONUS: f64 = 0.1;

impl Policy for Ucb {
    fn choose(&mut self, view: View<'_>) -> Choice {
        let all: f64 = view.rows.iter().filter_map(|row| Some(row.estimate?.effective_samples)).sum();
        let best = best_ms(view.rows);
        let index = |row: &Standing| {
            let Some(estimate) = row.estimate.filter(|estimate| estimate.effective_samples > 0.0) else {
                return f64::INFINITY;
            };
            // Without a latency, the middle: an arm that has only had first runs is neither fast nor slow.
            let ms = estimate.latency_ms.unwrap_or(best * 2.0);
            let bonus = BONUS * (2.0 * (1.0 + all).ln() / estimate.effective_samples).sqrt();
            view.weights().score(estimate.success_rate, ms, best) + bonus
        };
        first_of(&view, index)
    }
}

/// The best of one draw from what each arm may be: success from a normal distribution with Wilson's middle and width,
/// the logarithm of latency from one with its mean and standard error (Thompson, "On the likelihood that one unknown
/// probability exceeds another", 1933).
#[derive(Debug, Clone, Copy, Default)]
pub struct Thompson;

/// The standard deviation of the logarithm of a latency that is only assumed.
const ASSUMED_WIDTH: f64 = 0.5;

impl Policy for Thompson {
    fn choose(&mut self, mut view: View<'_>) -> Choice {
        let z = view.weights().z().max(0.1);
        let random = &mut *view.random;
        let drawn: Vec<Option<(f64, f64)>> = view
            .rows
            .iter()
            .map(|row| {
                let estimate = row.estimate.filter(|estimate| estimate.samples > 0)?;
                let middle = f64::midpoint(estimate.success.low, estimate.success.high);
                let width = (estimate.success.high - estimate.success.low) / (2.0 * z);
                let success = (middle + width * normal(random)).clamp(0.0, 1.0);
                let (ms, width) = match (estimate.latency, row.expected_ms) {
                    (Some(latency), _) => {
                        let (low, high) = (latency.low.max(1e-6).ln(), latency.high.max(1e-6).ln());
                        (f64::midpoint(low, high), (high - low) / (2.0 * z))
                    }
                    // After first runs alone there is no latency yet, and no more than an assumption to draw from.
                    (None, Some(ms)) => (ms.max(1e-6).ln(), ASSUMED_WIDTH),
                    (None, None) => return None,
                };
                Some((success, (ms + width * normal(random)).exp()))
            })
            .collect();
        let best = drawn.iter().flatten().map(|&(_, ms)| ms).fold(f64::INFINITY, f64::min);
        view.random = random;
        let scores: Vec<f64> = drawn
            .iter()
            .zip(view.rows)
            .map(|(drawn, row)| match drawn {
                Some((success, ms)) => view.weights().score(*success, *ms, best),
                // Nothing is known, so anything may be; what has only ever failed has nothing to draw a latency from.
                None => row.estimate.map_or(1.0 + row.score, |estimate| estimate.success_rate * 0.7),
            })
            .collect();
        let mut next = scores.into_iter();
        first_of(&view, |_| next.next().unwrap_or(0.0))
    }
}

fn best_ms(rows: &[Standing]) -> f64 {
    let known = rows.iter().filter_map(|row| row.estimate?.latency_ms);
    known.fold(f64::INFINITY, f64::min)
}

/// The row with the highest value; the first of equal ones. An arm that may take too long counts as the last.
fn first_of(view: &View<'_>, mut value: impl FnMut(&Standing) -> f64) -> Choice {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, row) in view.rows.iter().enumerate() {
        let mut value = value(row);
        if index > 0 && row.expected_ms.is_some_and(|ms| ms > view.longest_ms) {
            value = f64::NEG_INFINITY;
        }
        if value > best.1 {
            best = (index, value);
        }
    }
    Choice::pinned(best.0, Why::Drawn)
}

/// A normal variate, as the sum of twelve uniform ones.
fn normal(random: &mut SmallRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}
