//! How far from an estimate the truth may lie.

/// A range that probably holds the true value.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "two ends are all that a range has")]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The score interval of a share of successes, after Wilson ("Probable inference, the law of succession, and
/// statistical inference", 1927):
///
/// (p + z²⁄2n ± z·√(p(1−p)⁄n + z²⁄4n²)) ⁄ (1 + z²⁄n), where p = successes ⁄ n.
///
/// `n` may be a fraction, where old samples count for less. `z` is the number of standard deviations: 1.96 for 95 %.
/// Without samples, nothing is known: 0 to 1.
#[must_use]
pub fn wilson(successes: f64, n: f64, z: f64) -> Interval {
    if !(n.is_finite() && n > 0.0 && successes.is_finite() && z.is_finite()) {
        return Interval { low: 0.0, high: 1.0 };
    }
    let p = (successes / n).clamp(0.0, 1.0);
    let z2 = z * z;
    let middle = p + z2 / (2.0 * n);
    let half = z.abs() * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Interval {
        low: ((middle - half) / scale).clamp(0.0, 1.0),
        high: ((middle + half) / scale).clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Against figures that others have published for the interval.
    #[track_caller]
    fn check(successes: f64, n: f64, low: f64, high: f64) {
        let got = wilson(successes, n, 1.96);
        assert!((got.low - low).abs() < 5e-4 && (got.high - high).abs() < 5e-4, "{got:?}");
    }

    #[test]
    fn published_figures() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        check(81.0, 263.0, 0.2553, 0.3662);
        check(15.0, 148.0, 0.0624, 0.1605);
        check(0.0, 20.0, 0.0, 0.1611);
        check(1.0, 29.0, 0.0061, 0.1718);
    }

    #[test]
    fn nothing_is_known_without_samples() {
        assert_eq!(wilson(0.0, 0.0, 1.96), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(f64::NAN, 1.0, 1.96), Interval { low: 0.0, high: 1.0 });
    }

    proptest! {
        #[test]
        fn it_holds_the_share_and_narrows_with_samples(p in 0.0..=1.0_f64, n in 1.0..1e6_f64, z in 0.1..4.0_f64) {
            let few = wilson(p * n, n, z);
            let many = wilson(p * n * 4.0, n * 4.0, z);
            prop_assert!(few.low <= p + 1e-9 && p <= few.high + 1e-9);
            prop_assert!(many.high - many.low <= few.high - few.low + 1e-12);
        }
    }
}
