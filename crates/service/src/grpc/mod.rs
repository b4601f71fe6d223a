//! The Open Inference Protocol over gRPC.

mod convert;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Response;
use axum::routing::post;
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::error::ServiceError;
use crate::http::Caller;
use crate::infer::{Wishes, response};
use crate::repository::ModelState;
use crate::service::{LOG, Service};
use crate::words;
use messages as wire;

/// The route of every method.
pub(crate) const ROUTE: &str = "/inference.GRPCInferenceService/{method}";

/// Requests of one stream that are computed at the same time.
const STREAM_AT_ONCE: usize = 16;

/// The routes.
pub(crate) fn routes(service: Service) -> Router {
    Router::new().route(ROUTE, post(answer)).with_state(service)
}

type Answer = Response<tonic::body::Body>;

async fn answer(State(service): State<Service>, Path(method): Path<String>, request: Request) -> Answer {
    let call = Call::of(service, &request);
    match method.as_str() {
        "ServerLive" => unary(call, request, live).await,
        "ServerReady" => unary(call, request, ready).await,
        "ModelReady" => unary(call, request, model_ready).await,
        "ServerMetadata" => unary(call, request, server).await,
        "ModelMetadata" => unary(call, request, model_metadata).await,
        "ModelConfig" => unary(call, request, model_config).await,
        "ModelStatistics" => unary(call, request, model_statistics).await,
        "ModelInfer" => unary(call, request, infer).await,
        "ModelStreamInfer" => stream(call, request).await,
        "RepositoryIndex" => unary(call, request, index).await,
        "RepositoryModelLoad" => unary(call, request, load).await,
        "RepositoryModelUnload" => unary(call, request, unload).await,
        _ => Status::new(Code::Unimplemented, "this server has no such method").into_http(),
    }
}

/// What a method knows of its call.
#[derive(Clone)]
struct Call {
    service: Service,
    caller: Option<Caller>,
    /// How long the caller waits, where it says.
    timeout: Option<Duration>,
}

impl Call {
    fn of(service: Service, request: &Request) -> Self {
        let timeout =
            request.headers().get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(timeout);
        Self { service, caller: request.extensions().get::<Caller>().cloned(), timeout }
    }

    fn codec<A, Q>(&self) -> Grpc<ProstCodec<A, Q>>
    where
        A: prost::Message + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
    {
        let limit = usize::try_from(self.service.limits().max_body_bytes).unwrap_or(usize::MAX);
        Grpc::new(ProstCodec::default())
            .max_decoding_message_size(limit)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip)
    }

    /// Counts, logs and words an error.
    fn refused(&self, error: &ServiceError) -> Status {
        let (reason, message) = (error.reason(), error.message());
        self.service.counters().refused(reason);
        let request = self.caller.as_ref().map_or("", |caller| &*caller.id);
        tracing::warn!(target: LOG, request, reason, message, "refused");
        Status::new(error.code(), message)
    }

    fn may_change_models(&self) -> Result<(), ServiceError> {
        match &self.caller {
            Some(caller) if caller.admitted.admin => Ok(()),
            _ => Err(ServiceError::Forbidden("load or unload models")),
        }
    }
}

/// A timeout as gRPC writes it: up to eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

async fn unary<Q, A, F, Fut>(call: Call, request: Request, work: F) -> Answer
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
    F: Fn(Call, Q) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<A, ServiceError>> + Send + 'static,
{
    let mut grpc = call.codec::<A, Q>();
    let method = tower::service_fn(move |request: tonic::Request<Q>| {
        let (call, work) = (call.clone(), work.clone());
        async move {
            let message = request.into_inner();
            // Kept until the answer is there.
            let done = match call.service.hold(message.encoded_len() as u64) {
                Ok(_room) => work(call.clone(), message).await,
                Err(error) => Err(error),
            };
            done.map(tonic::Response::new).map_err(|error| call.refused(&error))
        }
    });
    grpc.unary(method, request).await
}

async fn stream(call: Call, request: Request) -> Answer {
    let mut grpc = call.codec::<wire::ModelStreamInferResponse, wire::ModelInferRequest>();
    let method = tower::service_fn(move |request: tonic::Request<Streaming<wire::ModelInferRequest>>| {
        let call = call.clone();
        async move {
            let answers = request.into_inner().map(move |message| {
                let call = call.clone();
                async move {
                    // A message that cannot be read ends the stream; one that cannot be computed does not.
                    let message = message?;
                    let id = message.id.clone();
                    let mut answer = wire::ModelStreamInferResponse::default();
                    match infer(call.clone(), message).await {
                        Ok(response) => answer.infer_response = Some(response),
                        Err(error) => {
                            answer.error_message = call.refused(&error).message().to_owned();
                            answer.infer_response =
                                Some(wire::ModelInferResponse { id, ..Default::default() });
                        }
                    }
                    Ok::<_, Status>(answer)
                }
            });
            Ok::<_, Status>(tonic::Response::new(answers.buffered(STREAM_AT_ONCE).boxed()))
        }
    });
    grpc.streaming(method, request).await
}

