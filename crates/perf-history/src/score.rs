//! One number for an arm, from how often it works and how fast it is.

use crate::stats::Estimate;

/// What success and latency weigh in a score, and how careful it is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct ScoreWeights {
    success: f64,
    latency: f64,
    z: f64,
}

/// Weights that cannot work.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A weight is negative or not a number.
    #[error("{name} must be a number of at least 0, not {got}")]
    Weight {
        /// Which one.
        name: &'static str,
        /// What was given.
        got: f64,
    },
    /// Both weights are zero.
    #[error("the weights of success and latency must not both be 0")]
    Nothing,
}

/// What weights are read from.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    success: f64,
    latency: f64,
    z: f64,
}

impl TryFrom<Unchecked> for ScoreWeights {
    type Error = WeightsError;

    fn try_from(Unchecked { success, latency, z }: Unchecked) -> Result<Self, Self::Error> {
        Self::new(success, latency)?.with_z(z)
    }
}

impl Default for ScoreWeights {
    /// 70 % success, 30 % latency, one standard deviation.
    fn default() -> Self {
        Self { success: 0.7, latency: 0.3, z: 1.0 }
    }
}

impl ScoreWeights {
    /// Weights in any proportion; they are divided by their sum.
    ///
    /// # Errors
    /// A weight that is negative or not a number, or both zero.
    pub fn new(success: f64, latency: f64) -> Result<Self, WeightsError> {
        for (name, got) in [("the weight of success", success), ("the weight of latency", latency)] {
            if !(got.is_finite() && got >= 0.0) {
                return Err(WeightsError::Weight { name, got });
            }
        }
        let sum = success + latency;
        if sum == 0.0 {
            return Err(WeightsError::Nothing);
        }
        Ok(Self { success: success / sum, latency: latency / sum, ..Self::default() })
    }

    /// How many standard deviations below its rate an arm's success is taken to be. Default 1.
    ///
    /// # Errors
    /// A number that is negative or not a number.
    pub fn with_z(self, z: f64) -> Result<Self, WeightsError> {
        if !(z.is_finite() && z >= 0.0) {
            return Err(WeightsError::Weight { name: "z", got: z });
        }
        Ok(Self { z, ..self })
    }

    /// The number of standard deviations that estimates are to be made with.
    #[must_use]
    pub fn z(&self) -> f64 {
        self.z
    }

    /// w_s · s + w_l · best ⁄ latency, between 0 and 1: `success` is the lower end of Wilson's interval, and `best_ms`
    /// the lowest latency among the arms that are compared. Relative to the best one, because what counts as fast
    /// depends on the model: 5 s against 10 s must weigh as much as 5 ms against 10 ms.
    #[must_use]
    pub fn score(&self, success: f64, latency_ms: f64, best_ms: f64) -> f64 {
        let relative = if latency_ms > 0.0 { (best_ms / latency_ms).clamp(0.0, 1.0) } else { 1.0 };
        self.success * success.clamp(0.0, 1.0) + self.latency * relative
    }

