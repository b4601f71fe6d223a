//! Finding where a series jumped.

use super::noise::{Noise, without_outliers};
use super::point::{Point, days};
use crate::stats::student_beyond;

/// How many points a level needs on each side of a jump.
const LEAST_POINTS: usize = 4;
/// How improbable a jump must be by chance to look for others on both sides of it. What is reported is decided later,
/// over all series.
const SPLIT: f64 = 0.01;
/// How many jumps are looked for in one series.
const MOST: usize = 32;

/// A jump between two points of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jump {
    /// The first point of the new level.
    pub(super) at: usize,
    /// Where the level before it begins, and where the one after it ends.
    pub(super) around: (usize, usize),
    /// The means of the logarithms before and after.
    pub(super) before: f64,
    pub(super) after: f64,
    /// How probable a jump as large is by chance, wherever it might have been.
    pub(super) p_value: f64,
}

/// Sums over a beginning of a series.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    weight: f64,
    y: f64,
}

/// A series with what is needed to look for jumps in it.
struct Search {
    sums: Vec<Sum>,
    degrees: f64,
}

impl Search {
    fn level(&self, from: usize, to: usize) -> Sum {
        let (a, b) = (self.sums[from], self.sums[to]);
        let weight = b.weight - a.weight;
        Sum { weight, y: (b.y - a.y) / weight }
    }

    /// The most conspicuous jump between two points, if there is room for one.
    fn best(&self, from: usize, to: usize) -> Option<Jump> {
        let places = (from + LEAST_POINTS)..=to.checked_sub(LEAST_POINTS)?;
        let tried = places.clone().count();
        let gain = |at: usize| {
            let (a, b) = (self.level(from, at), self.level(at, to));
            a.weight * b.weight / (a.weight + b.weight) * (a.y - b.y).powi(2)
        };
        let (at, gain) = places.map(|at| (at, gain(at))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let (before, after) = (self.level(from, at).y, self.level(at, to).y);
        // Bonferroni: each place was a chance to find one.
        let p_value = (student_beyond(gain.sqrt(), self.degrees) * tried as f64).min(1.0);
        Some(Jump { at, around: (from, to), before, after, p_value })
    }

    /// Binary segmentation (Scott and Knott, "A cluster analysis method for grouping means", 1974).
    fn split(&self, from: usize, to: usize, least: f64, found: &mut Vec<usize>) {
        let Some(jump) = self.best(from, to) else { return };
        if jump.p_value > SPLIT || (jump.after - jump.before).abs() < least || found.len() >= MOST {
            return;
        }
        found.push(jump.at);
        self.split(from, jump.at, least, found);
        self.split(jump.at, to, least, found);
    }

    /// The jumps at these places, each moved to the best place between its neighbours, and judged there.
    fn settle(&self, mut places: Vec<usize>, end: usize) -> Vec<Jump> {
        places.sort_unstable();
        let mut jumps = Vec::new();
        for i in 0..places.len() {
            let from = if i == 0 { 0 } else { places[i - 1] };
            let to = places.get(i + 1).copied().unwrap_or(end);
            if let Some(jump) = self.best(from, to) {
                places[i] = jump.at;
                jumps.push(jump);
            }
        }
        jumps
    }
}

/// The jumps of a series of hours and days in the order of time, all of which have latencies. Where a straight line
/// explains it better than jumps do, there are none: that is a trend.
///
/// `least` is the smallest jump that counts, as a difference of logarithms. The second value is how probable the largest
/// one of all is by chance, whether or not it is in the list; there is none where the series is too short to tell.
pub(super) fn jumps(points: &[Point], noise: &Noise, least: f64) -> (Vec<Jump>, Option<f64>) {
    let values = without_outliers(points);
    let weights: Vec<f64> = points.iter().map(|point| 1.0 / noise.of_a_level(point.n)).collect();
    let mut sums = vec![Sum::default()];
    let mut sum = Sum::default();
    for (y, weight) in values.iter().zip(&weights) {
        sum = Sum { weight: sum.weight + weight, y: sum.y + weight * y };
        sums.push(sum);
    }
    // The noise itself is known from medians over the points, which tell less than the points.
    let search = Search { sums, degrees: (points.len() as f64 / 3.0).max(2.0) };
    let Some(first) = search.best(0, points.len()) else { return (Vec::new(), None) };
    let mut places = Vec::new();
    search.split(0, points.len(), least, &mut places);
    let jumps = search.settle(places, points.len());
    let line = left_by_a_line(points, &values, &weights) + 2.0 * (points.len() as f64).ln();
    let steps =
        left_by_steps(&jumps, &values, &weights) + (2 * jumps.len() + 1) as f64 * (points.len() as f64).ln();
    // Schwarz, "Estimating the dimension of a model", 1978.
    (if line < steps { Vec::new() } else { jumps }, Some(first.p_value))
}

/// The weighted sum of squares that levels between the jumps leave.
fn left_by_steps(jumps: &[Jump], values: &[f64], weights: &[f64]) -> f64 {
    let mut left = 0.0;
    let ends = jumps.iter().map(|jump| jump.at).chain([values.len()]);
    let mut from = 0;
    for to in ends {
        let all = || values[from..to].iter().zip(&weights[from..to]);
        let weight: f64 = weights[from..to].iter().sum();
        let mean = all().map(|(y, weight)| weight * y).sum::<f64>() / weight;
        left += all().map(|(y, weight)| weight * (y - mean).powi(2)).sum::<f64>();
        from = to;
    }
    left
}

/// The weighted sum of squares that a straight line over time leaves.
fn left_by_a_line(points: &[Point], values: &[f64], weights: &[f64]) -> f64 {
    let all = || points.iter().zip(values).zip(weights).map(|((point, &y), &w)| (days(point.at), y, w));
    let weight: f64 = weights.iter().sum();
    let (x_sum, y_sum) = all().fold((0.0, 0.0), |(xs, ys), (x, y, w)| (xs + w * x, ys + w * y));
    let (x_mean, y_mean) = (x_sum / weight, y_sum / weight);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y, w) in all() {
        xx += w * (x - x_mean).powi(2);
        xy += w * (x - x_mean) * (y - y_mean);
        yy += w * (y - y_mean).powi(2);
    }
    if xx > 0.0 { (yy - xy * xy / xx).max(0.0) } else { yy }
}
