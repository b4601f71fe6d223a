//! One inference, whatever protocol it came by.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pool_core::{Completed, Constraints, Request, RunReport};
use serde_json::{Value, json};
use tensor::NamedTensor;
use tensor::oip::{InferRequest, InferResponse, Parameters};
use tokio::time::Instant;
use vocab::{Backend, BrowserName};

use crate::batch::{BatchError, BatchReport, Part};
use crate::error::ServiceError;
use crate::repository::Served;
use crate::service::Service;
use crate::stats::{Stats, Success};
use crate::trace::Trace;

/// The urgency of a request that says none: in the middle, so that there is room on both sides.
const USUAL: u8 = 128;

/// What a request asks for beside its tensors.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) outputs: Option<Arc<[Arc<str>]>>,
    pub(crate) constraints: Constraints,
}

/// A result, before a protocol puts it into its own words.
#[derive(Debug)]
pub(crate) struct Inferred {
    pub(crate) outputs: Vec<NamedTensor>,
    pub(crate) report: RunReport,
    /// When the pool was asked.
    pub(crate) asked: Instant,
    pub(crate) batch: Option<BatchReport>,
}

impl Wishes {
    /// What the parameters of a request of the Open Inference Protocol ask for. `longest` is as long as a request may take
    /// at most.
    pub(crate) fn of(
        request: &InferRequest,
        served: &Served,
        longest: Duration,
    ) -> Result<Self, ServiceError> {
        let parameters = &request.parameters;
        let refused = |name, why: &str| Err(ServiceError::BadParameter { name, why: why.to_owned() });
        for name in ["sequence_id", "sequence_start", "sequence_end"] {
            if parameters.contains_key(name) {
                return refused("sequence_id", "is not supported: texts are written by /v1/completions");
            }
        }
        let mut constraints =
            Constraints { priority: USUAL, timeout: Some(longest), ..Constraints::default() };
        match parameters.get("priority") {
            None => {}
            // As the protocol has it: lower numbers go first, and zero means the usual.
            Some(value) => match value.as_u64() {
                Some(0) => {}
                Some(level) => {
                    constraints.priority = u8::try_from(256_u64.saturating_sub(level)).unwrap_or(u8::MAX)
                }
                None => {
                    return refused(
                        "priority",
                        "must be a whole number: 0 for the usual, else lower is sooner",
                    );
                }
            },
        }
        match parameters.get("timeout").map(|value| (value, value.as_u64())) {
            None | Some((_, Some(0))) => {}
            Some((_, Some(microseconds))) => {
                constraints.timeout = Some(Duration::from_micros(microseconds).min(longest));
            }
            Some((_, None)) => return refused("timeout", "must be a whole number of microseconds"),
        }
        if let Some(value) = parameters.get("backend") {
            let all =
                list(value).and_then(|all| all.iter().map(|name| name.parse::<Backend>().ok()).collect());
            let Some(backends) = all else {
                return refused("backend", "must be webnn, webgpu or wasm, or several of them with commas");
            };
            constraints.backends = backends;
            constraints.fallback = constraints.backends.len() > 1;
        }
        if let Some(value) = parameters.get("browser") {
            let all =
                list(value).and_then(|all| all.iter().map(|name| name.parse::<BrowserName>().ok()).collect());
            let Some(browsers) = all else {
                return refused("browser", "must be the name of a browser, or several of them with commas");
            };
            constraints.browsers = browsers;
        }
        match parameters.get("explain") {
            None => {}
            Some(Value::Bool(explain)) => constraints.explain = *explain,
            Some(_) => return refused("explain", "must be true or false"),
        }
        let outputs = if request.outputs.is_empty() {
            None
        } else {
            for output in &request.outputs {
                if output.parameters.contains_key("classification") {
                    return refused("classification", "is not supported: ask for the output itself");
                }
                if output.parameters.keys().any(|key| key.starts_with("shared_memory_")) {
                    return refused("shared_memory_region", "is not supported: there is no shared memory");
                }
            }
            let known = |name: &str| {
                let spec = served.model.signature.output(name);
                spec.map(|spec| Arc::clone(&spec.name)).ok_or_else(|| {
                    ServiceError::Run(pool_core::RunError::UnknownOutput(crate::error::shortened(name)))
                })
            };
            Some(request.outputs.iter().map(|output| known(&output.name)).collect::<Result<_, _>>()?)
        };
        Ok(Self { outputs, constraints })
    }

    /// What a request of another protocol asks for.
    pub(crate) fn usual(timeout: Duration) -> Self {
        let constraints = Constraints { priority: USUAL, timeout: Some(timeout), ..Constraints::default() };
        Self { outputs: None, constraints }
    }
}

fn list(value: &Value) -> Option<Vec<&str>> {
    value.as_str().map(|text| text.split(',').map(str::trim).collect())
}

