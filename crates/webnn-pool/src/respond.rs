//! A result in the Open Inference Protocol's words.

use pool_core::Completed;
use serde_json::{Value, json};
use tensor::oip::{InferResponse, Parameters};

use crate::accelerated::AcceleratedModel;
use crate::shard::{ComponentReport, ShardedOutcome};

/// The response for a result: outputs, and parameters that say where and how fast it was computed.
#[must_use]
pub fn response(model: &AcceleratedModel, id: Option<String>, completed: Completed) -> InferResponse {
    let version = Some(model.version().to_owned()).filter(|version| !version.is_empty());
    let mut parameters = service::report_parameters(&completed.report);
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

/// The response for a sharded result: outputs, and parameters that say who computed which component and what it took.
/// `in_page_ms` is the sum over components, of which some may have computed at the same time; browsers, backends and devices
/// are lists with commas.
#[must_use]
pub fn sharded_response(
    name: &str,
    id: Option<String>,
    plan: &sharding::Plan,
    outcome: ShardedOutcome,
) -> InferResponse {
    let ShardedOutcome { outputs, metrics } = outcome;
    let each = |what: &dyn Fn(&ComponentReport) -> Option<String>| {
        let mut all: Vec<String> = metrics.components.iter().filter_map(what).collect();
        all.sort();
        all.dedup();
        all.join(", ")
    };
    let mut parameters = Parameters::default();
    let browsers = each(&|component| component.browser.map(|browser| browser.to_string()));
    let backends = each(&|component| component.backend.map(|backend| backend.to_string()));
    parameters.insert("browser".to_owned(), json!(browsers));
    parameters.insert("backend".to_owned(), json!(backends));
    let devices = each(&|component| component.device_effective.as_ref().map(|device| device.to_string()));
    parameters.insert("device_effective".to_owned(), json!(devices));
    parameters.insert("strategy".to_owned(), json!(plan.strategy));
    parameters.insert("shards".to_owned(), json!(plan.shards));
    parameters.insert("total_ms".to_owned(), json!(metrics.inference_time_ms));
    let in_page: f64 = metrics.components.iter().map(|component| component.run_ms).sum();
    parameters.insert("in_page_ms".to_owned(), json!(in_page));
    if let Some(verdict) = plan.estimate.as_ref().map(|estimate| &estimate.verdict) {
        parameters.insert("verdict".to_owned(), json!(verdict));
    }
    if let Ok(Value::Object(all)) = serde_json::to_value(&metrics) {
        parameters.extend(all);
    }
    InferResponse { model_name: name.to_owned(), model_version: None, id, parameters, outputs }
}
