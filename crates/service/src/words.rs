//! What the Open Inference Protocol says about servers and models, as JSON.

use serde_json::{Value, json};
use tensor::{DType, Dim, TensorSpec};

use crate::repository::Served;

/// The server's name in metadata.
pub(crate) const NAME: &str = "webnn-pool";
/// The extensions of the protocol that are there, by Triton's names.
pub(crate) const EXTENSIONS: &[&str] = &[
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
    "schedule_policy",
    "parameters",
];
/// What models are called that run in browsers.
pub(crate) const PLATFORM: &str = "onnxruntime_web";

pub(crate) fn server() -> Value {
    json!({ "name": NAME, "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS })
}

/// The sizes that a tensor has; −1 for any.
pub(crate) fn sizes(spec: &TensorSpec) -> Vec<i64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Symbol(_) | Dim::Unknown => -1,
    };
    spec.dims.iter().flatten().map(size).collect()
}

pub(crate) fn metadata(served: &Served, versions: Vec<String>) -> Value {
    let tensors = |specs: &[TensorSpec]| -> Vec<Value> {
        let one = |spec: &TensorSpec| json!({ "name": spec.name, "datatype": spec.dtype.oip_name(), "shape": sizes(spec) });
        specs.iter().map(one).collect()
    };
    let signature = &served.model.signature;
    json!({
        "name": served.name,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": tensors(&signature.inputs),
        "outputs": tensors(&signature.outputs),
        "parameters": {
            "model_type": served.model.model_type,
            "precision": served.model.precision,
            "sha256": served.model.hash.to_string(),
            "memory_estimate_bytes": served.model.memory_estimate_bytes,
        },
    })
}

/// The name of an element type in a model's configuration.
pub(crate) fn type_name(dtype: DType) -> String {
    match dtype {
        DType::String => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{}", other.oip_name()),
    }
}

/// The configuration as Triton's clients read it.
pub(crate) fn config(served: &Served) -> Value {
    let signature = &served.model.signature;
    // With a batch size the protocol leaves the first dimension out.
    let skip = usize::from(served.batching.is_some());
    let tensors = |specs: &[TensorSpec]| -> Vec<Value> {
        let one = |spec: &TensorSpec| {
            let dims: Vec<i64> = sizes(spec).into_iter().skip(skip).collect();
            json!({ "name": spec.name, "data_type": type_name(spec.dtype), "dims": dims })
        };
        specs.iter().map(one).collect()
    };
    let mut config = json!({
        "name": served.name,
        "platform": PLATFORM,
        "backend": "onnxruntime_web",
        "max_batch_size": served.batching.as_ref().map_or(0, |batching| batching.max_batch),
        "input": tensors(&signature.inputs),
        "output": tensors(&signature.outputs),
    });
    if let Some(batching) = &served.batching {
        config["dynamic_batching"] = json!({
            "preferred_batch_size": batching.preferred,
            "max_queue_delay_microseconds": u64::try_from(batching.max_delay.as_micros()).unwrap_or(u64::MAX),
        });
    }
    config
}
