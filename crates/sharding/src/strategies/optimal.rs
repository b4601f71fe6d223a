//! `optimal`: the contiguous cut that is fastest on given workers, within their memory.
//!
//! Dynamic programming over places and sets of workers, as pipelines are cut by PipeDream (Narayanan et al., SOSP 2019):
//! with many requests on their way the slowest stage counts, with one the sum of all. Workers that are alike are counted,
//! not told apart.

use super::blocks::allowed;
use super::held::Held;
use super::layer::drafts;
use super::{Misfit, Proposal};
use crate::cut::{Study, total};
use crate::plan::{Estimate, Request, WorkerSpec};

/// Places that are considered at most; those at which least crosses.
const MOST_PLACES: usize = 96;

/// How many ways there may be to have taken so many of each kind of workers: of 13 different ones each may be in use or
/// not, of four kinds with eight each any number. The slowest kinds are left out until there are no more.
const MOST_STATES: usize = 1 << 13;

/// The speed that is assumed where none was measured, in floating-point operations a second.
const ASSUMED_SPEED: f64 = 20e9;

pub(super) fn propose(study: &Study<'_>, request: &Request) -> Result<Proposal, Misfit> {
    let mut notes = Vec::new();
    let workers = workers(request, &mut notes);
    if workers.len() < request.shards {
        return Err(Misfit::TooFewWorkers { given: workers.len(), wanted: request.shards });
    }
    let all = kinds(&workers, request.shards);
    let kinds = considered(&all);
    let left_out = all.len() - kinds.len();
    if left_out > 0 {
        let of = all.len();
        notes.push(format!("the {left_out} slowest of {of} kinds of workers were not considered"));
    }
    let table = Table::of(study, request);
    if table.ends.len() < request.shards {
        return Err(Misfit::TooFewParts { most: table.ends.len(), wanted: request.shards });
    }
    let goals: &[Goal] = if request.in_flight > 1 { &[Goal::Slowest, Goal::Sum] } else { &[Goal::Sum] };
    let solved: Vec<_> =
        goals.iter().map(|&goal| table.solve(&workers, kinds, request.shards, goal)).collect();
    let best = |shards: usize| {
        let found = solved.iter().filter_map(|solved| table.found(solved, kinds, shards));
        found
            .map(|found| (table.estimate(&found, &workers, request), found))
            .max_by(|(a, _), (b, _)| a.rate_per_s.total_cmp(&b.rate_per_s))
    };
    let Some((estimate, found)) = best(request.shards) else {
        if left_out > 0 {
            return Err(Misfit::TooManyKinds { kinds: all.len(), considered: kinds.len() });
        }
        let needed = (0..table.ends.len()).map(|at| table.memory(at, at)).max().unwrap_or(0);
        return Err(Misfit::OutOfMemory { needed });
    };
    let fewer = (1..request.shards).filter_map(|shards| Some((shards, best(shards)?.0)));
    if let Some((shards, better)) = fewer.max_by(|(_, a), (_, b)| a.rate_per_s.total_cmp(&b.rate_per_s))
        && better.rate_per_s > estimate.rate_per_s
    {
        let times = better.rate_per_s / estimate.rate_per_s;
        notes.push(format!("with {shards} shards it would be {times:.2} times as fast"));
    }
    let cuts: Vec<usize> = found.ends.iter().map(|&end| table.ends[end]).collect();
    let drafts = drafts(study, &cuts[..cuts.len() - 1]);
    let chosen = found.workers.iter().map(|&worker| workers[worker].0).collect();
    let workers = (!request.workers.is_empty()).then_some(chosen);
    Ok(Proposal { drafts, notes, workers, estimate: Some(estimate) })
}

/// The workers with their places in the request, fastest first.
fn workers(request: &Request, notes: &mut Vec<String>) -> Vec<(usize, WorkerSpec)> {
    if request.workers.is_empty() {
        notes.push(format!(
            "no speeds were given: {} workers of {ASSUMED_SPEED:.0e} FLOP/s are assumed",
            request.shards
        ));
        let alike =
            WorkerSpec { name: "assumed".to_owned(), flops_per_s: ASSUMED_SPEED, memory_bytes: u64::MAX };
        return vec![(0, alike); request.shards];
    }
    let mut workers: Vec<_> = request.workers.iter().cloned().enumerate().collect();
    workers.sort_by(|(_, a), (_, b)| b.flops_per_s.total_cmp(&a.flops_per_s));
    workers
}

