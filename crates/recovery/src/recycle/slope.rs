//! How fast something grows, and whether that is an accident.

/// A straight line through points, fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Slope {
    /// How much y grows with each unit of x.
    pub per_unit: f64,
    /// The standard error of that. Zero where the points lie on a line.
    pub error: f64,
}

impl Slope {
    /// How many standard errors the growth lies above zero; infinite where the points lie on a rising line.
    #[must_use]
    pub fn significance(&self) -> f64 {
        if self.error > 0.0 {
            self.per_unit / self.error
        } else if self.per_unit > 0.0 {
            f64::INFINITY
        } else {
            0.0
        }
    }
}

/// Fits a line: b = Σ(x − x̄)(y − ȳ) ⁄ Σ(x − x̄)², with the standard error √(Σ(y − ŷ)² ⁄ (n − 2) ⁄ Σ(x − x̄)²), as any
/// textbook on simple linear regression has them. `None` for fewer than three points, or where x does not vary.
///
/// The error supposes that the points scatter independently. Readings of memory do not quite, so it is too small, and
/// whoever decides by it should ask for more standard errors than a textbook would.
#[must_use]
pub fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Slope> {
    let n = points.clone().count();
    if n < 3 {
        return None;
    }
    let count = n as f64;
    let (x_sum, y_sum) = points.clone().fold((0.0, 0.0), |(xs, ys), (x, y)| (xs + x, ys + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let (mut xx, mut xy) = (0.0, 0.0);
    for (x, y) in points.clone() {
        xx += (x - x_mean) * (x - x_mean);
        xy += (x - x_mean) * (y - y_mean);
    }
    if !(xx > 0.0 && xx.is_finite() && xy.is_finite()) {
        return None;
    }
    let per_unit = xy / xx;
    let left: f64 = points.map(|(x, y)| (y - y_mean - per_unit * (x - x_mean)).powi(2)).sum();
    Some(Slope { per_unit, error: (left / (count - 2.0) / xx).sqrt() })
}
