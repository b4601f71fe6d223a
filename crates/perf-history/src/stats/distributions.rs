//! Areas under the normal curve and under Student's.

/// The share of a standard normal variable below `z`.
pub(crate) fn normal_below(z: f64) -> f64 {
    if z.is_nan() {
        return 0.5;
    }
    // The normal is Student's with endless degrees of freedom; this one is quicker. Complementary error function after
    // Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.5 (series) and 7.1.14 (continued fraction).
    let x = z.abs() / std::f64::consts::SQRT_2;
    let tail = if x < 2.0 { 0.5 * (1.0 - error_function(x)) } else { 0.5 * complement(x) };
    if z > 0.0 { 1.0 - tail } else { tail }
}

/// erf x for small x, by its power series.
fn error_function(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// 1 − erf x for larger x, by its continued fraction.
fn complement(x: f64) -> f64 {
    let fraction = (1..60).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    (-x * x).exp() / (fraction * std::f64::consts::PI.sqrt())
}

/// How probable it is that a variable after Student's distribution lies at least as far from zero as `t`, on either side.
///
/// `degrees` of freedom may be a fraction or infinite; where they or `t` are not numbers, the answer is 1: nothing is shown.
#[must_use]
pub fn student_beyond(t: f64, degrees: f64) -> f64 {
    if !(t.is_finite() && degrees > 0.0) {
        return if t.is_infinite() { 0.0 } else { 1.0 };
    }
    if degrees > 1e6 {
        return 2.0 * normal_below(-t.abs());
    }
    incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
}

/// The t that a share `p` lies beyond, on both sides together: 0.05 for an interval of 95 %.
#[must_use]
pub fn student_quantile(p: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while student_beyond(high, degrees) > p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..30 {
        let middle = (low + high) / 2.0;
        if student_beyond(middle, degrees) > p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun, 26.5.8, evaluated after
/// Lentz, "Generating Bessel functions in Mie scattering calculations using continued fractions", 1976).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges quickly on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let factor = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..300 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / away(1.0 + coefficient * d);
            c = away(1.0 + coefficient / c);
            step = c * d;
            fraction *= step;
        }
        if (step - 1.0).abs() < 1e-14 {
            break;
        }
    }
    (factor * fraction / a).clamp(0.0, 1.0)
}

/// ln Γ(x) for x > 0, by Stirling's series (Abramowitz and Stegun, 6.1.40) above 10.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 10.0 {
        below += x.ln();
        x += 1.0;
    }
    let square = x * x;
    let series =
        (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1_260.0 - 1.0 / (1_680.0 * square)) / square) / square) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - below
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(got: f64, published: f64, within: f64) {
        assert!((got - published).abs() <= within, "{got} instead of {published}");
    }

    #[test]
    fn published_areas_under_the_normal_curve() {
        // Abramowitz and Stegun, table 26.1.
        check(normal_below(0.0), 0.5, 1e-15);
        check(normal_below(0.5), 0.691_462_461_274_013, 1e-14);
        check(normal_below(1.0), 0.841_344_746_068_543, 1e-14);
        check(normal_below(2.0), 0.977_249_868_051_821, 1e-14);
        check(normal_below(3.0), 0.998_650_101_968_370, 1e-14);
        check(normal_below(-5.0), 2.866_515_719e-7, 1e-16);
    }

    #[test]
    fn published_quantiles_of_students_distribution() {
        // Abramowitz and Stegun, table 26.10.
        check(student_quantile(0.05, 1.0), 12.706, 5e-4);
        check(student_quantile(0.05, 5.0), 2.571, 5e-4);
        check(student_quantile(0.05, 10.0), 2.228, 5e-4);
        check(student_quantile(0.01, 30.0), 2.750, 5e-4);
        check(student_quantile(0.05, 120.0), 1.980, 5e-4);
        check(student_quantile(0.05, f64::INFINITY), 1.960, 5e-4);
    }

    proptest! {
        #[test]
        fn they_are_probabilities_and_fall_with_distance(t in 0.0..1e9_f64, degrees in 0.5..1e8_f64) {
            let (near, far) = (student_beyond(t, degrees), student_beyond(t * 1.5 + 0.1, degrees));
            prop_assert!((0.0..=1.0).contains(&near) && (0.0..=1.0).contains(&far) && far <= near + 1e-9);
            prop_assert!((normal_below(t) + normal_below(-t) - 1.0).abs() < 1e-12);
        }
    }
}