impl Service {
    /// Computes one request.
    pub(crate) async fn infer(
        &self,
        served: &Served,
        inputs: Arc<[NamedTensor]>,
        wishes: Wishes,
        trace: &Trace,
    ) -> Result<Inferred, ServiceError> {
        let began = Instant::now();
        let mut asked = Asked { stats: &served.stats, began, succeeded: false };
        let rows = inputs.first().and_then(|input| input.tensor.shape().dims().first().copied()).unwrap_or(1);
        let result = self.compute(served, inputs, wishes, began).await;
        if let Ok(inferred) = &result {
            let execution = match &inferred.batch {
                None => Some(rows),
                Some(batch) => batch.speaks.then_some(batch.rows),
            };
            let waited = inferred.batch.as_ref().map_or(0.0, |batch| batch.waited_ms);
            let report = &inferred.report;
            let ms = |ms: f64| Duration::try_from_secs_f64(ms.max(0.0) / 1e3).unwrap_or_default();
            let rest = report.total_ms - report.queue_ms - report.in_page_ms;
            let (input, output) = match &report.timeline {
                Some(timeline) => (
                    timeline.arrived_ms - timeline.dispatched_ms,
                    timeline.received_ms - timeline.answered_ms,
                ),
                None => (0.0, rest),
            };
            let success = Success {
                whole: began.elapsed(),
                queue: ms(report.queue_ms + waited),
                input: ms(input),
                infer: ms(report.in_page_ms),
                output: ms(output),
                rows,
                execution,
            };
            served.stats.succeeded(&success, SystemTime::now());
            asked.succeeded = true;
            trace.ran(served, began, inferred);
        }
        result
    }

    async fn compute(
        &self,
        served: &Served,
        inputs: Arc<[NamedTensor]>,
        wishes: Wishes,
        began: Instant,
    ) -> Result<Inferred, ServiceError> {
        let Wishes { outputs, constraints } = wishes;
        // Before it could spoil a batch.
        served.model.signature.bind(&inputs).map_err(pool_core::RunError::InvalidInput)?;
        let deadline = began + constraints.timeout.unwrap_or_else(|| self.limits().max_timeout);
        match &served.batcher {
            Some(batcher) => match batcher.run(inputs, outputs, constraints, deadline).await {
                Ok(part) => {
                    let Part { outputs, report, asked, batch } = part;
                    Ok(Inferred { outputs, report, asked, batch })
                }
                Err(BatchError::Run(error)) => Err(error.into()),
                Err(error @ BatchError::Mixed(_)) => Err(ServiceError::Internal(error.to_string())),
            },
            None => {
                let mut request = Request::new(Arc::clone(&served.model), inputs);
                request.outputs = outputs;
                request.constraints = constraints;
                let asked = Instant::now();
                let Completed { outputs, report, .. } = self.engine().run(request).await?;
                Ok(Inferred { outputs, report, asked, batch: None })
            }
        }
    }
}

/// A request that is being computed.
struct Asked<'a> {
    stats: &'a Stats,
    began: Instant,
    succeeded: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        // Cancellation safety: a caller who goes away drops the request, which has no result then either.
        if !self.succeeded {
            self.stats.failed(self.began.elapsed(), SystemTime::now());
        }
    }
}

/// The response of the Open Inference Protocol.
pub(crate) fn response(served: &Served, id: Option<String>, inferred: Inferred) -> InferResponse {
    let Inferred { outputs, report, asked: _, batch } = inferred;
    let mut parameters = report_parameters(&report);
    if let Some(model_type) = served.model.model_type {
        parameters.insert("model_type".to_owned(), json!(model_type));
    }
    if let Some(batch) = batch {
        parameters.insert("batch_requests".to_owned(), json!(batch.requests));
        parameters.insert("batch_rows".to_owned(), json!(batch.rows));
        parameters.insert("batch_wait_ms".to_owned(), json!(batch.waited_ms));
        parameters.insert("queue_ms".to_owned(), json!(report.queue_ms + batch.waited_ms));
        parameters.insert("total_ms".to_owned(), json!(report.total_ms + batch.waited_ms));
        if batch.filled > 0 {
            parameters.insert("batch_filled_rows".to_owned(), json!(batch.filled));
        }
        if !batch.padded.is_empty() {
            parameters.insert("padded_to".to_owned(), json!(batch.padded));
        }
    }
    InferResponse {
        model_name: served.name.clone(),
        model_version: Some(served.version.clone()),
        id,
        parameters,
        outputs,
    }
}

/// Where and how fast a result was computed, as the parameters of a response say it. Times are milliseconds.
#[must_use]
pub fn report_parameters(report: &RunReport) -> Parameters {
    let placement: Parameters =
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
            if let Some(guest) = &report.guest {
                map.insert("guest".to_owned(), json!(guest));
            }
            if let Some(decision) = &report.decision {
                map.insert("decision".to_owned(), json!(decision));
            }
            map
        }
        _ => Parameters::default(),
    }
}
