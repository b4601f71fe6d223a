//! How fast a series rises or falls.

use super::point::{Point, days, variance_within};
use crate::Period;
use crate::stats::Interval;
use crate::stats::{student_beyond, student_quantile};

/// A straight line through a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    /// The rise in a day.
    pub(super) per_day: f64,
    /// Its interval, 95 %.
    pub(super) interval: Interval,
    /// How probable a rise or fall as steep is by chance.
    pub(super) p_value: f64,
}

/// How many days a line needs; or hours, where there are not as many days.
const LEAST_DAYS: usize = 7;
const LEAST_HOURS: usize = 36;

/// Some points of one level, as one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knot {
    level: usize,
    /// In days.
    x: f64,
    y: f64,
    n: f64,
}

/// The line of mean logarithms of latency, with the levels between jumps at `starts` taken out. By days, because the
/// hours of a day differ; by hours as long as there are few days.
pub(super) fn of_latency(points: &[Point], starts: &[usize]) -> Option<Slope> {
    let variance = variance_within(points);
    let mut knots = knots(points, starts, Some(Period::Day));
    if knots.len() < LEAST_DAYS {
        knots = self::knots(points, starts, None);
        if knots.len() < LEAST_HOURS {
            return None;
        }
    }
    // What days scatter beyond what their runs explain: from a first line, then used for the second.
    let first = line(&knots, |knot| knot.n.sqrt())?;
    let explained = knots.iter().map(|knot| variance / knot.n).sum::<f64>() / knots.len() as f64;
    let plain = knots.iter().map(|knot| first.residual(knot).powi(2)).sum::<f64>() / first.degrees;
    let between = (plain - explained).max(0.0);
    let line = line(&knots, |knot| 1.0 / (variance / knot.n + between))?;
    // The weights say how large residuals should be; larger ones mean that they do not fit.
    let scale = (line.squares / line.degrees).max(0.25);
    let correlation = line.correlation(&knots).clamp(0.0, 0.8);
    let error = (scale / line.xx * (1.0 + correlation) / (1.0 - correlation)).sqrt();
    Some(judged(line.slope, error, line.degrees))
}

/// The line of success rates by days, and how probable it is by chance: the test for trend in proportions (Cochran 1954,
/// Armitage 1955), widened by how much days differ more than chance lets them.
pub(super) fn of_success(points: &[Point]) -> Option<Slope> {
    /// With fewer of either, there is nothing to tell a trend from.
    const LEAST: f64 = 5.0;
    let mut by_day: Vec<(f64, f64, f64)> = Vec::new();
    for point in points.iter().filter(|point| point.runs() > 0.0) {
        let x = days(Period::Day.start(crate::UnixMillis(point.at)).0);
        match by_day.last_mut() {
            Some(last) if last.0 == x => *last = (x, last.1 + point.ok, last.2 + point.runs()),
            _ => by_day.push((x, point.ok, point.runs())),
        }
    }
    let (ok, runs) = by_day.iter().fold((0.0, 0.0), |(ok, runs), day| (ok + day.1, runs + day.2));
    if by_day.len() < LEAST_DAYS || ok < LEAST || runs - ok < LEAST {
        return None;
    }
    let rate = ok / runs;
    let middle = by_day.iter().map(|day| day.0 * day.2).sum::<f64>() / runs;
    let xx: f64 = by_day.iter().map(|day| day.2 * (day.0 - middle).powi(2)).sum();
    let xy: f64 = by_day.iter().map(|day| (day.0 - middle) * (day.1 - day.2 * rate)).sum();
    if xx <= 0.0 {
        return None;
    }
    let per_day = xy / xx;
    let degrees = by_day.len() as f64 - 2.0;
    let off = |day: &(f64, f64, f64)| (day.1 - day.2 * (rate + per_day * (day.0 - middle))).powi(2) / day.2;
    let scatter = by_day.iter().map(off).sum::<f64>() / (rate * (1.0 - rate)) / degrees;
    Some(judged(per_day, (scatter.max(1.0) * rate * (1.0 - rate) / xx).sqrt(), degrees))
}

fn judged(per_day: f64, error: f64, degrees: f64) -> Slope {
    let half = error * student_quantile(0.05, degrees);
    Slope {
        per_day,
        interval: Interval { low: per_day - half, high: per_day + half },
        p_value: student_beyond(per_day / error, degrees),
    }
}

/// The points, or those of a day and level as one.
fn knots(points: &[Point], starts: &[usize], period: Option<Period>) -> Vec<Knot> {
    let mut knots: Vec<(i64, Knot)> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        let level = starts.iter().filter(|&&start| start <= at).count();
        let (x, y, n) = (days(point.at), point.mean, point.n);
        let key = period.map_or(point.at, |period| period.start(crate::UnixMillis(point.at)).0);
        match knots.last_mut() {
            Some((last, knot)) if *last == key && knot.level == level => {
                let sum = knot.n + n;
                knot.x += (x - knot.x) * n / sum;
                knot.y += (y - knot.y) * n / sum;
                knot.n = sum;
            }
            _ => knots.push((key, Knot { level, x, y, n })),
        }
    }
    knots.into_iter().map(|(_, knot)| knot).collect()
}

/// A line with one slope and a height for each level.
struct Line {
    slope: f64,
    /// The mean of x and y of each level.
    levels: Vec<(f64, f64)>,
    /// The weighted sum of squares of x around the levels' means.
    xx: f64,
    /// The weighted sum of squares of what is left.
    squares: f64,
    degrees: f64,
}

impl Line {
    fn residual(&self, knot: &Knot) -> f64 {
        let (x, y) = self.levels[knot.level];
        knot.y - y - self.slope * (knot.x - x)
    }

    /// The correlation of what is left with what is left next to it.
    fn correlation(&self, knots: &[Knot]) -> f64 {
        let left: Vec<f64> = knots.iter().map(|knot| self.residual(knot)).collect();
        let squares: f64 = left.iter().map(|r| r * r).sum();
        let products: f64 = left.windows(2).map(|pair| pair[0] * pair[1]).sum();
        if squares > 0.0 { products / squares } else { 0.0 }
    }
}

/// The line of weighted least squares; `None` where the points do not give one.
fn line(knots: &[Knot], weight: impl Fn(&Knot) -> f64) -> Option<Line> {
    let count = knots.iter().map(|knot| knot.level + 1).max()?;
    let mut sums = vec![(0.0, 0.0, 0.0); count];
    for knot in knots {
        let (w, sum) = (weight(knot), &mut sums[knot.level]);
        *sum = (sum.0 + w, sum.1 + w * knot.x, sum.2 + w * knot.y);
    }
    let used = sums.iter().filter(|sum| sum.0 > 0.0).count();
    let levels: Vec<_> =
        sums.iter().map(|&(w, x, y)| if w > 0.0 { (x / w, y / w) } else { (0.0, 0.0) }).collect();
    let (mut xx, mut xy) = (0.0, 0.0);
    for knot in knots {
        let (x, y) = levels[knot.level];
        xx += weight(knot) * (knot.x - x).powi(2);
        xy += weight(knot) * (knot.x - x) * (knot.y - y);
    }
    let degrees = knots.len() as f64 - used as f64 - 1.0;
    if !(xx > 1e-12 && degrees >= 3.0) {
        return None;
    }
    let mut line = Line { slope: xy / xx, levels, xx, squares: 0.0, degrees };
    line.squares = knots.iter().map(|knot| weight(knot) * line.residual(knot).powi(2)).sum();
    Some(line)
}