/// How much longer one request may take, in relation to the whole, if the shards are even instead of one having it all:
/// where workers are alike, the sum of their times says nothing about who does what.
const EVEN: f64 = 0.02;

/// What is minimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// The slowest stage, and with it the time between two answers.
    Slowest,
    /// All stages and hops, and with them the time of one request.
    Sum,
}

/// One distribution: where each stage ends, and who hosts it.
#[derive(Debug, Clone)]
struct Found {
    ends: Vec<usize>,
    workers: Vec<usize>,
}

/// Work, weights and crossings between places.
struct Table {
    ends: Vec<usize>,
    /// Work up to each end, in front of it a zero.
    work: Vec<u64>,
    /// Seconds for what crosses at the beginning of each stretch.
    arrival: Vec<f64>,
    held: Held,
    factor: u64,
}

impl Table {
    fn of(study: &Study<'_>, request: &Request) -> Self {
        let mut at = allowed(study);
        if at.len() > MOST_PLACES {
            at.sort_by_key(|&place| (study.live.bytes[place], place));
            // Of neighbours with the same crossing only some are needed: every so many of the cheapest third.
            let step = (at.len() / 3).div_ceil(MOST_PLACES).max(1);
            at =
                at.iter().copied().take(at.len() / 3 + MOST_PLACES).step_by(step).take(MOST_PLACES).collect();
            at.sort_unstable();
        }
        let ends: Vec<usize> = at.into_iter().chain([study.order.nodes.len()]).collect();
        let mut work = vec![0];
        let mut sum = 0;
        let mut begin = 0;
        let mut arrival = Vec::new();
        for &end in &ends {
            sum = total(study.costs.work[begin..end].iter().copied().chain([sum]));
            work.push(sum);
            let bytes = study.live.bytes[begin] as f64;
            arrival.push(if begin == 0 {
                0.0
            } else {
                request.link.latency_s + bytes / request.link.bytes_per_s
            });
            begin = end;
        }
        let held = Held::of(study, &ends);
        Self { ends, work, arrival, held, factor: request.memory_factor }
    }

    fn memory(&self, first: usize, last: usize) -> u64 {
        self.held.between(first, last).saturating_mul(self.factor)
    }

    fn seconds(&self, first: usize, last: usize, worker: &WorkerSpec) -> f64 {
        (self.work[last + 1] - self.work[first]) as f64 / worker.flops_per_s
    }

    /// The best distributions over at most so many of the workers.
    fn solve(
        &self,
        workers: &[(usize, WorkerSpec)],
        kinds: &[Vec<usize>],
        shards: usize,
        goal: Goal,
    ) -> Solved {
        let used = Used::of(kinds);
        let count = self.ends.len();
        let whole = self.seconds(0, count - 1, &workers[0].1).max(f64::MIN_POSITIVE);
        let mut best: Vec<Vec<Step>> = vec![Vec::new(); used.states];
        best[0] = vec![None; count];
        for state in 1..used.states {
            if used.all(state) > shards {
                continue;
            }
            best[state] = vec![None; count];
            for kind in (0..kinds.len()).filter(|&kind| used.of_kind(state, kind) > 0) {
                let before = state - used.weights[kind];
                let worker = &workers[kinds[kind][0]].1;
                for last in 0..count {
                    for first in (0..=last).rev() {
                        if self.memory(first, last) > worker.memory_bytes {
                            break;
                        }
                        let so_far = match (first, before) {
                            (0, 0) => 0.0,
                            (0, _) | (_, 0) => continue,
                            _ => match best[before][first - 1] {
                                Some((cost, ..)) => cost,
                                None => continue,
                            },
                        };
                        let own = self.seconds(first, last, worker);
                        let cost = match goal {
                            Goal::Slowest => so_far.max(own).max(self.arrival[first]),
                            Goal::Sum => so_far + own + self.arrival[first] + EVEN * own * own / whole,
                        };
                        if best[state][last].is_none_or(|(known, ..)| cost < known) {
                            best[state][last] = Some((cost, first, kind));
                        }
                    }
                }
            }
        }
        Solved { best, used }
    }

