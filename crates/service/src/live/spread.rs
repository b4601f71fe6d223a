//! How times are spread, in classes that are as wide relative to their times everywhere.

use std::time::Duration;

/// Classes of each tenfold.
const EACH: usize = 20;
/// Tenfolds: from a tenth of a millisecond to a hundred seconds. What lies beyond counts in the outermost class.
const TENFOLDS: usize = 6;
const CLASSES: usize = EACH * TENFOLDS;
/// The lower bound of the first class, in milliseconds.
const FIRST_MS: f64 = 0.1;

/// Counts of times by class. Counts only grow, so the spread of a while is the difference of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spread([u64; CLASSES]);

impl Default for Spread {
    fn default() -> Self {
        Self([0; CLASSES])
    }
}

impl Spread {
    pub(crate) fn add(&mut self, took: Duration) {
        let class = (took.as_secs_f64() * 1e3 / FIRST_MS).log10() * EACH as f64;
        // A time of zero has no logarithm, and counts in the first class; a cast takes care of both ends.
        self.0[(class.max(0.0) as usize).min(CLASSES - 1)] += 1;
    }

    /// Adds what `now` counts more than `before`.
    pub(crate) fn add_since(&mut self, now: &Self, before: &Self) {
        for (sum, (now, before)) in self.0.iter_mut().zip(now.0.iter().zip(&before.0)) {
            *sum += now.saturating_sub(*before);
        }
    }

    /// The time below which this share lies, in milliseconds, right to 6 %; `None` without any.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.0.iter().sum();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let class = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        (total > 0).then(|| FIRST_MS * 10_f64.powf((class as f64 + 0.5) / EACH as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_six_percent() {
        for (micros, share) in [(150_u64, 0.5), (1_000, 0.95), (37_000, 0.5), (9_000_000, 0.99)] {
            let mut spread = Spread::default();
            (0..100).for_each(|_| spread.add(Duration::from_micros(micros)));
            let got = spread.quantile(share).expect("there are times");
            assert!((got / (micros as f64 / 1e3) - 1.0).abs() < 0.06, "{got} for {micros} µs");
        }
    }

    #[test]
    fn a_while_is_the_difference_and_the_ends_hold_what_lies_beyond() {
        let (mut before, mut while_) = (Spread::default(), Spread::default());
        (0..50).for_each(|_| before.add(Duration::ZERO));
        let mut now = before.clone();
        (0..9).for_each(|_| now.add(Duration::from_millis(10)));
        now.add(Duration::from_secs(5_000));
        while_.add_since(&now, &before);
        assert!(while_.quantile(0.5).is_some_and(|ms| (9.0..11.0).contains(&ms)));
        assert!(while_.quantile(1.0).is_some_and(|ms| ms > 90_000.0));
        assert_eq!(Spread::default().quantile(0.5), None);
    }
}
