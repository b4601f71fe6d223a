//! Observations to measure with: runs with log-normal times, one in fifty of which fails.

use std::sync::Arc;

use perf_history::{Arm, ModelId, Observation, Operation, Outcome, ShapeBucket, UnixMillis};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, ModelType, WorkerId};

/// A source of observations, in the order of time.
pub(crate) struct MadeUp {
    models: Vec<Arc<ModelId>>,
    shapes: Vec<ShapeBucket>,
    arms: Vec<Arc<Arm>>,
    /// The time of the last observation.
    pub(crate) at: i64,
    step: i64,
    random: StdRng,
}

impl MadeUp {
    /// Observations on every combination of so many models, shapes and arms, `step` milliseconds apart.
    pub(crate) fn new(models: u8, shapes: usize, arms: u32, step: i64) -> Self {
        let model = |number: u8| ModelId {
            hash: ModelHash([number; 32]),
            name: format!("model-{number}").into(),
            version: "1".into(),
            model_type: Some(ModelType::Text),
            precision: "FP32".into(),
        };
        let arm = |number: u32| Arm {
            browser: BrowserName::ALL[number as usize % BrowserName::ALL.len()],
            browser_version: format!("{}.0.1", 100 + number).into(),
            backend: Backend::ALL[number as usize % Backend::ALL.len()],
            device_requested: Some(DeviceKind::Gpu),
            device_effective: DeviceKind::Cpu,
            adapter: Some("llvmpipe".into()),
            threads: 4,
        };
        Self {
            models: (0..models).map(|number| Arc::new(model(number))).collect(),
            shapes: (0..shapes).map(|at| format!("batch={}", 1 << at).as_str().into()).collect(),
            arms: (0..arms).map(|number| Arc::new(arm(number))).collect(),
            at: 1_780_000_000_000,
            step,
            random: StdRng::seed_from_u64(7),
        }
    }

    /// The next ones.
    pub(crate) fn next(&mut self, count: usize) -> Vec<Observation> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> Observation {
        self.at += self.step;
        let random = &mut self.random;
        let arm = random.random_range(0..self.arms.len());
        // The sum of a few uniform numbers is about normal.
        let normal: f64 = (0..4).map(|_| random.random_range(-1.0..1.0_f64)).sum();
        let ms = (2.0 + arm as f64 / 20.0 + 0.25 * normal).exp();
        let failed = random.random_range(0..50) == 0;
        Observation {
            at: UnixMillis(self.at),
            model: self.models[random.random_range(0..self.models.len())].clone(),
            shape: self.shapes[random.random_range(0..self.shapes.len())].clone(),
            arm: self.arms[arm].clone(),
            worker: WorkerId(random.random_range(0..32)),
            operation: Operation::Run,
            outcome: if failed { Outcome::WorkerVanished } else { Outcome::Ok },
            warm: true,
            load_ms: None,
            queue_ms: Some(random.random_range(0.0..2.0)),
            in_page_ms: Some(ms * 0.9),
            service_ms: Some(ms),
            total_ms: Some(ms + 1.0),
            bytes_in: Some(65_536),
            bytes_out: Some(4_096),
            memory_bytes: Some(90_000_000),
        }
    }
}
