//! A result in the Open Inference Protocol's words.

use pool_core::{Completed, RunReport};
use serde_json::{Value, json};
use tensor::oip::{InferResponse, Parameters};

use crate::accelerated::AcceleratedModel;

/// The response for a result: outputs, and parameters that say where and how fast it was computed.
#[must_use]
pub fn response(model: &AcceleratedModel, id: Option<String>, completed: Completed) -> InferResponse {
    let version = Some(model.version().to_owned()).filter(|version| !version.is_empty());
    let mut parameters = parameters(&completed.report);
    if let Some(model_type) = model.model_type() {
        parameters.insert("model_type".to_owned(), json!(model_type));
    }
    InferResponse {
        model_name: model.name().to_owned(),
        model_version: version,
        id,
        parameters,
        outputs: completed.outputs,
    }
}

fn parameters(report: &RunReport) -> Parameters {
    let placement: serde_json::Map<String, Value> =
        report.placement.iter().map(|(provider, nodes)| (provider.clone(), json!(nodes))).collect();
    let all = json!({
        "request": report.request,
        "worker": report.worker,
        "browser": report.browser,
        "browser_version": report.browser_version,
        "backend": report.backend,
        "device_requested": report.device_requested,
        "device_effective": report.device_effective,
        "adapter": report.adapter,
        "threads": report.threads,
        "queue_ms": report.queue_ms,
        "load_ms": report.load_ms,
        "in_page_ms": report.in_page_ms,
        "total_ms": report.total_ms,
        "attempts": report.attempts,
        "placement": placement,
    });
    match all {
        Value::Object(mut map) => {
            if let Some(decision) = &report.decision {
                map.insert("decision".to_owned(), json!(decision));
            }
            map.into_iter().collect()
        }
        _ => Parameters::default(),
    }
}
