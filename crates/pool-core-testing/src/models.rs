//! Models, workers and tensors to test with.

use std::sync::Arc;

use bytes::Bytes;
use pool_core::{BackendInfo, Model, ModelFile, ModelSource, WorkerInfo};
use tensor::{DType, Dim, NamedTensor, Signature, Tensor, TensorSpec};
use vocab::{Backend, BrowserName, DeviceKind, ModelHash};

/// A model with one input `x` and one output `x`, both vectors of `n` floats, that takes 1 000 bytes when loaded.
/// Models of one name are the same model.
#[must_use]
pub fn identity_model(name: &str) -> Arc<Model> {
    identity_model_of(name, 1_000)
}

/// Like [`identity_model`], taking this many bytes when loaded.
#[must_use]
pub fn identity_model_of(name: &str, memory_bytes: u64) -> Arc<Model> {
    let mut hash = [0; 32];
    for (index, byte) in name.bytes().enumerate() {
        let place = &mut hash[index % 32];
        *place = u8::wrapping_add(u8::wrapping_mul(*place, 31), byte);
    }
    let hash = ModelHash(hash);
    let spec = TensorSpec {
        name: "x".into(),
        dtype: DType::F32,
        dims: Some(vec![Dim::Symbol("n".into())]),
        optional: false,
    };
    let contents = Bytes::copy_from_slice(name.as_bytes());
    let file = ModelFile {
        path: "model.onnx".to_owned(),
        hash,
        bytes: contents.len() as u64,
        source: ModelSource::Memory(contents),
    };
    Arc::new(Model {
        hash,
        name: name.to_owned(),
        version: String::new(),
        model_type: None,
        precision: "FP32".to_owned(),
        signature: Signature { inputs: vec![spec.clone()], outputs: vec![spec] },
        files: vec![file],
        memory_estimate_bytes: memory_bytes,
        caches: Arc::default(),
    })
}

/// A headless Chromium with WASM alone, two slots and room for a million bytes.
#[must_use]
pub fn info() -> WorkerInfo {
    info_of(BrowserName::Chromium, &[Backend::Wasm])
}

/// A worker with these backends, WebNN with static shapes, two slots and room for a million bytes.
#[must_use]
pub fn info_of(browser: BrowserName, backends: &[Backend]) -> WorkerInfo {
    let backend = |&backend| BackendInfo {
        backend,
        device_effective: DeviceKind::Cpu,
        adapter: None,
        software: true,
        threads: 1,
        cross_origin_isolated: true,
        static_shapes: backend == Backend::WebNn,
    };
    WorkerInfo {
        browser,
        browser_version: "1.0".to_owned(),
        slots: 2,
        memory_budget_bytes: 1_000_000,
        backends: backends.iter().map(backend).collect(),
        guest: None,
    }
}

/// The input `x` of an [`identity_model`].
///
/// # Panics
/// Not with any vector that fits into memory.
#[must_use]
pub fn vector(values: &[f32]) -> NamedTensor {
    let shape: &[u64] = &[values.len() as u64];
    NamedTensor::new(
        "x",
        Tensor::from_slice(shape, values).expect("the shape has as many elements as there are values"),
    )
}