async fn live(_: Call, _: wire::Nothing) -> Result<wire::ServerLive, ServiceError> {
    std::future::ready(Ok(wire::ServerLive { live: true })).await
}

async fn ready(call: Call, _: wire::Nothing) -> Result<wire::Ready, ServiceError> {
    std::future::ready(Ok(wire::Ready { ready: call.service.is_ready() })).await
}

async fn server(_: Call, _: wire::Nothing) -> Result<wire::ServerMetadata, ServiceError> {
    let metadata = wire::ServerMetadata {
        name: words::NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: words::EXTENSIONS.iter().map(|name| (*name).to_owned()).collect(),
    };
    std::future::ready(Ok(metadata)).await
}

async fn model_ready(call: Call, model: wire::ModelName) -> Result<wire::Ready, ServiceError> {
    let found = call.service.repository().find(&model.name, Some(&model.version));
    std::future::ready(match found {
        Ok(_) => Ok(wire::Ready { ready: true }),
        Err(error @ ServiceError::BadName { .. }) => Err(error),
        Err(_) => Ok(wire::Ready { ready: false }),
    })
    .await
}

async fn model_metadata(call: Call, model: wire::ModelName) -> Result<wire::ModelMetadata, ServiceError> {
    let served = call.service.repository().find(&model.name, Some(&model.version));
    let told = |served: Arc<_>| convert::metadata(&served, call.service.repository().versions(&model.name));
    std::future::ready(served.map(told)).await
}

async fn model_config(call: Call, model: wire::ModelName) -> Result<wire::ModelConfigResponse, ServiceError> {
    let served = call.service.repository().find(&model.name, Some(&model.version));
    let told = |served: Arc<_>| wire::ModelConfigResponse { config: Some(convert::config(&served)) };
    std::future::ready(served.map(told)).await
}

async fn model_statistics(
    call: Call,
    model: wire::ModelName,
) -> Result<wire::ModelStatisticsResponse, ServiceError> {
    let wire::ModelName { name, version } = model;
    let stats = if name.is_empty() {
        Ok(call.service.repository().statistics(None, None))
    } else {
        call.service.statistics(&name, Some(&*version).filter(|version| !version.is_empty()))
    };
    let told = |stats: Vec<_>| stats.into_iter().map(convert::statistics).collect();
    std::future::ready(stats.map(|stats| wire::ModelStatisticsResponse { model_stats: told(stats) })).await
}

async fn infer(
    call: Call,
    message: wire::ModelInferRequest,
) -> Result<wire::ModelInferResponse, ServiceError> {
    let service = &call.service;
    let trace = call.caller.as_ref().map(|caller| caller.trace.clone()).unwrap_or_default();
    let began = trace.arrived().unwrap_or_else(Instant::now);
    let served = service.repository().find(&message.model_name, Some(&message.model_version))?;
    let request = convert::request(message)?;
    let longest = service.limits().max_timeout;
    let wishes = Wishes::of(&request, &served, call.timeout.map_or(longest, |timeout| timeout.min(longest)))?;
    trace.part("parse", began);
    let inputs: Arc<[_]> = request.inputs.into();
    let inferred = service.infer(&served, inputs, wishes, &trace).await?;
    Ok(convert::response(response(&served, request.id, inferred)))
}

async fn index(
    call: Call,
    request: wire::RepositoryIndexRequest,
) -> Result<wire::RepositoryIndexResponse, ServiceError> {
    let entries = call.service.repository().index().into_iter();
    let wanted = entries.filter(|entry| !request.ready || entry.state == ModelState::Ready);
    let line = |entry: crate::IndexEntry| wire::ModelIndex {
        name: entry.name,
        version: entry.version,
        state: entry.state.as_str().to_owned(),
        reason: entry.reason,
    };
    std::future::ready(Ok(wire::RepositoryIndexResponse { models: wanted.map(line).collect() })).await
}

async fn load(call: Call, request: wire::RepositoryModel) -> Result<wire::Nothing, ServiceError> {
    call.may_change_models()?;
    if !request.parameters.is_empty() {
        let why = "are not supported: models come from the server's own folder".to_owned();
        return Err(ServiceError::BadParameter { name: "parameters of a load", why });
    }
    call.service.repository().load(&request.model_name).await?;
    Ok(wire::Nothing {})
}

async fn unload(call: Call, request: wire::RepositoryModel) -> Result<wire::Nothing, ServiceError> {
    call.may_change_models()?;
    call.service.unload(&request.model_name).await?;
    Ok(wire::Nothing {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1H"), Some(Duration::from_secs(3_600)));
        for wrong in ["", "S", "5", "123456789S", "5x", "-1S", "é"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
