//! The Open Inference Protocol over HTTP, with the extensions that Triton's clients use.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use tensor::oip::{BinaryMessage, InferRequest, InferResponse, Limits as MessageLimits, Parameters};
use tokio::time::Instant;

use super::answer::{Style, refuse};
use super::body;
use super::gate::{Caller, admin};
use crate::error::ServiceError;
use crate::infer::{Wishes, response};
use crate::service::{Sections, Service};
use crate::stats::ModelStatistics;
use crate::words;

static HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a path names, or why it names nothing.
type Named<T> = Result<Path<T>, PathRejection>;
type Answer = Result<Response, Refused>;

/// An error in this protocol's words.
pub(super) struct Refused(ServiceError);

impl<E: Into<ServiceError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refuse(Style::Inference, &self.0)
    }
}

fn named<T>(path: Named<T>) -> Result<T, ServiceError> {
    // What is no text is no name.
    path.map(|Path(named)| named).map_err(|error| ServiceError::BadRequest(error.body_text()))
}

pub(super) async fn server() -> Response {
    Json(words::server()).into_response()
}

/// Whether the server itself runs.
pub(super) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Whether requests would be answered.
pub(super) async fn ready(State(service): State<Service>) -> StatusCode {
    if service.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

pub(super) async fn metadata(State(service): State<Service>, path: Named<String>) -> Answer {
    let served = service.repository().find(&named(path)?, None)?;
    Ok(Json(words::metadata(&served, service.repository().versions(&served.name))).into_response())
}

pub(super) async fn version_metadata(
    State(service): State<Service>,
    path: Named<(String, String)>,
) -> Answer {
    let (model, version) = named(path)?;
    let served = service.repository().find(&model, Some(&version))?;
    Ok(Json(words::metadata(&served, service.repository().versions(&served.name))).into_response())
}

pub(super) async fn model_ready(State(service): State<Service>, path: Named<String>) -> Answer {
    service.repository().find(&named(path)?, None)?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn version_ready(State(service): State<Service>, path: Named<(String, String)>) -> Answer {
    let (model, version) = named(path)?;
    service.repository().find(&model, Some(&version))?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn config(State(service): State<Service>, path: Named<String>) -> Answer {
    let served = service.repository().find(&named(path)?, None)?;
    Ok(Json(words::config(&served)).into_response())
}

pub(super) async fn version_config(State(service): State<Service>, path: Named<(String, String)>) -> Answer {
    let (model, version) = named(path)?;
    let served = service.repository().find(&model, Some(&version))?;
    Ok(Json(words::config(&served)).into_response())
}

pub(super) async fn all_stats(State(service): State<Service>) -> Response {
    told(service.repository().statistics(None, None))
}

pub(super) async fn stats(State(service): State<Service>, path: Named<String>) -> Answer {
    let model = named(path)?;
    let stats = service.statistics(&model, None)?;
    Ok(told(stats))
}

pub(super) async fn version_stats(State(service): State<Service>, path: Named<(String, String)>) -> Answer {
    let (model, version) = named(path)?;
    let stats = service.statistics(&model, Some(&version))?;
    Ok(told(stats))
}

fn told(stats: Vec<ModelStatistics>) -> Response {
    Json(json!({ "model_stats": stats })).into_response()
}

pub(super) async fn infer(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    path: Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Ok(run(&service, &caller, &named(path)?, None, &headers, body).await?)
}

pub(super) async fn version_infer(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    path: Named<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (model, version) = named(path)?;
    Ok(run(&service, &caller, &model, Some(&version), &headers, body).await?)
}

async fn run(
    service: &Service,
    caller: &Caller,
    model: &str,
    version: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ServiceError> {
    let began = caller.trace.arrived().unwrap_or_else(Instant::now);
    let served = service.repository().find(model, version)?;
    let held = body::read(service, headers, body).await?;
    let request = read(headers, held.bytes.clone())?;
    let wishes = Wishes::of(&request, &served, service.limits().max_timeout)?;
    caller.trace.part("parse", began);
    let InferRequest { id, inputs, .. } = &request;
    let inferred = service.infer(&served, inputs.clone().into(), wishes, &caller.trace).await?;
    let response = response(&served, id.clone(), inferred);
    let binary = response.outputs.iter().any(|output| request.wants_binary(&output.name));
    if binary { in_binary(&response, &request) } else { in_json(&response) }
}

fn read(headers: &HeaderMap, bytes: bytes::Bytes) -> Result<InferRequest, ServiceError> {
    let limits = MessageLimits::default();
    match header_length(headers)? {
        None => Ok(InferRequest::from_json(&bytes, &limits)?),
        Some(length) => Ok(InferRequest::from_binary(bytes, length, &limits)?),
    }
}

/// The bytes of the JSON, where there is binary data behind it.
fn header_length(headers: &HeaderMap) -> Result<Option<u64>, ServiceError> {
    let mut all = headers.get_all(&HEADER_LENGTH).iter();
    let Some(length) = all.next() else { return Ok(None) };
    let text = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = text.and_then(|text| text.parse().ok()).filter(|_| all.next().is_none());
    length.map(Some).ok_or_else(|| ServiceError::BadParameter {
        name: "Inference-Header-Content-Length",
        why: "must be one whole number: the bytes of the JSON before the binary data".to_owned(),
    })
}

fn in_json(response: &InferResponse) -> Result<Response, ServiceError> {
    let json = response.to_json()?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

fn in_binary(response: &InferResponse, request: &InferRequest) -> Result<Response, ServiceError> {
    let message = response.to_binary(|output| request.wants_binary(output))?;
    let length = HeaderValue::from(message.header.len());
    let total = HeaderValue::from(message.total_len());
    let BinaryMessage { header, parts } = message;
    // Each piece goes to the socket as it is.
    let pieces = std::iter::once(header).chain(parts).map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, total);
    headers.insert(HEADER_LENGTH.clone(), length);
    Ok(response)
}

#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

pub(super) async fn index(State(service): State<Service>, headers: HeaderMap, body: Body) -> Answer {
    let IndexRequest { ready } = body::json(&service, &headers, body).await?;
    let mut all = service.repository().index();
    all.retain(|entry| !ready || entry.state == crate::ModelState::Ready);
    Ok(Json(all).into_response())
}

/// What a token may not that is none of an administrator.
const LOADS: &str = "load or unload models";

#[derive(Debug, Default, Deserialize)]
struct LoadRequest {
    #[serde(default)]
    parameters: Parameters,
}

pub(super) async fn load(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    path: Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    admin(&caller, LOADS)?;
    let model = named(path)?;
    let LoadRequest { parameters } = body::json(&service, &headers, body).await?;
    if !parameters.is_empty() {
        let why = "are not supported: models come from the server's own folder".to_owned();
        return Err(ServiceError::BadParameter { name: "parameters of a load", why }.into());
    }
    service.repository().load(&model).await?;
    Ok(Json(json!({})).into_response())
}

pub(super) async fn unload(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    path: Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    admin(&caller, LOADS)?;
    let model = named(path)?;
    let _: Parameters = body::json(&service, &headers, body).await?;
    service.unload(&model).await?;
    Ok(Json(json!({})).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default = "yes")]
    connections: bool,
    #[serde(default = "yes")]
    models: bool,
    #[serde(default)]
    performance: bool,
}

const fn yes() -> bool {
    true
}

pub(super) async fn telemetry(
    State(service): State<Service>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(asked) = query.map_err(|error| ServiceError::BadRequest(error.body_text()))?;
    let Asked { connections, models, performance } = asked;
    Ok(Json(service.telemetry(Sections { connections, models, performance }).await?).into_response())
}

impl Service {
    /// The statistics of one model.
    pub(crate) fn statistics(
        &self,
        model: &str,
        version: Option<&str>,
    ) -> Result<Vec<ModelStatistics>, ServiceError> {
        // Says what is wrong with the name, also where there is nothing to tell.
        let found = match self.repository().find(model, version) {
            Err(ServiceError::NotReady { .. }) | Ok(_) => self.repository().statistics(Some(model), version),
            Err(error) => return Err(error),
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&'static str], want: Option<Option<u64>>) {
        let one = |value: &&'static str| (HEADER_LENGTH.clone(), HeaderValue::from_static(value));
        let headers: HeaderMap = HeaderMap::from_iter(values.iter().take(1).map(one));
        let headers = values.iter().skip(1).fold(headers, |mut headers, value| {
            headers.append(HEADER_LENGTH.clone(), HeaderValue::from_static(value));
            headers
        });
        assert_eq!(header_length(&headers).ok(), want, "{values:?}");
    }

    #[test]
    fn the_length_of_the_json_is_one_whole_number() {
        check(&[], Some(None));
        check(&["0"], Some(Some(0)));
        check(&["18446744073709551615"], Some(Some(u64::MAX)));
        for wrong in ["", "+2", "-1", " 2", "2.0", "0x2", "18446744073709551616"] {
            check(&[wrong], None);
        }
        check(&["2", "2"], None);
    }
}
