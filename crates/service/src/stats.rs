//! What was asked of each model: the statistics of the Open Inference Protocol's extension.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

use crate::live::Spread;

/// How often something happened, and how long it took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "the protocol names both")]
pub struct StatisticDuration {
    /// How often.
    pub count: u64,
    /// Nanoseconds together.
    pub ns: u64,
}

impl StatisticDuration {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Times of a model's requests, by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InferStatistics {
    /// Requests that had a result, from their arrival to their answer.
    pub success: StatisticDuration,
    /// Requests that failed.
    pub fail: StatisticDuration,
    /// Waiting: for company in a batch, for a worker, for a load.
    pub queue: StatisticDuration,
    /// Bringing the inputs to the page.
    pub compute_input: StatisticDuration,
    /// Computing in the page.
    pub compute_infer: StatisticDuration,
    /// Bringing the outputs back.
    pub compute_output: StatisticDuration,
    /// Always nothing: there is no cache of answers.
    pub cache_hit: StatisticDuration,
    /// Always nothing: there is no cache of answers.
    pub cache_miss: StatisticDuration,
}

/// Times of the executions of one batch size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchStatistics {
    /// Rows of the batch.
    pub batch_size: u64,
    /// Bringing the inputs to the page.
    pub compute_input: StatisticDuration,
    /// Computing in the page.
    pub compute_infer: StatisticDuration,
    /// Bringing the outputs back.
    pub compute_output: StatisticDuration,
}

/// What was asked of one version of a model since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When a request last ended, in milliseconds since 1970; 0 for never.
    pub last_inference: u64,
    /// Rows that were computed.
    pub inference_count: u64,
    /// Runs on a page: less than rows where batches are formed.
    pub execution_count: u64,
    /// Times by part.
    pub inference_stats: InferStatistics,
    /// Times by batch size, of those sizes that occurred; at most 64.
    pub batch_stats: Vec<BatchStatistics>,
}

/// Sizes of batches that are told apart.
const MOST_SIZES: usize = 64;

/// One request that had a result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Success {
    pub(crate) whole: Duration,
    pub(crate) queue: Duration,
    pub(crate) input: Duration,
    pub(crate) infer: Duration,
    pub(crate) output: Duration,
    /// Rows of its own.
    pub(crate) rows: u64,
    /// The rows of the execution that it speaks for; `None` for the others of a batch.
    pub(crate) execution: Option<u64>,
}

/// Counts what is asked of one version of a model.
#[derive(Debug, Default)]
pub(crate) struct Stats(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    last: u64,
    rows: u64,
    executions: u64,
    times: InferStatistics,
    sizes: BTreeMap<u64, BatchStatistics>,
    /// How long requests took that had a result.
    spread: Spread,
}

impl Stats {
    pub(crate) fn succeeded(&self, success: &Success, now: SystemTime) {
        let Success { whole, queue, input, infer, output, rows, execution } = *success;
        let mut counted = self.0.lock();
        counted.last = unix_ms(now);
        counted.rows += rows;
        counted.spread.add(whole);
        let times = &mut counted.times;
        times.success.add(whole);
        times.queue.add(queue);
        times.compute_input.add(input);
        times.compute_infer.add(infer);
        times.compute_output.add(output);
        let Some(size) = execution else { return };
        counted.executions += 1;
        if counted.sizes.len() < MOST_SIZES || counted.sizes.contains_key(&size) {
            let of_size = counted.sizes.entry(size).or_default();
            of_size.batch_size = size;
            of_size.compute_input.add(input);
            of_size.compute_infer.add(infer);
            of_size.compute_output.add(output);
        }
    }

    pub(crate) fn failed(&self, whole: Duration, now: SystemTime) {
        let mut counted = self.0.lock();
        counted.last = unix_ms(now);
        counted.times.fail.add(whole);
    }

    /// Requests that had a result, requests that failed, and how long the former took.
    pub(crate) fn times(&self) -> (u64, u64, Spread) {
        let counted = self.0.lock();
        (counted.times.success.count, counted.times.fail.count, counted.spread.clone())
    }

    pub(crate) fn read(&self, name: &str, version: &str) -> ModelStatistics {
        let counted = self.0.lock();
        ModelStatistics {
            name: name.to_owned(),
            version: version.to_owned(),
            last_inference: counted.last,
            inference_count: counted.rows,
            execution_count: counted.executions,
            inference_stats: counted.times,
            batch_stats: counted.sizes.values().copied().collect(),
        }
    }
}

fn unix_ms(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
