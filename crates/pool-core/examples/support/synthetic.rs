//! Worlds that are made up: eight arms with latencies like those that were measured, and two changes on the way.

use std::sync::Arc;

use perf_history::Arm;
use pool_core::selection::ContextKey;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, ModelType};

use super::world::{Draw, Planted, World};

const ARMS: [(BrowserName, Backend); 8] = [
    (BrowserName::ChromiumHeadlessShell, Backend::WebNn),
    (BrowserName::ChromiumHeadlessShell, Backend::Wasm),
    (BrowserName::Chromium, Backend::Wasm),
    (BrowserName::Firefox, Backend::Wasm),
    (BrowserName::WebKitGtk, Backend::Wasm),
    (BrowserName::ChromiumHeadlessShell, Backend::WebGpu),
    (BrowserName::Chromium, Backend::WebGpu),
    (BrowserName::Firefox, Backend::WebGpu),
];

/// Medians in milliseconds of a small embedding model with 128 tokens; WebGPU computes on the processor.
const LONG: [f64; 8] = [37.0, 48.0, 50.0, 54.0, 60.0, 620.0, 900.0, 2_000.0];
/// The same with 16 tokens.
const SHORT: [f64; 8] = [7.0, 7.1, 7.3, 7.9, 9.5, 85.0, 110.0, 240.0];
/// Of all runs on an arm that is well, this share fails.
const FAILING: f64 = 0.002;
/// When the changes happen, as shares of all requests.
const CHANGES: [f64; 2] = [0.33, 0.66];

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// The best arm becomes twice as slow; later another becomes the fastest.
    Overtaken,
    /// The same where four arms are nearly equal.
    NearTies,
    /// The best arm becomes twice as slow, and recovers.
    Recovers,
    /// A fifth of the runs on the best arm fail; later none do.
    Fails,
    /// The best arm becomes 10 % slower, and later another one 30 % faster.
    Creeps,
    /// Latencies, noise, changes and when they come are drawn.
    Drawn,
    /// Nothing changes.
    Steady,
}

impl Course {
    pub(crate) const ALL: [Self; 7] = [
        Self::Overtaken,
        Self::NearTies,
        Self::Recovers,
        Self::Fails,
        Self::Creeps,
        Self::Drawn,
        Self::Steady,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Overtaken => "the best arm ×2 slower, later another becomes the fastest",
            Self::NearTies => "the same, where four arms are nearly equal (7 ms)",
            Self::Recovers => "the best arm ×2 slower, and recovers",
            Self::Fails => "a fifth of the runs on the best arm fail, later none",
            Self::Creeps => "the best arm 10 % slower, later another 30 % faster",
            Self::Drawn => "latencies, noise and two changes at random",
            Self::Steady => "nothing changes",
        }
    }

    /// Whether it has two changes of regime, which is what the target is for.
    pub(crate) const fn has_two_changes(self) -> bool {
        !matches!(self, Self::Steady)
    }

    /// One world of this course.
    pub(crate) fn world(self, requests: usize, seed: u64) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let mut start = if self == Self::NearTies { SHORT } else { LONG };
        if self == Self::Drawn {
            for (arm, ms) in start.iter_mut().enumerate() {
                let (low, high) =
                    if ARMS[arm].1 == Backend::WebGpu { (8.0_f64, 60.0_f64) } else { (1.0, 2.5) };
                *ms = 20.0 * random.random_range(low.ln()..high.ln()).exp();
            }
        }
        let mut at = CHANGES.map(|share| (share * requests as f64) as usize);
        if self == Self::Drawn {
            at = [(0.1, 0.45), (0.55, 0.9)]
                .map(|(from, to)| (random.random_range(from..to) * requests as f64) as usize);
        }
        let mut regimes = [Regime::new(start); 3];
        self.change(&mut regimes, &mut random);
        let sigmas = ARMS.map(|_| random.random_range(0.05..0.3));
        let cold = ARMS.map(|_| random.random_range(3_f64.ln()..10_f64.ln()).exp());
        let first = regimes[0].best();
        let worse = regimes[1].best() != first;
        let regime = |request: usize| &regimes[at.iter().filter(|&&at| request >= at).count()];
        let mut draw = |request: usize| -> Vec<Draw> {
            let regime = regime(request);
            let one = |arm: usize| Draw {
                ms: regime.ms[arm] * (sigmas[arm] * normal(&mut random)).exp(),
                fails: random.random::<f64>() < regime.fails[arm],
            };
            (0..ARMS.len()).map(one).collect()
        };
        World {
            key: ContextKey { model: ModelHash([1; 32]), shape: "batch=1,sequence=128".into() },
            model_type: Some(ModelType::TextEmbedding),
            arms: ARMS.map(|(browser, backend)| Arc::new(arm(browser, backend))).to_vec(),
            cold: cold.to_vec(),
            draws: (0..requests).map(&mut draw).collect(),
            expected: (0..requests).map(|request| regime(request).expected(&sigmas)).collect(),
            regression: worse.then_some(Planted { at: at[0], arm: first }),
        }
    }

    fn change(self, regimes: &mut [Regime; 3], random: &mut StdRng) {
        let [_, second, third] = regimes;
        match self {
            Self::Overtaken => {
                second.ms[0] *= 2.0;
                third.ms[0] *= 2.0;
                third.ms[3] *= 0.6;
            }
            Self::NearTies => {
                second.ms[0] *= 2.0;
                third.ms[0] *= 2.0;
                third.ms[3] *= 0.7;
            }
            Self::Recovers => second.ms[0] *= 2.0,
            Self::Fails => second.fails[0] = 0.2,
            Self::Creeps => {
                second.ms[0] *= 1.1;
                third.ms[0] *= 1.1;
                third.ms[1] *= 0.7;
            }
            Self::Drawn => {
                let best = second.best();
                let times = random.random_range(1.5..4.0);
                (second.ms[best], third.ms[best]) = (second.ms[best] * times, third.ms[best] * times);
                let (arm, share) = (random.random_range(0..5), random.random_range(0.4..0.8));
                third.ms[arm] = third.ms[third.best()] * share;
            }
            Self::Steady => {}
        }
    }
}

/// What the arms are like for a while.
#[derive(Debug, Clone, Copy)]
struct Regime {
    ms: [f64; 8],
    fails: [f64; 8],
}

impl Regime {
    fn new(ms: [f64; 8]) -> Self {
        Self { ms, fails: [FAILING; 8] }
    }

    fn cost(&self, arm: usize) -> f64 {
        self.ms[arm] + World::failure_ms(self.fails[arm], self.ms[arm])
    }

    fn best(&self) -> usize {
        (0..8).min_by(|&a, &b| self.cost(a).total_cmp(&self.cost(b))).unwrap_or(0)
    }

    /// The means, which lie above the medians.
    fn expected(&self, sigmas: &[f64; 8]) -> Vec<f64> {
        let mean = |arm: usize| self.ms[arm] * (sigmas[arm] * sigmas[arm] / 2.0).exp();
        let best = (0..8).map(mean).fold(f64::INFINITY, f64::min);
        (0..8).map(|arm| mean(arm) + World::failure_ms(self.fails[arm], best)).collect()
    }
}

fn arm(browser: BrowserName, backend: Backend) -> Arm {
    Arm {
        browser,
        browser_version: "1".into(),
        backend,
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        threads: 2,
    }
}

/// A normal variate, by Box and Muller.
fn normal(random: &mut StdRng) -> f64 {
    let (a, b) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}