    /// The best distribution over exactly so many workers; `None` if none fits their memory.
    fn found(&self, solved: &Solved, kinds: &[Vec<usize>], shards: usize) -> Option<Found> {
        let Solved { best, used } = solved;
        let last = self.ends.len() - 1;
        let full = (1..used.states).filter(|&state| used.all(state) == shards);
        let by_cost = full.filter_map(|state| Some((best[state][last]?.0, state)));
        let (_, mut state) = by_cost.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let (mut ends, mut hosts, mut end) = (Vec::new(), Vec::new(), last);
        loop {
            let (_, first, kind) = best[state][end]?;
            ends.push(end);
            hosts.push(kinds[kind][used.of_kind(state, kind) - 1]);
            state -= used.weights[kind];
            if first == 0 {
                break;
            }
            end = first - 1;
        }
        ends.reverse();
        hosts.reverse();
        Some(Found { ends, workers: hosts })
    }

    fn estimate(&self, found: &Found, workers: &[(usize, WorkerSpec)], request: &Request) -> Estimate {
        let (mut latency, mut slowest, mut first) = (0.0, 0.0_f64, 0);
        for (&end, &worker) in found.ends.iter().zip(&found.workers) {
            let own = self.seconds(first, end, &workers[worker].1);
            latency += own + self.arrival[first];
            slowest = slowest.max(own).max(self.arrival[first]);
            first = end + 1;
        }
        let last = self.ends.len() - 1;
        let able = workers.iter().filter(|(_, worker)| self.memory(0, last) <= worker.memory_bytes);
        let whole: Vec<f64> = able.map(|(_, worker)| self.seconds(0, last, worker)).collect();
        Estimate::new(latency, slowest, &whole, request.in_flight.max(1))
    }
}

/// The least cost of having placed everything up to a stretch, where its stage begins and on which kind of worker.
type Step = Option<(f64, usize, usize)>;

/// The best distributions over each selection of workers: by state and by the last stretch.
struct Solved {
    best: Vec<Vec<Step>>,
    used: Used,
}

/// How many workers of each kind are in use, as digits of one number.
struct Used {
    bases: Vec<usize>,
    /// What one worker of a kind counts.
    weights: Vec<usize>,
    states: usize,
}

impl Used {
    fn of(kinds: &[Vec<usize>]) -> Self {
        let bases: Vec<usize> = kinds.iter().map(|kind| kind.len() + 1).collect();
        let weights = (0..bases.len()).map(|kind| bases[..kind].iter().product()).collect();
        let states = bases.iter().product();
        Self { bases, weights, states }
    }

    fn of_kind(&self, state: usize, kind: usize) -> usize {
        state / self.weights[kind] % self.bases[kind]
    }

    fn all(&self, state: usize) -> usize {
        (0..self.bases.len()).map(|kind| self.of_kind(state, kind)).sum()
    }
}

/// The kinds that are considered: the fastest ones, as far as there are not too many states.
fn considered(kinds: &[Vec<usize>]) -> &[Vec<usize>] {
    let mut states = 1_usize;
    let few = kinds.iter().take_while(|kind| {
        states = states.saturating_mul(kind.len() + 1);
        states <= MOST_STATES
    });
    // Of one kind alone there is a state for each shard, and no more.
    &kinds[..few.count().max(1)]
}

