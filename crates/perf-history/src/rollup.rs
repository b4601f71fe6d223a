//! Many observations in one row.

use std::sync::Arc;

use vocab::FailureKind;

use crate::stats::LatencySketch;
use crate::{Arm, ModelId, Observation, Operation, Outcome, ShapeBucket, TimeoutPhase, UnixMillis, Verdict};

/// How long a time one row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums, reason = "stores have a table for each")]
pub enum Period {
    /// One hour, from its full hour in UTC.
    Hour,
    /// One day, from midnight in UTC.
    Day,
}

impl Period {
    /// Its length in milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// The beginning of the period that a point in time falls into.
    #[must_use]
    pub const fn start(self, at: UnixMillis) -> UnixMillis {
        UnixMillis(at.0.div_euclid(self.ms()).saturating_mul(self.ms()))
    }
}

/// What happened to one model, in one shape bucket, on one arm, in one hour or day.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "stores build and read it in full")]
pub struct Rollup {
    /// The model.
    pub model: Arc<ModelId>,
    /// The size of its inputs.
    pub shape: ShapeBucket,
    /// The arm.
    pub arm: Arc<Arm>,
    /// How long a time this is about.
    pub period: Period,
    /// When that time began.
    pub start: UnixMillis,
    /// What happened in it.
    pub totals: Totals,
}

/// The sums of a [`Rollup`]. Adding the sums of two times gives those of both.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(clippy::exhaustive_structs, reason = "stores build and read it in full")]
pub struct Totals {
    /// Runs that succeeded.
    pub ok: u64,
    /// Runs that the browser was to blame for.
    pub failed: u64,
    /// Those of them that gave wrong numbers.
    pub wrong: u64,
    /// Those of them that lost their worker.
    pub vanished: u64,
    /// Those of them that took too long.
    pub timed_out: u64,
    /// Those of them that ran out of memory.
    pub out_of_memory: u64,
    /// Runs that failed and say nothing about the browser.
    pub neutral: u64,
    /// Loads that succeeded.
    pub loads_ok: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// The time that successful loads took together, in milliseconds.
    pub load_ms: f64,
    /// Recoveries that succeeded.
    pub recoveries_ok: u64,
    /// Recoveries that failed.
    pub recoveries_failed: u64,
    /// How many latencies there are: those of warm runs that succeeded.
    pub latencies: u64,
    /// The sum of their natural logarithms, of milliseconds.
    pub ln_sum: f64,
    /// The sum of the squares of those.
    pub ln_square_sum: f64,
    /// The latencies themselves.
    pub sketch: LatencySketch,
}

/// Latencies below this many milliseconds count as this many where a logarithm is taken.
pub const LEAST_MS: f64 = 1e-3;

impl Totals {
    /// Adds one observation.
    pub fn add(&mut self, observation: &Observation) {
        let verdict = observation.outcome.verdict();
        match (observation.operation, verdict) {
            (Operation::Run, Verdict::Success) => self.ok += 1,
            (Operation::Run, Verdict::Failure) => self.failed += 1,
            (Operation::Run, Verdict::Neutral) => self.neutral += 1,
            (Operation::Load, Verdict::Success) => {
                self.loads_ok += 1;
                self.load_ms += observation.load_ms.filter(|ms| ms.is_finite()).unwrap_or(0.0);
            }
            (Operation::Load, Verdict::Failure) => self.loads_failed += 1,
            (Operation::Recovery, Verdict::Success) => self.recoveries_ok += 1,
            (Operation::Recovery, Verdict::Failure) => self.recoveries_failed += 1,
            (Operation::Load | Operation::Recovery, Verdict::Neutral) => {}
        }
        if observation.operation == Operation::Run {
            match &observation.outcome {
                Outcome::WrongNumbers => self.wrong += 1,
                Outcome::WorkerVanished => self.vanished += 1,
                Outcome::TimedOut(TimeoutPhase::Loading | TimeoutPhase::Running) => self.timed_out += 1,
                Outcome::Reported(FailureKind::OutOfMemory) => self.out_of_memory += 1,
                _ => {}
            }
        }
        if let Some(ms) = observation.latency_ms() {
            let ln = ms.max(LEAST_MS).ln();
            self.latencies += 1;
            self.ln_sum += ln;
            self.ln_square_sum += ln * ln;
            self.sketch.add(ms, 1.0);
        }
    }

    /// Adds the sums of another time.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            ok,
            failed,
            wrong,
            vanished,
            timed_out,
            out_of_memory,
            neutral,
            loads_ok,
            loads_failed,
            load_ms,
            recoveries_ok,
            recoveries_failed,
            latencies,
            ln_sum,
            ln_square_sum,
            sketch,
        } = other;
        self.ok += ok;
        self.failed += failed;
        self.wrong += wrong;
        self.vanished += vanished;
        self.timed_out += timed_out;
        self.out_of_memory += out_of_memory;
        self.neutral += neutral;
        self.loads_ok += loads_ok;
        self.loads_failed += loads_failed;
        self.load_ms += load_ms;
        self.recoveries_ok += recoveries_ok;
        self.recoveries_failed += recoveries_failed;
        self.latencies += latencies;
        self.ln_sum += ln_sum;
        self.ln_square_sum += ln_square_sum;
        self.sketch.merge(sketch);
    }

    /// Runs that say something about the browser.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.ok + self.failed
    }

    /// The geometric mean of the latencies, in milliseconds.
    #[must_use]
    pub fn geometric_mean_ms(&self) -> Option<f64> {
        (self.latencies > 0).then(|| (self.ln_sum / self.latencies as f64).exp())
    }
}
