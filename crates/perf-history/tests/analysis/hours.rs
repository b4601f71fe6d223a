//! Hours of made-up runs with log-normal latencies.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;

use perf_history::{Arm, ModelId, Period, Rollup, Totals, UnixMillis};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, ModelType};

pub(crate) const HOUR: i64 = Period::Hour.ms();
pub(crate) const DAY: i64 = Period::Day.ms();
/// Midnight in UTC on a day in 2026.
pub(crate) const START: i64 = 20_500 * DAY;

pub(crate) fn model(number: u8, model_type: ModelType) -> Arc<ModelId> {
    Arc::new(ModelId {
        hash: ModelHash([number; 32]),
        name: format!("model-{number}").into(),
        version: "".into(),
        model_type: Some(model_type),
        precision: "FP32".into(),
    })
}

pub(crate) fn arm(browser: BrowserName, version: &str, backend: Backend) -> Arc<Arm> {
    Arc::new(Arm {
        browser,
        browser_version: version.into(),
        backend,
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        threads: 2,
    })
}

/// Roll-ups of hours, one after the other.
pub(crate) struct Hours {
    pub(crate) rollups: Vec<Rollup>,
    random: StdRng,
}

impl Hours {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rollups: Vec::new(), random: StdRng::seed_from_u64(seed) }
    }

    /// About a standard normal variable.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.random.random_range(-0.5..0.5_f64)).sum()
    }

    /// Adds an hour with so many warm runs that succeeded in about `ms`; they scatter by 15 %.
    pub(crate) fn run(
        &mut self,
        model: &Arc<ModelId>,
        shape: &str,
        arm: &Arc<Arm>,
        hour: i32,
        runs: u64,
        ms: f64,
    ) {
        let mut totals = Totals { ok: runs, latencies: runs, ..Totals::default() };
        for _ in 0..runs {
            let ln = ms.ln() + 0.15 * self.normal();
            totals.ln_sum += ln;
            totals.ln_square_sum += ln * ln;
            totals.sketch.add(ln.exp(), 1.0);
        }
        self.rollups.push(Rollup {
            model: Arc::clone(model),
            shape: shape.into(),
            arm: Arc::clone(arm),
            period: Period::Hour,
            start: UnixMillis(START + i64::from(hour) * HOUR),
            totals,
        });
    }

    /// Adds failures to the hour that was added last.
    pub(crate) fn fail_last(&mut self, failed: u64) {
        if let Some(last) = self.rollups.last_mut() {
            last.totals.failed += failed;
        }
    }
}
