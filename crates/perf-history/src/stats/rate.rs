//! How often it works, where old samples count for less.

use super::{Interval, wilson};

/// A share of successes with exponential forgetting.
///
/// Each new sample multiplies the weight of all earlier ones by 1 − 1⁄memory. The effective number of samples is
/// (Σw)² ⁄ Σw² (Kish, "Survey Sampling", 1965), which forgetting holds below 2·memory: however long the history, what
/// is new keeps its say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecayedRate {
    successes: f64,
    weight: f64,
    square_weight: f64,
}

impl DecayedRate {
    /// Adds one sample. `memory` is a number of samples, at least 1.
    pub fn add(&mut self, success: bool, memory: f64) {
        self.fade(1.0 - 1.0 / memory.max(1.0));
        self.weight += 1.0;
        self.square_weight += 1.0;
        self.successes += f64::from(u8::from(success));
    }

    /// Lets everything so far count for less, by a factor between 0 and 1.
    ///
    /// It grows less certain by that too: the effective number of samples shrinks by the same factor.
    pub fn fade(&mut self, factor: f64) {
        let factor = factor.clamp(0.0, 1.0);
        self.successes *= factor;
        self.weight *= factor;
        self.square_weight *= factor * factor;
    }

    /// The effective number of samples.
    #[must_use]
    pub fn samples(&self) -> f64 {
        self.samples_after(1.0)
    }

    /// The effective number of samples once everything has faded by a factor.
    pub(super) fn samples_after(&self, factor: f64) -> f64 {
        effective(self.weight, self.square_weight, factor)
    }

    /// The share of successes; `None` without samples.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| (self.successes / self.weight).clamp(0.0, 1.0))
    }

    /// Wilson's interval of the share.
    #[must_use]
    pub fn interval(&self, z: f64) -> Interval {
        self.interval_after(1.0, z)
    }

    /// The interval once everything has faded by a factor.
    pub(super) fn interval_after(&self, factor: f64, z: f64) -> Interval {
        let n = self.samples_after(factor);
        wilson(self.rate().unwrap_or(0.0) * n, n, z)
    }
}

/// (Σw)² ⁄ Σw², after all weights have been multiplied by `factor`.
///
/// That quotient does not change when all weights shrink alike, so a single sample that has faded to next to nothing
/// would still count as one. It is therefore held below 2·Σw, which lies above it as long as nothing has faded.
pub(super) fn effective(weight: f64, square_weight: f64, factor: f64) -> f64 {
    let kish = if square_weight > 0.0 { weight * weight / square_weight } else { 0.0 };
    kish.min(2.0 * weight * factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMORY: f64 = 100.0;

    fn of(samples: impl IntoIterator<Item = bool>) -> DecayedRate {
        let mut rate = DecayedRate::default();
        samples.into_iter().for_each(|success| rate.add(success, MEMORY));
        rate
    }

    /// `n` samples of which every `nth` fails.
    fn failing(n: usize, nth: usize) -> impl Iterator<Item = bool> {
        (1..=n).map(move |i| i % nth != 0)
    }

    #[test]
    fn one_of_one_does_not_beat_990_of_1000() {
        let low = |rate: &DecayedRate| rate.interval(1.0).low;
        assert!(low(&of([true])) < low(&of(failing(1_000, 100))));
    }

    #[test]
    fn an_idle_arm_becomes_uncertain_and_keeps_its_rate() {
        let mut rate = of(failing(1_000, 10));
        let (before, wide) = (rate.rate(), rate.interval(1.96));
        rate.fade(0.01);
        assert_eq!(rate.rate().map(|rate| (rate * 1e9).round()), before.map(|rate| (rate * 1e9).round()));
        assert!(rate.samples() < 3.0, "{}", rate.samples());
        assert!(rate.interval(1.96).low < wide.low);
    }

    proptest! {
        #[test]
        fn few_successes_do_not_beat_a_long_good_record(few in 1_usize..4, z in 0.5..3.0_f64) {
            let short = of(std::iter::repeat_n(true, few));
            let long = of(failing(1_000, 100));
            prop_assert!(short.interval(z).low < long.interval(z).low);
        }

        #[test]
        fn one_failure_in_ten_leaves_a_good_record_good(good in 100_usize..2_000, at in 0_usize..10) {
            let mut rate = of(failing(good, 20));
            for i in 0..10 {
                rate.add(i != at, MEMORY);
            }
            let got = rate.rate().unwrap_or(0.0);
            prop_assert!(got > 0.90, "{got}");
        }

        #[test]
        fn a_thousand_failures_end_any_record(good in 0_usize..20_000) {
            let mut rate = of(std::iter::repeat_n(true, good));
            for _ in 0..1_000 {
                rate.add(false, MEMORY);
            }
            prop_assert!(rate.rate().is_some_and(|rate| rate < 0.05));
            prop_assert!(rate.interval(1.96).high < 0.05);
        }

        #[test]
        fn the_number_of_samples_stays_bounded(n in 1_usize..5_000, memory in 2.0..500.0_f64) {
            let mut rate = DecayedRate::default();
            (0..n).for_each(|_| rate.add(true, memory));
            prop_assert!(rate.samples() <= (n as f64).min(2.0 * memory) + 1e-6);
        }
    }
}
