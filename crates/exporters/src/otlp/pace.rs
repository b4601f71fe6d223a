//! How long to wait before a request is repeated. Decides only; the clock is somebody else's.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// The longest wait before the first repetition.
const BASE: Duration = Duration::from_secs(1);
/// The longest wait that is not asked for.
const CAP: Duration = Duration::from_secs(30);
/// The shortest wait of all, however short a wait the collector asks for.
const LEAST: Duration = Duration::from_millis(100);

/// Waits that double, each drawn between half and whole, so that many that failed together do not come back together.
#[derive(Debug)]
pub(super) struct Pace {
    random: SmallRng,
    window: Duration,
}

impl Pace {
    pub(super) fn new(window: Duration, seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), window }
    }

    /// How long to wait before repetition `repetition`, from 1, when so much time has gone by since the first failure;
    /// `None` where it is not repeated. The collector's own wish counts more than the doubling.
    pub(super) fn wait(
        &mut self,
        repetition: u32,
        elapsed: Duration,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        let longest = BASE.saturating_mul(1 << repetition.saturating_sub(1).min(16)).min(CAP);
        let own = longest.mul_f64(self.random.random_range(0.5..=1.0));
        let wait = asked.unwrap_or(own).max(LEAST);
        (elapsed.saturating_add(wait) <= self.window).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    #[track_caller]
    fn check(repetition: u32, elapsed_s: u64, asked_s: Option<u64>, between: Option<(u64, u64)>) {
        let (elapsed, asked) = (Duration::from_secs(elapsed_s), asked_s.map(Duration::from_secs));
        for seed in 0..50 {
            let wait = Pace::new(WINDOW, seed).wait(repetition, elapsed, asked);
            match between {
                None => assert_eq!(wait, None),
                Some((low, high)) => {
                    let range = Duration::from_millis(low)..=Duration::from_millis(high);
                    assert!(wait.is_some_and(|wait| range.contains(&wait)), "{wait:?}");
                }
            }
        }
    }

    #[test]
    fn waits_double_up_to_a_cap() {
        check(1, 0, None, Some((500, 1_000)));
        check(3, 0, None, Some((2_000, 4_000)));
        check(40, 0, None, Some((15_000, 30_000)));
    }

    #[test]
    fn what_the_collector_asks_for_is_done() {
        check(1, 0, Some(7), Some((7_000, 7_000)));
        check(5, 0, Some(0), Some((100, 100)));
    }

    #[test]
    fn nothing_goes_on_beyond_the_window() {
        check(40, 50, None, None);
        check(1, 0, Some(61), None);
        check(1, 59, Some(1), Some((1_000, 1_000)));
    }
}
