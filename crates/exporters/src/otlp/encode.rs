//! Spans and resources as OpenTelemetry's messages.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as Message, Status, span, status,
};
use prost::Message as _;

use super::{Settings, Span, SpanKind, TraceContext, Value};

/// A span in the queue, and how many of its attributes were dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) span: Span,
    pub(super) dropped: u32,
}

/// Who tells: the resource of every request.
pub(super) fn resource(settings: &Settings) -> Resource {
    let version = Value::from(env!("CARGO_PKG_VERSION"));
    let mut attributes = vec![
        attribute("service.name", Value::Text(settings.service_name.clone())),
        attribute("service.version", version),
    ];
    attributes.extend(settings.resource.iter().map(|(name, value)| attribute(name.clone(), value.clone())));
    Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() }
}

/// What wrote it: the scope of every request.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "webnn-pool".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
    }
}

/// The body of a request with these spans.
pub(super) fn traces(resource: &Resource, spans: Vec<Queued>) -> Bytes {
    let spans = spans.into_iter().map(message).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: String::new() }];
    let resource = Some(resource.clone());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// One attribute.
pub(super) fn attribute(name: impl Into<Cow<'static, str>>, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::StringValue(text.into_owned()),
        Value::Whole(value) => Any::IntValue(value),
        Value::Real(value) => Any::DoubleValue(value),
        Value::Flag(value) => Any::BoolValue(value),
    };
    KeyValue { key: name.into().into_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn message(queued: Queued) -> Message {
    let Queued { span, dropped } = queued;
    let Span { context, parent, name, kind, start, end, attributes, error } = span;
    let TraceContext { trace_id, span_id, sampled } = context;
    let kind = match kind {
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Client => span::SpanKind::Client,
    };
    let status = error.map(|message| Status { message, code: status::StatusCode::Error.into() });
    Message {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
        flags: u32::from(sampled),
        name: name.into_owned(),
        kind: kind.into(),
        start_time_unix_nano: start,
        // A clock that was set back must not make an end that lies before its beginning.
        end_time_unix_nano: end.max(start),
        attributes: attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        dropped_attributes_count: dropped,
        status,
        ..Message::default()
    }
}
