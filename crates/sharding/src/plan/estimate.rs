//! What a plan would take on given workers, and whether it would be faster not to shard.

use serde::{Deserialize, Serialize};

use super::{Plan, Request};
use crate::cut::total;

/// Times in seconds, from measured speeds and assumed sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// From a request to its answer with nothing else on its way: the longest way through stages and hops.
    pub latency_s: f64,
    /// The busiest shard's time for one request: what limits the requests a second.
    pub bottleneck_s: f64,
    /// The same model whole on the fastest worker that can hold it; `None` where none can.
    pub unsharded_latency_s: Option<f64>,
    /// Requests a second with as many on their way as were asked for.
    pub rate_per_s: f64,
    /// The same for copies of the whole model on every worker that can hold it.
    pub unsharded_rate_per_s: Option<f64>,
    /// Requests that were taken to be on their way at the same time.
    pub in_flight: u32,
    /// What follows from that.
    pub verdict: Verdict,
}

/// Whether sharding pays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "decision")]
#[non_exhaustive]
pub enum Verdict {
    /// No worker can hold the whole model.
    Necessary,
    /// It can be held whole, and sharding is faster.
    Pays {
        /// Requests a second in relation to not sharding, above 1.
        times_faster: f64,
    },
    /// It would be faster whole.
    DoNotShard {
        /// Not sharding in relation to sharding, in requests a second, at least 1.
        times_slower: f64,
    },
}

impl Estimate {
    /// The verdict follows from rates: with `c` requests on their way, shards reach `min(c / latency, 1 / bottleneck)`
    /// (a pipeline is limited by Little's law and by its slowest stage), copies `Σ 1 / latency` over the `c` fastest.
    pub(crate) fn new(latency_s: f64, bottleneck_s: f64, whole: &[f64], in_flight: u32) -> Self {
        let rate_per_s = (f64::from(in_flight) / latency_s).min(1.0 / bottleneck_s);
        let mut whole = whole.to_vec();
        whole.sort_by(f64::total_cmp);
        let copies = whole.iter().take(in_flight as usize).map(|latency| 1.0 / latency).sum::<f64>();
        let unsharded_rate_per_s = (!whole.is_empty()).then_some(copies);
        let verdict = match unsharded_rate_per_s {
            None => Verdict::Necessary,
            Some(copies) if rate_per_s > copies => Verdict::Pays { times_faster: rate_per_s / copies },
            Some(copies) => Verdict::DoNotShard { times_slower: copies / rate_per_s },
        };
        Self {
            latency_s,
            bottleneck_s,
            unsharded_latency_s: whole.first().copied(),
            rate_per_s,
            unsharded_rate_per_s,
            in_flight,
            verdict,
        }
    }
}

/// What a plan takes when its shards go to the workers in their order; `None` where no workers are known.
pub(crate) fn estimate(plan: &Plan, request: &Request) -> Option<Estimate> {
    if request.workers.is_empty() || request.workers.len() < plan.shards {
        return None;
    }
    let speed = |shard: usize| request.workers[shard].flops_per_s;
    let mut done = vec![0.0_f64; plan.stages.len()];
    let mut busy = vec![0.0_f64; request.workers.len()];
    for stage in &plan.stages {
        let arrival = stage.depends_on.iter().map(|&before| {
            let from = &plan.stages[before];
            let bytes =
                plan.flows.iter().filter(|flow| flow.from == before && flow.to.contains(&stage.index));
            let bytes = total(bytes.filter_map(|flow| flow.bytes));
            let sent = request.link.latency_s + bytes as f64 / request.link.bytes_per_s;
            done[before] + if from.shard == stage.shard { 0.0 } else { sent }
        });
        let takes = stage.work as f64 / speed(stage.shard);
        busy[stage.shard] += takes;
        done[stage.index] = arrival.fold(0.0, f64::max) + takes;
    }
    let work = total(plan.stages.iter().map(|stage| stage.work));
    let needed = plan.weight_bytes.saturating_mul(request.memory_factor);
    let able = request.workers.iter().filter(|worker| worker.memory_bytes >= needed);
    let whole: Vec<f64> = able.map(|worker| work as f64 / worker.flops_per_s).collect();
    let most = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    Some(Estimate::new(most(&done), most(&busy), &whole, request.in_flight.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_nowhere_has_to_be_cut() {
        assert_eq!(Estimate::new(2.0, 1.0, &[], 1).verdict, Verdict::Necessary);
    }

    #[test]
    fn alone_a_request_only_loses_by_the_hops() {
        let estimate = Estimate::new(2.5, 1.0, &[2.0], 1);
        assert_eq!(estimate.verdict, Verdict::DoNotShard { times_slower: 1.25 });
    }

    #[test]
    fn many_requests_fill_a_pipeline_that_copies_cannot_match() {
        // Two workers, of which only one can hold the whole.
        let estimate = Estimate::new(2.5, 1.0, &[2.0], 4);
        assert_eq!(estimate.verdict, Verdict::Pays { times_faster: 2.0 });
        let copies = Estimate::new(2.5, 1.0, &[2.0, 2.0], 4);
        assert!(matches!(copies.verdict, Verdict::DoNotShard { .. }));
    }
}
