//! Whether what was measured twice has changed. No clock, no file: numbers in, numbers out.
//!
//! Times are compared by their logarithms, because machines and engines slow a model down by factors. A *block* is what one
//! fresh browser gave, summed up as one value, since the runs within a browser depend on each other and blocks do so far
//! less. Formulas and sources: `docs/compare.md`.

use perf_history::stats::{student_beyond, student_quantile};

/// The value below which a share of the values lies, between neighbours by straight line (Hyndman and Fan, "Sample
/// quantiles in statistical packages", 1996, definition 7). `None` of no values.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The middle of the values; `None` of none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// What one fresh browser gave.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "a value and what it is held against are all that there is")]
pub struct Block {
    /// The value, above zero: a median time, or a size.
    pub value: f64,
    /// What the value is divided by for a second look at it, such as the time of the fixed native work around it; `None`
    /// where there is no second look.
    pub beside: Option<f64>,
}

/// How a change is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// The smallest ratio that counts, above 1.
    pub least: f64,
    /// The chance, over all that is judged together, to call something a change that is none. Default 0.01.
    pub alpha: f64,
    /// How much two runs of the same thing differ beyond what their blocks show: the standard deviation of the logarithm of
    /// one run's level. Default 0.07.
    pub between_runs: f64,
    /// How much blocks of one run scatter at least, also where the few that there are happen to lie close together: a
    /// standard deviation of logarithms. Default 0.06.
    pub within_run: f64,
}

impl Rule {
    /// The rule with this least ratio, and defaults for the rest.
    #[must_use]
    pub fn new(least: f64) -> Self {
        Self { least, alpha: 0.01, between_runs: 0.07, within_run: 0.06 }
    }
}

/// How much more the second set of blocks is than the first.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Ratio {
    /// The ratio of the geometric means.
    pub ratio: f64,
    /// The lower end of its interval of 95 %.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How probable so large a ratio would be if nothing had changed.
    pub p_more: f64,
    /// How probable so small a one would be.
    pub p_less: f64,
}

/// The ratio of two sets of positive values after Welch ("The generalization of Student's problem when several different
/// population variances are involved", 1947), on logarithms, with a variance added for what differs from run to run:
///
/// V = s₁²⁄n₁ + s₂²⁄n₂ + 2·σ², t = (m₂ − m₁) ⁄ √V, and Satterthwaite's degrees of freedom
/// V² ⁄ Σ (sᵢ²⁄nᵢ)² ⁄ (nᵢ − 1), with no s below [`Rule::within_run`]: two or three blocks that happen to lie close together do
/// not show that blocks lie close together.
///
/// `None` with fewer than two values on a side: one block does not show how much blocks scatter.
#[must_use]
pub fn ratio(before: &[f64], after: &[f64], rule: &Rule) -> Option<Ratio> {
    let (first, second) = (Moments::of(before, rule)?, Moments::of(after, rule)?);
    let variance = first.of_mean() + second.of_mean() + 2.0 * rule.between_runs * rule.between_runs;
    let part = |moments: Moments| moments.of_mean().powi(2) / (moments.n - 1.0);
    let parts = part(first) + part(second);
    let degrees = if parts > 0.0 { variance * variance / parts } else { f64::INFINITY };
    let (distance, error) = (second.mean - first.mean, variance.sqrt());
    let p_more = match error > 0.0 {
        true => one_sided(distance / error, degrees),
        false => {
            if distance > 0.0 {
                0.0
            } else {
                1.0
            }
        }
    };
    let half = student_quantile(0.05, degrees) * error;
    Some(Ratio {
        ratio: distance.exp(),
        low: (distance - half).exp(),
        high: (distance + half).exp(),
        p_more,
        p_less: 1.0 - p_more,
    })
}

/// How probable at least `t` is.
fn one_sided(t: f64, degrees: f64) -> f64 {
    let beyond = student_beyond(t, degrees) / 2.0;
    if t > 0.0 { beyond } else { 1.0 - beyond }
}

