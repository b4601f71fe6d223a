//! Noticing that an arm has become slower or faster.

use super::DecayedLatency;
use super::latency::logarithm;

/// Watches latencies for a lasting change, by two cumulative sums, one for each direction (Page, "Continuous inspection
/// schemes", 1954).
///
/// Each latency is put into standard deviations from what is known, z = (ln x − μ) ⁄ σ, and cut off at ±4, so that no
/// single one can raise the alarm. The sums are S⁺ ← max(0, S⁺ + z − k) and S⁻ ← max(0, S⁻ − z − k) with k = 0.75; above
/// h = 6 one means a change. The samples since that sum was zero are then all that the new regime is known from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drift {
    slower: Sum,
    faster: Sum,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Sum {
    value: f64,
    /// The latencies in milliseconds since it was zero, the last few of them.
    since: Vec<f64>,
}

const SLACK: f64 = 0.75;
const ALARM: f64 = 6.0;
const CUT: f64 = 4.0;
/// How many samples must be known before a deviation means anything.
const KNOWN: f64 = 5.0;
/// How many samples a new regime starts from at most.
const KEPT: usize = 16;

/// Which way an arm has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Direction {
    /// It takes longer than before.
    Slower,
    /// It takes less time than before.
    Faster,
}

/// A lasting change of an arm's latency.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// The geometric mean before, in milliseconds.
    pub before_ms: f64,
    /// The geometric mean of the samples that showed it, in milliseconds.
    pub after_ms: f64,
    /// How many samples showed it.
    pub samples: u32,
}

impl Sum {
    /// Adds a deviation in this sum's direction; answers whether that is an alarm.
    fn add(&mut self, deviation: f64, ms: f64) -> bool {
        self.value = (self.value + deviation - SLACK).max(0.0);
        if self.value == 0.0 {
            self.since.clear();
            return false;
        }
        if self.since.len() == KEPT {
            self.since.remove(0);
        }
        self.since.push(ms);
        self.value > ALARM
    }
}

impl Drift {
    /// Looks at a latency before it is added to what is known. Where it shows a change, `known` is made anew from the
    /// samples that showed it, this one included; otherwise it is the caller's to add it.
    pub fn notice(&mut self, ms: f64, known: &mut DecayedLatency, memory: f64) -> Option<Change> {
        let mean = known.mean().filter(|_| known.samples() >= KNOWN && ms.is_finite())?;
        let deviation = ((logarithm(ms) - mean) / known.sigma()).clamp(-CUT, CUT);
        let slower = self.slower.add(deviation, ms);
        let faster = self.faster.add(-deviation, ms);
        let (direction, sum) = match (slower, faster) {
            (true, _) => (Direction::Slower, &self.slower),
            (_, true) => (Direction::Faster, &self.faster),
            _ => return None,
        };
        let before_ms = mean.exp();
        *known = DecayedLatency::default();
        sum.since.iter().for_each(|&ms| known.add(ms, memory));
        let after_ms = known.geometric_mean_ms().unwrap_or(ms);
        let samples = u32::try_from(sum.since.len()).unwrap_or(u32::MAX);
        *self = Self::default();
        Some(Change { direction, before_ms, after_ms, samples })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMORY: f64 = 50.0;

    /// Latencies around `ms` that spread by about a tenth, in a fixed irregular order.
    fn noisy(ms: f64, seed: u64, n: usize) -> impl Iterator<Item = f64> {
        let mut state = seed;
        (0..n).map(move |_| {
            // The sum of four uniform numbers, of SplitMix64, is close enough to a normal one.
            let mut sum = 0.0;
            for _ in 0..4 {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                sum += ((z ^ (z >> 31)) >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
            }
            ms * (0.17 * sum).exp()
        })
    }

    /// After how many of `samples` a change is noticed.
    fn noticed(
        known: &mut DecayedLatency,
        drift: &mut Drift,
        samples: impl Iterator<Item = f64>,
    ) -> Option<(usize, Change)> {
        for (i, ms) in samples.enumerate() {
            if let Some(change) = drift.notice(ms, known, MEMORY) {
                return Some((i + 1, change));
            }
            known.add(ms, MEMORY);
        }
        None
    }

    #[track_caller]
    fn check(from: f64, to: f64, seed: u64, within: usize) {
        let (mut known, mut drift) = (DecayedLatency::default(), Drift::default());
        noisy(from, seed, 40).for_each(|ms| known.add(ms, MEMORY));
        let (after, change) =
            noticed(&mut known, &mut drift, noisy(to, seed + 1, 200)).expect("it is noticed");
        assert!(after <= within, "noticed after {after} samples");
        let expected = if to > from { Direction::Slower } else { Direction::Faster };
        assert_eq!(change.direction, expected);
        assert!((change.before_ms / from).ln().abs() < 0.1, "{change:?}");
        // What is known from now on is the new regime, not a mixture.
        assert!(known.geometric_mean_ms().is_some_and(|ms| (ms / to).ln().abs() < 0.25), "{change:?}");
    }

    #[test]
    fn a_factor_is_noticed_within_a_few_samples() {
        for seed in 0..50 {
            check(50.0, 200.0, seed, 3);
            check(200.0, 50.0, seed, 3);
            check(5_000.0, 10_000.0, seed, 3);
        }
    }

    #[test]
    fn thirty_per_cent_are_noticed_within_tens_of_samples() {
        for seed in 0..50 {
            check(50.0, 65.0, seed, 20);
            check(65.0, 50.0, seed, 20);
        }
    }

    #[test]
    fn noise_alone_is_seldom_a_change() {
        let mut alarms = 0;
        for seed in 0..50 {
            let (mut known, mut drift) = (DecayedLatency::default(), Drift::default());
            noisy(50.0, seed, 40).for_each(|ms| known.add(ms, MEMORY));
            alarms += usize::from(noticed(&mut known, &mut drift, noisy(50.0, seed + 1_000, 400)).is_some());
        }
        assert!(alarms <= 10, "{alarms} of 50 steady histories of 400 runs raised an alarm");
    }

    proptest! {
        #[test]
        fn one_outlier_is_no_change(ms in 1e-3..1e9_f64, seed in any::<u64>()) {
            let (mut known, mut drift) = (DecayedLatency::default(), Drift::default());
            noisy(50.0, seed, 40).for_each(|ms| known.add(ms, MEMORY));
            prop_assert_eq!(drift.notice(ms, &mut known, MEMORY), None);
        }
    }
}
