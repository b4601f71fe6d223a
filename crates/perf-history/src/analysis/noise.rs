//! How much the hours of a series scatter without any change.

use super::point::{Point, variance_within};

/// The scatter of hourly means: each is off by its own samples, which is less the more there are, and by what the whole
/// hour was like, which is as much however many there are and lasts from hour to hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Noise {
    /// The variance of one run around its hour.
    run: f64,
    /// The variance of one hour around the level.
    hour: f64,
    /// The correlation of an hour with the next.
    correlation: f64,
}

/// The correlation of hours is taken to be no more than this, or no number of hours would tell anything.
const MOST_CORRELATION: f64 = 0.95;
/// How far apart hours are that are taken to be independent: half a day, where what depends on the time of day differs
/// most.
const APART: usize = 12;

impl Noise {
    /// Estimated from differences between neighbours, of which a few that stride a jump or an outlier change nothing: the
    /// medians of squared differences.
    pub(super) fn of(points: &[Point]) -> Self {
        let run = variance_within(points);
        let apart = APART.min(points.len() / 4).max(1);
        let (near, far) = (difference(points, run, 1), difference(points, run, apart));
        let hour = (far.max(near) / 2.0).max(0.0);
        let correlation =
            if hour > 0.0 { (1.0 - near / (2.0 * hour)).clamp(0.0, MOST_CORRELATION) } else { 0.0 };
        Self { run, hour, correlation }
    }

    /// The variance with which one hour of `n` runs adds to what is known of a level. Hours that are correlated tell
    /// less, as if each scattered more: (1 + ρ) ⁄ (1 − ρ) times as much.
    pub(super) fn of_a_level(&self, n: f64) -> f64 {
        self.run / n.max(1.0) + self.hour * (1.0 + self.correlation) / (1.0 - self.correlation)
    }
}

/// The variance of the difference of points so far apart, less what their samples explain; it may be negative.
fn difference(points: &[Point], run: f64, apart: usize) -> f64 {
    /// The median of the square of a standard normal variable.
    const MEDIAN: f64 = 0.454_936;
    let pairs = || points.iter().zip(points.iter().skip(apart));
    let squares = pairs().map(|(a, b)| (a.mean - b.mean).powi(2)).collect();
    let explained = pairs().map(|(a, b)| run / a.n.max(1.0) + run / b.n.max(1.0)).collect();
    median(squares) / MEDIAN - median(explained)
}

/// The middle value; zero of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The means of points, where one that is far from those around it is replaced by their median (Hampel, "The influence
/// curve and its role in robust estimation", 1974).
pub(super) fn without_outliers(points: &[Point]) -> Vec<f64> {
    const AROUND: usize = 3;
    /// How many robust standard deviations are far.
    const FAR: f64 = 4.0 * 1.4826;
    let around = |at: usize| {
        let window = &points[at.saturating_sub(AROUND)..(at + AROUND + 1).min(points.len())];
        let mut values = [0.0; 2 * AROUND + 1];
        values.iter_mut().zip(window).for_each(|(value, point)| *value = point.mean);
        let values = &mut values[..window.len()];
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let medians: Vec<f64> = (0..points.len()).map(around).collect();
    let distances = points.iter().zip(&medians).map(|(point, median)| (point.mean - median).abs()).collect();
    let far = FAR * median(distances);
    let cleaned = points
        .iter()
        .zip(medians)
        .map(|(point, median)| if (point.mean - median).abs() > far { median } else { point.mean });
    cleaned.collect()
}