/// Number, mean and variance of logarithms, the variance no less than what is expected.
#[derive(Debug, Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64], rule: &Rule) -> Option<Self> {
        let logs: Vec<f64> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
        if logs.len() < 2 {
            return None;
        }
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Some(Self { n, mean, variance: variance.max(rule.within_run * rule.within_run) })
    }

    fn of_mean(self) -> f64 {
        self.variance / self.n
    }
}

/// How the blocks of one thing changed, as they are and divided by what stands beside them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// By the values as they are.
    pub plain: Ratio,
    /// By the values divided by what stands [`beside`](Block::beside) them; `None` where some block has none.
    pub calibrated: Option<Ratio>,
    /// The ratio that both support: the one of them that is closer to 1, and 1 where they point to different sides.
    pub ratio: f64,
    /// How probable it would be if nothing had become more: the larger of both, because both must show it (Berger,
    /// "Multiparameter hypothesis testing and acceptance sampling", 1982).
    pub p_more: f64,
    /// The same for less.
    pub p_less: f64,
}

/// Compares two sets of blocks. `None` with fewer than two blocks on a side.
#[must_use]
pub fn change(before: &[Block], after: &[Block], rule: &Rule) -> Option<Change> {
    let values = |blocks: &[Block]| blocks.iter().map(|block| block.value).collect::<Vec<_>>();
    let relative = |blocks: &[Block]| {
        let one =
            |block: &Block| block.beside.filter(|beside| *beside > 0.0).map(|beside| block.value / beside);
        blocks.iter().map(one).collect::<Option<Vec<_>>>()
    };
    let plain = ratio(&values(before), &values(after), rule)?;
    let calibrated = match (relative(before), relative(after)) {
        (Some(before), Some(after)) => ratio(&before, &after, rule),
        _ => None,
    };
    let other = calibrated.unwrap_or(plain);
    let both = match (plain.ratio >= 1.0, other.ratio >= 1.0) {
        (true, true) => plain.ratio.min(other.ratio),
        (false, false) => plain.ratio.max(other.ratio),
        _ => 1.0,
    };
    Some(Change {
        plain,
        calibrated,
        ratio: both,
        p_more: plain.p_more.max(other.p_more),
        p_less: plain.p_less.max(other.p_less),
    })
}

/// Adjusts probabilities that are judged together, so that the chance of any false alarm among them stays what it is for one
/// (Holm, "A simple sequentially rejective multiple test procedure", 1979).
#[must_use]
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut least = 0.0_f64;
    for (done, &at) in order.iter().enumerate() {
        least = least.max(((order.len() - done) as f64 * probabilities[at]).min(1.0));
        adjusted[at] = least;
    }
    adjusted
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It is more than before, by enough and surely: slower, or larger.
    Worse,
    /// It is less than before, by enough and surely.
    Better,
    /// Nothing of the kind is shown.
    Same,
}

