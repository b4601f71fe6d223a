//! How long it takes, where old samples count for less.

use super::rate::effective;
use super::{Interval, LatencySketch};
use crate::LEAST_MS;

/// Latencies with exponential forgetting, as mean and variance of their logarithms.
///
/// Logarithms, because latencies differ by factors: 50 ms against 40 ms is as much as 5 s against 4 s, and one run that
/// took ten times as long moves a mean of logarithms little.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecayedLatency {
    weight: f64,
    square_weight: f64,
    mean: f64,
    /// The weighted sum of squared distances from the mean.
    spread: f64,
    sketch: LatencySketch,
}

/// The relative spread that is assumed at the least: a clock in a page counts in steps.
const LEAST_SIGMA: f64 = 0.05;
/// The relative spread that is assumed as long as there are no two samples to tell it from.
const UNKNOWN_SIGMA: f64 = 0.5;

/// The logarithm of a latency in milliseconds, as it is averaged.
pub(super) fn logarithm(ms: f64) -> f64 {
    ms.clamp(LEAST_MS, 1e12).ln()
}

impl DecayedLatency {
    /// Adds one latency in milliseconds; what is not a number is left out. `memory` is a number of samples, at least 1.
    pub fn add(&mut self, ms: f64, memory: f64) {
        if !ms.is_finite() {
            return;
        }
        self.fade(1.0 - 1.0 / memory.max(1.0));
        let ln = logarithm(ms);
        self.weight += 1.0;
        self.square_weight += 1.0;
        // West, "Updating mean and variance estimates", 1979.
        let from_old = ln - self.mean;
        self.mean += from_old / self.weight;
        self.spread += from_old * (ln - self.mean);
        self.sketch.add(ms.max(LEAST_MS), 1.0);
    }

    /// Lets everything so far count for less, by a factor between 0 and 1.
    pub fn fade(&mut self, factor: f64) {
        let factor = factor.clamp(0.0, 1.0);
        self.weight *= factor;
        self.square_weight *= factor * factor;
        self.spread *= factor;
        self.sketch.scale(factor);
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

    /// The mean of the logarithms; `None` without samples.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// The standard deviation of the logarithms, about the relative spread of the latencies.
    pub(super) fn sigma(&self) -> f64 {
        if self.samples() < 2.0 {
            return UNKNOWN_SIGMA;
        }
        (self.spread / self.weight).max(0.0).sqrt().max(LEAST_SIGMA)
    }

    /// The geometric mean in milliseconds; `None` without samples.
    #[must_use]
    pub fn geometric_mean_ms(&self) -> Option<f64> {
        self.mean().map(f64::exp)
    }

    /// The interval of the geometric mean in milliseconds, `z` standard errors to each side: exp(μ ± z·σ⁄√n).
    #[must_use]
    pub fn interval_ms(&self, z: f64) -> Option<Interval> {
        self.interval_after(1.0, z)
    }

    /// The interval once everything has faded by a factor.
    pub(super) fn interval_after(&self, factor: f64, z: f64) -> Option<Interval> {
        let mean = self.mean()?;
        let half = z.abs() * self.sigma() / self.samples_after(factor).max(0.1).sqrt();
        Some(Interval { low: (mean - half).exp(), high: (mean + half).exp() })
    }

    /// A quantile in milliseconds, of what is remembered.
    #[must_use]
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.sketch.quantile(q)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(samples: &[f64]) -> DecayedLatency {
        let mut latency = DecayedLatency::default();
        samples.iter().for_each(|&ms| latency.add(ms, 50.0));
        latency
    }

    #[test]
    fn one_outlier_moves_it_little_and_a_lasting_change_moves_it_all_the_way() {
        let mut latency = of(&[10.0; 100]);
        latency.add(100.0, 50.0);
        assert!(latency.geometric_mean_ms().is_some_and(|ms| ms < 11.0));
        (0..500).for_each(|_| latency.add(100.0, 50.0));
        assert!(latency.geometric_mean_ms().is_some_and(|ms| ms > 99.0));
    }

    proptest! {
        #[test]
        fn numbers_stay_numbers(samples in prop::collection::vec(any::<f64>(), 0..100), q in 0.0..=1.0_f64) {
            let latency = of(&samples);
            if let Some(ms) = latency.geometric_mean_ms() {
                let interval = latency.interval_ms(1.96).expect("it has samples");
                prop_assert!(ms.is_finite() && interval.low <= ms * 1.000_001 && ms <= interval.high * 1.000_001);
                prop_assert!(latency.quantile_ms(q).is_some_and(f64::is_finite));
            }
        }

        #[test]
        fn without_forgetting_it_is_the_geometric_mean(samples in prop::collection::vec(0.1..1e5_f64, 1..50)) {
            let mut latency = DecayedLatency::default();
            samples.iter().for_each(|&ms| latency.add(ms, f64::INFINITY));
            let exact = (samples.iter().map(|ms| ms.ln()).sum::<f64>() / samples.len() as f64).exp();
            prop_assert!((latency.geometric_mean_ms().unwrap_or(0.0) / exact - 1.0).abs() < 1e-9);
        }
    }
}