/// The workers by kind: those that are equally fast and equally large, at most as many of each as there are shards.
fn kinds(workers: &[(usize, WorkerSpec)], shards: usize) -> Vec<Vec<usize>> {
    let mut kinds: Vec<Vec<usize>> = Vec::new();
    for (at, (_, worker)) in workers.iter().enumerate() {
        let alike = kinds.iter().position(|kind| {
            let other = &workers[kind[0]].1;
            (other.flops_per_s, other.memory_bytes) == (worker.flops_per_s, worker.memory_bytes)
        });
        match alike {
            Some(kind) if kinds[kind].len() < shards => kinds[kind].push(at),
            Some(_) => {}
            None => kinds.push(vec![at]),
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every way to divide so many stretches into so many stages, as the stages' last stretches.
    fn divisions(stretches: usize, stages: usize) -> Vec<Vec<usize>> {
        if stages == 1 {
            return vec![vec![stretches - 1]];
        }
        (stages - 1..stretches)
            .flat_map(|first| {
                let shorter = divisions(first, stages - 1);
                shorter.into_iter().map(move |ends| [&ends[..], &[stretches - 1]].concat())
            })
            .collect()
    }

    /// Every order of so many of the workers.
    fn orders(workers: &[usize], count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let pick = |&first: &usize| {
            let rest: Vec<usize> = workers.iter().copied().filter(|&worker| worker != first).collect();
            orders(&rest, count - 1).into_iter().map(move |rest| [&[first], &rest[..]].concat())
        };
        workers.iter().flat_map(pick).collect()
    }

    fn cost(table: &Table, found: &Found, workers: &[(usize, WorkerSpec)], goal: Goal) -> Option<f64> {
        let whole = table.seconds(0, table.ends.len() - 1, &workers[0].1);
        let (mut sum, mut slowest, mut first) = (0.0, 0.0_f64, 0);
        for (&end, &worker) in found.ends.iter().zip(&found.workers) {
            let worker = &workers[worker].1;
            if table.memory(first, end) > worker.memory_bytes {
                return None;
            }
            let own = table.seconds(first, end, worker);
            sum += own + table.arrival[first] + EVEN * own * own / whole;
            slowest = slowest.max(own).max(table.arrival[first]);
            first = end + 1;
        }
        Some(if goal == Goal::Sum { sum } else { slowest })
    }

    proptest! {
        #[test]
        fn no_distribution_is_better(
            rows in prop::collection::vec((1_u64..50, 0_u64..20, 0.0_f64..2.0), 1..6),
            specs in prop::collection::vec((1_u32..4, 1_u64..60), 1..4),
            shards in 1_usize..4,
        ) {
            prop_assume!(shards <= rows.len() && shards <= specs.len());
            let count = rows.len();
            let between = |first: usize, last: usize| rows.get(first..=last).unwrap_or_default();
            let held = |first: usize, last: usize| between(first, last).iter().map(|row| row.1).sum::<u64>();
            let table = Table {
                ends: (1..=count).collect(),
                work: (0..=count).map(|end| rows[..end].iter().map(|row| row.0).sum()).collect(),
                arrival: (0..count).map(|at| if at == 0 { 0.0 } else { rows[at].2 }).collect(),
                held: Held { bytes: (0..count).map(|a| (0..count).map(|b| held(a, b)).collect()).collect() },
                factor: 1,
            };
            let worker = |(at, &(speed, memory)): (usize, &(u32, u64))| {
                let name = String::new();
                (at, WorkerSpec { name, flops_per_s: f64::from(speed), memory_bytes: memory })
            };
            let workers: Vec<_> = specs.iter().enumerate().map(worker).collect();
            for goal in [Goal::Sum, Goal::Slowest] {
                let all: Vec<usize> = (0..workers.len()).collect();
                let best = divisions(count, shards)
                    .into_iter()
                    .flat_map(|ends| {
                        let of = |workers| Found { ends: ends.clone(), workers };
                        orders(&all, shards).into_iter().map(of).collect::<Vec<_>>()
                    })
                    .filter_map(|found| cost(&table, &found, &workers, goal))
                    .min_by(f64::total_cmp);
                let kinds = kinds(&workers, 3);
                let found = table.found(&table.solve(&workers, &kinds, 3, goal), &kinds, shards);
                let own = found.as_ref().map(|found| cost(&table, found, &workers, goal).expect("it fits"));
                match (best, own) {
                    (Some(best), Some(own)) => prop_assert!((own - best).abs() <= 1e-9 * best.max(1.0), "{own} {best}"),
                    (best, own) => prop_assert_eq!(best, own),
                }
            }
        }
    }
}
