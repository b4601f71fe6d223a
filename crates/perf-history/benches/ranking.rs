//! What a decision costs when ten thousand arms are known.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use perf_history::{Arm, Experience, ModelId, Observation, Operation, Outcome, ShapeBucket, UnixMillis};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash, WorkerId};

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

fn ranking(c: &mut Criterion) {
    let arms = ARMS.map(|(browser, backend)| {
        Arc::new(Arm {
            browser,
            browser_version: "1".into(),
            backend,
            device_requested: None,
            device_effective: DeviceKind::Cpu,
            adapter: None,
            threads: 2,
        })
    });
    let mut experience = Experience::default();
    for model in 0..1_250_u32 {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&model.to_le_bytes());
        let id = Arc::new(ModelId {
            hash: ModelHash(hash),
            name: "m".into(),
            version: "".into(),
            model_type: None,
            precision: "".into(),
        });
        for (n, arm) in arms.iter().enumerate() {
            for at in 0..20 {
                experience.observe(&Observation {
                    at: UnixMillis(at),
                    model: Arc::clone(&id),
                    shape: "s=128".into(),
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
    assert_eq!(experience.arms(), 10_000);
    let (model, shape) = (ModelHash([0; 32]), ShapeBucket::from("s=128"));
    c.bench_function("rank/8_of_10000_arms", |b| {
        b.iter(|| experience.rank(black_box(model), &shape, None, &arms, UnixMillis(1_000)));
    });
}

criterion_group!(benches, ranking);
criterion_main!(benches);
