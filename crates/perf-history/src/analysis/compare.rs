//! Which arm is faster, when not every arm ran every model.

use std::collections::BTreeSet;

use super::evidence::Cell;

/// The latency of arms, comparable over all contexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    /// The logarithm of its latency, up to a number that is the same for all arms.
    pub(super) ln: f64,
    /// The standard error of that.
    pub(super) error: f64,
}

/// How often the levels are brought closer to each other; they converge within tens of rounds.
const ROUNDS: usize = 200;

/// The level of each of `arms` arms; `None` for those that no chain of common contexts ties to the rest.
///
/// Every context has a difficulty and every arm a level, and the mean logarithm of latency is their sum: the model of
/// two-way analysis of variance with samples as weights, fitted by turns (Yates, "The analysis of multiple classifications
/// with unequal numbers in the different classes", 1934). So an arm that ran only a large model is compared on that one,
/// and one that ran alone is not compared at all.
pub(super) fn levels(cells: &[Cell], arms: usize) -> Vec<Option<Level>> {
    let tied = tied(cells, arms);
    let used: Vec<&Cell> = cells.iter().filter(|cell| cell.n > 0.0 && tied.contains(&cell.arm)).collect();
    let contexts = used.iter().map(|cell| cell.context + 1).max().unwrap_or(0);
    let (mut difficulty, mut level) = (vec![0.0; contexts], vec![0.0; arms]);
    let weights = |by: &dyn Fn(&Cell) -> usize, len: usize| {
        let mut sums = vec![0.0; len];
        used.iter().for_each(|cell| sums[by(cell)] += cell.n);
        sums
    };
    let of_context = weights(&|cell| cell.context, contexts);
    let of_arm = weights(&|cell| cell.arm, arms);
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; contexts];
        for cell in &used {
            next[cell.context] += cell.n / of_context[cell.context] * (cell.mean - level[cell.arm]);
        }
        difficulty = next;
        let mut next = vec![0.0; arms];
        for cell in &used {
            next[cell.arm] += cell.n / of_arm[cell.arm] * (cell.mean - difficulty[cell.context]);
        }
        let moved = level.iter().zip(&next).map(|(a, b): (&f64, &f64)| (a - b).abs()).fold(0.0, f64::max);
        level = next;
        if moved < 1e-9 {
            break;
        }
    }
    let of = |arm: usize| {
        tied.contains(&arm).then(|| {
            let mine = || used.iter().filter(move |cell| cell.arm == arm);
            let share = |cell: &Cell| cell.n / of_arm[arm];
            let sampling: f64 = mine().map(|cell| share(cell).powi(2) * cell.variance).sum();
            // Models differ in which arm suits them; with few of them, their mean says little about the next one.
            let off = |cell: &Cell| (cell.mean - difficulty[cell.context] - level[arm]).powi(2);
            let suits: f64 = mine().map(|cell| share(cell) * off(cell)).sum();
            let contexts = 1.0 / mine().map(|cell| share(cell).powi(2)).sum::<f64>();
            Level { ln: level[arm], error: (sampling + suits / (contexts - 1.0).max(1.0)).sqrt() }
        })
    };
    (0..arms).map(of).collect()
}

/// The largest group of arms, by their samples, that common contexts tie together.
fn tied(cells: &[Cell], arms: usize) -> BTreeSet<usize> {
    let mut group: Vec<usize> = (0..arms).collect();
    fn root(group: &mut [usize], mut at: usize) -> usize {
        while group[at] != at {
            group[at] = group[group[at]];
            at = group[at];
        }
        at
    }
    let mut first_of = std::collections::HashMap::new();
    for cell in cells.iter().filter(|cell| cell.n > 0.0) {
        let first = *first_of.entry(cell.context).or_insert(cell.arm);
        let (a, b) = (root(&mut group, first), root(&mut group, cell.arm));
        group[a.max(b)] = a.min(b);
    }
    let mut samples = vec![0.0; arms];
    for cell in cells {
        samples[root(&mut group, cell.arm)] += cell.n;
    }
    let largest = (0..arms).rev().max_by(|&a, &b| samples[a].total_cmp(&samples[b]));
    let Some(largest) = largest.filter(|&arm| samples[arm] > 0.0) else { return BTreeSet::new() };
    (0..arms).filter(|&arm| root(&mut group, arm) == largest).collect()
}

