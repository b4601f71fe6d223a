//! What a decision costs when ten thousand arms are known: the whole of it, policy included.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use perf_history::{Arm, ModelId, Observation, Operation, Outcome, ShapeBucket, UnixMillis};
use pool_core::selection::{ContextKey, SelectionConfig, Selector};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, PolicyName, WorkerId};

const ARMS: [(BrowserName, Backend); 8] = [
    (BrowserName::ChromiumHeadlessShell, Backend::WebNn),
    (BrowserName::ChromiumHeadlessShell, Backend::WebGpu),
    (BrowserName::ChromiumHeadlessShell, Backend::Wasm),
    (BrowserName::Chromium, Backend::WebGpu),
    (BrowserName::Chromium, Backend::Wasm),
    (BrowserName::Firefox, Backend::WebGpu),
    (BrowserName::Firefox, Backend::Wasm),
    (BrowserName::WebKitGtk, Backend::Wasm),
];
const MODELS: u32 = 1_250;

fn arms() -> Vec<Arc<Arm>> {
    let arm = |(browser, backend)| Arm {
        browser,
        browser_version: "1".into(),
        backend,
        device_requested: None,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        threads: 2,
    };
    ARMS.map(|pair| Arc::new(arm(pair))).to_vec()
}

fn hash(model: u32) -> ModelHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&model.to_le_bytes());
    ModelHash(hash)
}

/// A selector that knows each model on each arm.
fn taught(policy: PolicyName, arms: &[Arc<Arm>]) -> Selector {
    let mut config = SelectionConfig::default();
    (config.policy, config.explore) = (policy, true);
    config.fixed_backend = Some(Backend::Wasm);
    let mut selector = Selector::new(config).expect("it is valid");
    for model in 0..MODELS {
        let model = Arc::new(ModelId {
            hash: hash(model),
            name: "m".into(),
            version: "".into(),
            model_type: None,
            precision: "".into(),
        });
        for at in 0..20 {
            for (n, arm) in arms.iter().enumerate() {
                selector.observe(&Observation {
                    at: UnixMillis(at),
                    model: Arc::clone(&model),
                    shape: ShapeBucket::from("s=128"),
                    arm: Arc::clone(arm),
                    worker: WorkerId(1),
                    operation: Operation::Run,
                    outcome: Outcome::Ok,
                    warm: true,
                    load_ms: None,
                    queue_ms: None,
                    in_page_ms: Some((n + 5) as f64),
                    service_ms: None,
                    total_ms: None,
                    bytes_in: None,
                    bytes_out: None,
                    memory_bytes: None,
                });
            }
        }
    }
    selector
}

fn decision(c: &mut Criterion) {
    let arms = arms();
    let mut group = c.benchmark_group("decision among 8 arms, 10 000 known");
    for &policy in PolicyName::ALL {
        let mut selector = taught(policy, &arms);
        assert_eq!(selector.experience().arms(), 10_000);
        let keys: Vec<_> =
            (0..MODELS).map(|model| ContextKey { model: hash(model), shape: "s=128".into() }).collect();
        let mut next = (0..keys.len()).cycle();
        group.bench_function(policy.as_str(), |b| {
            b.iter(|| {
                let key = &keys[next.next().unwrap_or(0)];
                let chosen = selector.choose(black_box(key), None, &arms, UnixMillis(1_000), 1e4);
                if let Some((standing, choice)) = &chosen {
                    selector.note_run(key, &standing.arm, choice.why.is_exploration());
                }
                selector.release(key);
                chosen
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decision);
criterion_main!(benches);
