//! How the next token is drawn.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::error::ShardingError;

/// How the next token follows from the model's scores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Sampling {
    /// The token with the highest score; among equals the one with the lowest number.
    #[default]
    Greedy,
    /// A token drawn by its probability. The same seed draws the same tokens from the same scores.
    Random {
        /// What scores are divided by before they become probabilities. Above 0; below 1 likely tokens become likelier.
        temperature: f64,
        /// Only so many of the likeliest tokens are drawn from; 0 for all.
        top_k: usize,
        /// Only the likeliest tokens are drawn from that have this probability together; 1 for all (nucleus sampling;
        /// Holtzman et al., ICLR 2020).
        top_p: f64,
        /// The seed.
        seed: u64,
    },
}

/// Draws tokens.
#[derive(Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    random: SmallRng,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling) -> Result<Self, ShardingError> {
        let refused = |why: &str| Err(ShardingError::Generation { why: why.to_owned() });
        let seed = match sampling {
            Sampling::Greedy => 0,
            Sampling::Random { temperature, .. } if !temperature.is_finite() || temperature <= 0.0 => {
                return refused(
                    "the temperature must be a number above 0; for the likeliest token use greedy",
                );
            }
            Sampling::Random { top_p, .. } if top_p.is_nan() || top_p <= 0.0 || top_p > 1.0 => {
                return refused("top_p must be above 0 and at most 1");
            }
            Sampling::Random { seed, .. } => seed,
        };
        Ok(Self { sampling, random: SmallRng::seed_from_u64(seed) })
    }

    /// The next token, by the scores of all; `None` where no score is a number.
    pub(super) fn draw(&mut self, scores: &[f32]) -> Option<usize> {
        let Sampling::Random { temperature, top_k, top_p, .. } = self.sampling else { return best(scores) };
        let highest = f64::from(scores[best(scores)?]);
        let weight = |score: f32| ((f64::from(score) - highest) / temperature).exp();
        let mut likely: Vec<(usize, f64)> = scores
            .iter()
            .enumerate()
            .filter(|(_, score)| score.is_finite())
            .map(|(token, &score)| (token, weight(score)))
            .collect();
        likely.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        if top_k > 0 {
            likely.truncate(top_k);
        }
        let total: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let kept = likely.iter().position(|(_, weight)| {
            sum += weight;
            sum >= top_p * total
        });
        likely.truncate(kept.map_or(likely.len(), |last| last + 1));
        let total: f64 = likely.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.random::<f64>() * total;
        let drawn = likely.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        // What rounding leaves over belongs to the last one.
        drawn.or_else(|| likely.last()).map(|(token, _)| *token)
    }
}

fn best(scores: &[f32]) -> Option<usize> {
    let finite = scores.iter().enumerate().filter(|(_, score)| score.is_finite());
    finite.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sampling: Sampling, scores: &[f32], count: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling).expect("it makes sense");
        (0..count).map(|_| sampler.draw(scores).expect("there are scores")).collect()
    }

    fn random(temperature: f64, top_k: usize, top_p: f64, seed: u64) -> Sampling {
        Sampling::Random { temperature, top_k, top_p, seed }
    }

    #[test]
    fn greedy_takes_the_first_of_the_highest() {
        assert_eq!(draws(Sampling::Greedy, &[0.0, 2.0, f32::NAN, 2.0], 1), [1]);
        assert_eq!(Sampler::new(Sampling::Greedy).expect("it makes sense").draw(&[f32::NAN]), None);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let scores: Vec<f32> = (0..50_u8).map(|i| f32::from(i) / 10.0).collect();
        let first = draws(random(1.0, 0, 1.0, 7), &scores, 40);
        assert_eq!(first, draws(random(1.0, 0, 1.0, 7), &scores, 40));
        assert_ne!(first, draws(random(1.0, 0, 1.0, 8), &scores, 40));
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        // Probabilities 0.2 and 0.8 at temperature 1: scores differ by ln 4.
        let scores = [0.0, 4.0_f32.ln()];
        let count =
            draws(random(1.0, 0, 1.0, 1), &scores, 10_000).iter().filter(|token| **token == 1).count();
        // Four standard deviations of a binomial: 4 · √(10⁴ · 0.2 · 0.8) = 160.
        assert!(count.abs_diff(8_000) < 160, "{count}");
    }

    #[test]
    fn what_is_cut_off_is_never_drawn() {
        let scores = [1.0, 0.9, 0.8, 0.7];
        assert!(draws(random(1.0, 2, 1.0, 3), &scores, 500).iter().all(|token| *token < 2));
        // The likeliest has 0.288 of the whole, the first two 0.548.
        assert!(draws(random(1.0, 0, 0.28, 3), &scores, 500).iter().all(|token| *token == 0));
        let two = draws(random(1.0, 0, 0.3, 3), &scores, 500);
        assert!(two.iter().all(|token| *token < 2) && two.contains(&1));
    }

    #[test]
    fn settings_without_sense_are_refused() {
        for sampling in [
            random(0.0, 0, 1.0, 0),
            random(f64::NAN, 0, 1.0, 0),
            random(1.0, 0, 0.0, 0),
            random(1.0, 0, 1.5, 0),
        ] {
            assert!(matches!(Sampler::new(sampling), Err(ShardingError::Generation { .. })), "{sampling:?}");
        }
    }
}