/// Judges changes together: each is a change where its adjusted probability is below `alpha` and its ratio reaches `least`.
/// Gives each verdict with its adjusted probability.
#[must_use]
pub fn judge(changes: &[(Change, Rule)]) -> Vec<(Verdict, f64)> {
    let more = holm(&changes.iter().map(|(change, _)| change.p_more).collect::<Vec<_>>());
    let less = holm(&changes.iter().map(|(change, _)| change.p_less).collect::<Vec<_>>());
    let one = |(at, (change, rule)): (usize, &(Change, Rule))| {
        if more[at] < rule.alpha && change.ratio >= rule.least {
            (Verdict::Worse, more[at])
        } else if less[at] < rule.alpha && change.ratio <= 1.0 / rule.least {
            (Verdict::Better, less[at])
        } else {
            (Verdict::Same, more[at].min(less[at]))
        }
    };
    changes.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[track_caller]
    fn near(got: f64, expected: f64, within: f64) {
        assert!((got - expected).abs() <= within, "{got} instead of {expected}");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        near(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5).expect("values"), 2.5, 1e-12);
        near(quantile(&[1.0, 2.0, 3.0, 4.0, f64::NAN], 0.95).expect("values"), 3.85, 1e-12);
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn welch_as_published() {
        // Two sets whose logarithms have means 0 and 1, variances 1 and 4, and sizes 4 and 3, built to be so.
        let scaled = |shape: &[f64], mean: f64, deviation: f64| -> Vec<f64> {
            let n = shape.len() as f64;
            let middle = shape.iter().sum::<f64>() / n;
            let spread = (shape.iter().map(|x| (x - middle).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            shape.iter().map(|x| (mean + deviation * (x - middle) / spread).exp()).collect()
        };
        let before = scaled(&[1.0, 2.0, 4.0, 8.0], 0.0, 1.0);
        let after = scaled(&[1.0, 2.0, 5.0], 1.0, 2.0);
        let bare = Rule { between_runs: 0.0, within_run: 0.0, ..Rule::new(1.25) };
        let got = ratio(&before, &after, &bare).expect("enough values");
        near(got.ratio, 1.0_f64.exp(), 1e-9);
        // V = 1/4 + 4/3; degrees = V² / ((1/4)²/3 + (4/3)²/2) = 2.7557; t = 0.79472.
        let (variance, degrees) = (0.25_f64 + 4.0 / 3.0, 2.755_725_190_839_695_f64);
        let t = 1.0 / variance.sqrt();
        near(got.p_more, student_beyond(t, degrees) / 2.0, 1e-6);
        near(got.p_more + got.p_less, 1.0, 1e-12);
        assert!(got.low < got.ratio && got.ratio < got.high);
    }

    #[test]
    fn holm_as_published() {
        // Holm's procedure on 0.01, 0.04, 0.03, 0.005 gives 0.03, 0.06, 0.06, 0.02.
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(*got, expected, 1e-12);
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn one_block_shows_nothing() {
        assert_eq!(ratio(&[1.0], &[2.0, 2.0], &Rule::new(1.25)), None);
        assert_eq!(ratio(&[1.0, 0.0], &[2.0, 2.0], &Rule::new(1.25)), None);
    }

    /// What a noisy machine does to the blocks of a run.
    #[derive(Clone, Copy)]
    struct World {
        /// Standard deviation of a run's level, and of a block within it, of logarithms.
        run: f64,
        block: f64,
        /// Correlation of a block with the one before.
        correlation: f64,
        /// How often another program disturbs a block, and by which factor at most.
        disturbed: f64,
        factor: f64,
        /// How much of the run's level the native work feels too, from 0 to 1.
        felt: f64,
    }

    fn normal(random: &mut SmallRng) -> f64 {
        // Box and Muller, "A note on the generation of random normal deviates", 1958.
        let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    impl World {
        fn run(&self, level: f64, blocks: usize, random: &mut SmallRng) -> Vec<Block> {
            let run = self.run * normal(random);
            let mut drift = self.block * normal(random);
            (0..blocks)
                .map(|_| {
                    let fresh = (1.0 - self.correlation.powi(2)).sqrt();
                    drift = self.correlation * drift + fresh * self.block * normal(random);
                    let hit = match random.random_bool(self.disturbed) {
                        true => 1.0 + random.random::<f64>() * (self.factor - 1.0),
                        false => 1.0,
                    };
                    let kernel = (self.felt * run + 0.03 * normal(random)).exp();
                    Block { value: level * (run + drift).exp() * hit, beside: Some(kernel) }
                })
                .collect()
        }
    }

    /// Eight arms in each of so many pairs of runs, one of them by `slower`: how often any other was called worse, and how
    /// often that one was.
    fn trials(world: World, blocks: usize, slower: f64) -> (f64, f64) {
        const TRIALS: u32 = 400;
        let mut random = SmallRng::seed_from_u64(7);
        let (mut alarms, mut found) = (0_u32, 0_u32);
        for _ in 0..TRIALS {
            let rule = Rule::new(1.25);
            let changes: Vec<(Change, Rule)> = (0..8)
                .map(|arm| {
                    let level = 10.0 * f64::from(arm + 1);
                    let before = world.run(level, blocks, &mut random);
                    let after = world.run(level * if arm == 0 { slower } else { 1.0 }, blocks, &mut random);
                    (change(&before, &after, &rule).expect("enough blocks"), rule)
                })
                .collect();
            let verdicts = judge(&changes);
            let worse = |range: std::ops::Range<usize>| {
                verdicts[range].iter().any(|(verdict, _)| *verdict == Verdict::Worse)
            };
            alarms += u32::from(worse(if slower > 1.0 { 1..8 } else { 0..8 }));
            found += u32::from(worse(0..1));
        }
        (f64::from(alarms) / f64::from(TRIALS), f64::from(found) / f64::from(TRIALS))
    }

    const QUIET: World =
        World { run: 0.03, block: 0.03, correlation: 0.0, disturbed: 0.0, factor: 1.0, felt: 0.5 };
    /// Levels that differ by a tenth from run to run, drift within a run, and other programs now and then.
    const NOISY: World =
        World { run: 0.1, block: 0.08, correlation: 0.7, disturbed: 0.15, factor: 2.0, felt: 0.7 };

    #[test]
    fn noise_alone_is_no_alarm() {
        // What is allowed is one of a hundred; the noisy world has more scatter than the rule assumes.
        for (world, blocks, most) in [
            (QUIET, 2, 0.01),
            (QUIET, 3, 0.01),
            (QUIET, 5, 0.01),
            (NOISY, 2, 0.03),
            (NOISY, 3, 0.02),
            (NOISY, 5, 0.015),
            (NOISY, 10, 0.015),
        ] {
            let (alarms, _) = trials(world, blocks, 1.0);
            assert!(alarms <= most, "{alarms} of runs with {blocks} blocks had a false alarm");
        }
    }

    #[test]
    fn an_arm_that_became_slow_is_found() {
        for (world, blocks, slower, least) in
            [(QUIET, 3, 1.5, 0.85), (QUIET, 3, 2.0, 1.0), (NOISY, 5, 2.0, 0.65), (NOISY, 10, 2.0, 0.9)]
        {
            let (alarms, found) = trials(world, blocks, slower);
            assert!(found >= least, "×{slower} with {blocks} blocks was found in {found}");
            assert!(alarms <= 0.02, "{alarms}");
        }
    }

    #[test]
    fn a_busy_machine_is_no_change_and_a_change_of_all_is_one() {
        let rule = Rule::new(1.25);
        let blocks = |value: f64, kernel: f64| {
            [0.99, 1.0, 1.01].map(|wobble| Block { value: value * wobble, beside: Some(kernel * wobble) })
        };
        // Everything takes twice as long, the native work too.
        let busy = change(&blocks(10.0, 5.0), &blocks(20.0, 10.0), &rule).expect("blocks");
        assert_eq!(judge(&[(busy, rule); 8])[0].0, Verdict::Same);
        // Every arm takes twice as long, the native work does not.
        let slower = change(&blocks(10.0, 5.0), &blocks(20.0, 5.0), &rule).expect("blocks");
        assert!(judge(&[(slower, rule); 8]).iter().all(|(verdict, _)| *verdict == Verdict::Worse));
        // Both on a machine that is now twice as fast at the rest.
        let hidden = change(&blocks(10.0, 5.0), &blocks(10.0, 2.5), &rule).expect("blocks");
        assert_eq!(judge(&[(hidden, rule)])[0].0, Verdict::Same);
    }

    #[test]
    fn ratios_turn_round() {
        let mut random = SmallRng::seed_from_u64(3);
        for _ in 0..200 {
            let mut set = |n: usize| (0..n).map(|_| (2.0 * normal(&mut random)).exp()).collect::<Vec<_>>();
            let (before, after) = (set(3), set(5));
            let (there, back) = (
                ratio(&before, &after, &Rule::new(1.25)).expect("values"),
                ratio(&after, &before, &Rule::new(1.25)).expect("values"),
            );
            near(there.ratio * back.ratio, 1.0, 1e-9);
            near(there.low * back.high, 1.0, 1e-6);
            near(there.p_more, back.p_less, 1e-9);
            assert!((0.0..=1.0).contains(&there.p_more) && there.low <= there.high);
        }
    }
}