    /// The scores of arms that are compared with each other, in their order. An arm whose latency is not known gets
    /// none for latency.
    #[must_use]
    pub fn scores(&self, estimates: &[Estimate]) -> Vec<f64> {
        let best = estimates.iter().filter_map(|estimate| estimate.latency_ms).fold(f64::INFINITY, f64::min);
        let score = |estimate: &Estimate| {
            let latency = estimate.latency_ms.unwrap_or(f64::INFINITY);
            let best = if latency.is_finite() { best } else { 0.0 };
            self.score(estimate.success.low, latency, best)
        };
        estimates.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vocab::{Backend, BrowserName, DeviceKind, ModelHash, WorkerId};

    use super::*;
    use crate::stats::{ArmStats, Memory};
    use crate::{Arm, ModelId, Observation, Operation, Outcome, ShapeBucket, UnixMillis};

    fn run(at: i64, outcome: Outcome, ms: f64) -> Observation {
        let model = ModelId {
            hash: ModelHash([0; 32]),
            name: "m".into(),
            version: "".into(),
            model_type: None,
            precision: "".into(),
        };
        let arm = Arm {
            browser: BrowserName::Firefox,
            browser_version: "1".into(),
            backend: Backend::Wasm,
            device_requested: None,
            device_effective: DeviceKind::Cpu,
            adapter: None,
            threads: 2,
        };
        Observation {
            at: UnixMillis(at),
            model: model.into(),
            shape: ShapeBucket::default(),
            arm: arm.into(),
            worker: WorkerId(1),
            operation: Operation::Run,
            outcome,
            warm: true,
            load_ms: None,
            queue_ms: None,
            in_page_ms: Some(ms),
            service_ms: None,
            total_ms: None,
            bytes_in: None,
            bytes_out: None,
            memory_bytes: None,
        }
    }

    /// What is thought of an arm after runs that take `ms`, of which every `nth` fails.
    fn estimate(n: usize, nth: usize, ms: f64) -> Estimate {
        let (mut stats, memory) = (ArmStats::default(), Memory::default());
        for i in 1..=n {
            let outcome = if i % nth == 0 { Outcome::WorkerVanished } else { Outcome::Ok };
            stats.observe(&run(i as i64, outcome, ms), &memory);
        }
        stats.estimate(UnixMillis(n as i64), ScoreWeights::default().z(), &memory)
    }

    #[track_caller]
    fn check_first_wins(first: Estimate, second: Estimate) {
        let scores = ScoreWeights::default().scores(&[first, second]);
        assert!(scores[0] > scores[1], "{scores:?}");
    }

    #[test]
    fn one_of_one_does_not_beat_990_of_1000() {
        check_first_wins(estimate(1_000, 100, 50.0), estimate(1, 2, 50.0));
    }

    #[test]
    fn slow_models_are_ranked_by_latency_too() {
        check_first_wins(estimate(50, 1_000, 5_000.0), estimate(50, 1_000, 6_000.0));
        check_first_wins(estimate(50, 1_000, 60_000.0), estimate(50, 1_000, 90_000.0));
    }

    #[test]
    fn what_fails_often_loses_however_fast_it_is() {
        check_first_wins(estimate(50, 1_000, 100.0), estimate(50, 2, 60.0));
    }

    #[test]
    fn errors_of_callers_change_nothing() {
        let (mut stats, memory) = (ArmStats::default(), Memory::default());
        stats.observe(&run(1, Outcome::Ok, 5.0), &memory);
        let before = stats.clone();
        (0..100).for_each(|_| assert_eq!(stats.observe(&run(2, Outcome::CallersError, 5.0), &memory), None));
        assert_eq!(stats, before);
    }

    #[test]
    fn weights_are_checked_and_keep_their_proportion() {
        assert!(ScoreWeights::new(-1.0, 1.0).is_err());
        assert!(ScoreWeights::new(f64::NAN, 1.0).is_err());
        assert_eq!(ScoreWeights::new(0.0, 0.0), Err(WeightsError::Nothing));
        assert_eq!(ScoreWeights::new(7.0, 3.0).map(|w| (w.score(1.0, 2.0, 1.0) * 100.0).round()), Ok(85.0));
    }

    proptest! {
        #[test]
        fn the_faster_of_two_equally_reliable_arms_wins_at_any_speed(
            ms in 0.01..1e6_f64, times in 1.1..100.0_f64, n in 10_usize..200,
        ) {
            let scores = ScoreWeights::default().scores(&[estimate(n, 1_000, ms), estimate(n, 1_000, ms * times)]);
            prop_assert!(scores[0] > scores[1]);
        }

        #[test]
        fn scores_lie_between_0_and_1(success in any::<f64>(), latency in any::<f64>(), best in 0.0..1e9_f64) {
            let score = ScoreWeights::default().score(if success.is_nan() { 0.0 } else { success }, latency, best);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&score), "{score}");
        }
    }
}