/// The success rate of each arm as if it had run the same models as the others, and its runs: the rate of all, plus how
/// much more or less often it succeeded than all arms did on the models that it ran.
pub(super) fn success_rates(cells: &[Cell], arms: usize) -> Vec<(f64, f64)> {
    let contexts = cells.iter().map(|cell| cell.context + 1).max().unwrap_or(0);
    let mut of_context = vec![(0.0, 0.0); contexts];
    for cell in cells {
        let sum = &mut of_context[cell.context];
        *sum = (sum.0 + cell.ok, sum.1 + cell.runs);
    }
    let (ok, runs) = cells.iter().fold((0.0, 0.0), |(ok, runs), cell| (ok + cell.ok, runs + cell.runs));
    let mut of_arm = vec![(0.0, 0.0); arms];
    for cell in cells {
        let (ok, runs) = of_context[cell.context];
        let sum = &mut of_arm[cell.arm];
        *sum = (sum.0 + cell.ok - cell.runs * ok / runs.max(1.0), sum.1 + cell.runs);
    }
    let rate = |(more, own): (f64, f64)| {
        let rate = if own > 0.0 { ok / runs.max(1.0) + more / own } else { 0.0 };
        (rate.clamp(0.0, 1.0), own)
    };
    of_arm.into_iter().map(rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(context: usize, arm: usize, n: f64, ms: f64) -> Cell {
        Cell { context, arm, ok: n, runs: n, n, mean: ms.ln(), variance: 1e-4 }
    }

    #[track_caller]
    fn check(cells: &[Cell], arms: usize, expected: &[Option<f64>]) {
        let levels = levels(cells, arms);
        let best = levels.iter().flatten().map(|level| level.ln).fold(f64::INFINITY, f64::min);
        for (level, expected) in levels.iter().zip(expected) {
            let ratio = level.map(|level| (level.ln - best).exp());
            match (ratio, expected) {
                (Some(ratio), Some(expected)) => assert!((ratio / expected - 1.0).abs() < 1e-3, "{levels:?}"),
                (ratio, expected) => assert_eq!(ratio, *expected),
            }
        }
    }

    #[test]
    fn arms_are_compared_within_a_context() {
        check(&[cell(0, 0, 10.0, 5.0), cell(0, 1, 10.0, 10.0)], 2, &[Some(1.0), Some(2.0)]);
    }

    #[test]
    fn whoever_ran_the_large_model_most_is_not_slower_for_that() {
        let cells = [
            cell(0, 0, 1_000.0, 10.0),
            cell(0, 1, 10.0, 10.0),
            cell(1, 0, 10.0, 500.0),
            cell(1, 1, 1_000.0, 500.0),
        ];
        check(&cells, 2, &[Some(1.0), Some(1.0)]);
    }

    #[test]
    fn comparisons_are_chained() {
        let cells = [
            cell(0, 0, 10.0, 10.0),
            cell(0, 1, 10.0, 20.0),
            cell(1, 1, 10.0, 200.0),
            cell(1, 2, 10.0, 400.0),
        ];
        check(&cells, 3, &[Some(1.0), Some(2.0), Some(4.0)]);
    }

    #[test]
    fn who_ran_alone_is_not_compared() {
        let cells = [cell(0, 0, 10.0, 10.0), cell(0, 1, 10.0, 20.0), cell(1, 2, 5.0, 1.0)];
        check(&cells, 3, &[Some(1.0), Some(2.0), None]);
    }
}
