//! Spans and metrics arrive at a collector over real TCP, and what does not is counted.

use std::time::Duration;

use exporters::otlp::{Exporter, Settings, ShutdownError, StartError, Stats};
use exporters::{Family, Kind, Span, SpanKind, Summary, TraceContext};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span as Message;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as MessageKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use support::collector::{Answer, Collector, Post};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;

mod support {
    pub(crate) mod collector;
}

const NOON: u64 = 1_735_732_800_000_000_000;

fn settings(url: &Url) -> Settings {
    let mut settings = Settings::new(url.clone());
    settings.interval = Duration::from_secs(3_600);
    settings.batch = 2;
    settings.clock = || NOON;
    settings.seed = Some(7);
    settings
}

fn context(id: u64) -> TraceContext {
    TraceContext::root(true, || id)
}

fn span(id: u64) -> Span {
    Span::new(context(id), "infer", SpanKind::Internal, NOON, NOON + 5)
}

fn send(exporter: &Exporter, ids: std::ops::Range<u64>) {
    exporter.spans(ids.map(span).collect());
}

fn spans(posts: &[Post]) -> Vec<Message> {
    let requests = posts.iter().map(|post| ExportTraceServiceRequest::decode(post.body.clone()).unwrap());
    let resources = requests.flat_map(|request| request.resource_spans);
    resources.flat_map(|one| one.scope_spans).flat_map(|one| one.spans).collect()
}

fn text(attributes: &[KeyValue], name: &str) -> Any {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value).expect(name)
}

/// Sent, lost and failed spans.
#[track_caller]
fn check(exporter: &Exporter, sent: u64, lost: u64, failed: u64) {
    let Stats { spans_sent, spans_lost, spans_failed, .. } = exporter.stats();
    assert_eq!((spans_sent, spans_lost, spans_failed), (sent, lost, failed), "sent, lost, failed");
}

#[tokio::test]
async fn spans_arrive_whole_after_the_wait_that_the_collector_asked_for() {
    let collector = Collector::start().await;
    collector.answer("traces", Answer::Status(503, Some("1")));
    let mut settings = settings(&collector.url);
    settings.headers.push(("x-api-key".to_owned(), "secret".to_owned()));
    settings.resource.push(("host.name".into(), "lab".into()));
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    let parent = context(1);
    exporter.span(
        Span::new(parent, "POST /v2/models/{model}/infer", SpanKind::Server, NOON, NOON + 9)
            .with("webnn.model", "minilm".to_owned())
            .with("webnn.attempt", 2_u64)
            .with("webnn.share", 0.5)
            .with("webnn.cold", true),
    );
    let child = parent.child(|| 99);
    exporter.span(
        Span::new(child, "run", SpanKind::Client, NOON + 1, NOON).of(parent.span_id).failed("no worker"),
    );
    let posts = collector.wait_for("traces", 2).await;
    exporter.shutdown().await.unwrap();
    check(&exporter, 2, 0, 0);

    assert_eq!(posts[0].body, posts[1].body, "what is repeated is the same");
    assert!(posts[1].at - posts[0].at >= Duration::from_millis(990), "{posts:?}");
    assert_eq!(posts[1].headers["content-type"], "application/x-protobuf");
    assert_eq!(posts[1].headers["x-api-key"], "secret");
    let request = ExportTraceServiceRequest::decode(posts[1].body.clone()).unwrap();
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(text(&resource.attributes, "service.name"), Any::StringValue("webnn-pool".to_owned()));
    assert_eq!(text(&resource.attributes, "host.name"), Any::StringValue("lab".to_owned()));

    let spans = spans(&posts[1..]);
    let [server, client] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&server.trace_id[..], &server.span_id[..]), (&parent.trace_id[..], &parent.span_id[..]));
    assert_eq!((server.start_time_unix_nano, server.end_time_unix_nano), (NOON, NOON + 9));
    assert_eq!((server.kind(), server.parent_span_id.len()), (MessageKind::Server, 0));
    assert_eq!(text(&server.attributes, "webnn.model"), Any::StringValue("minilm".to_owned()));
    assert_eq!(text(&server.attributes, "webnn.attempt"), Any::IntValue(2));
    assert_eq!(text(&server.attributes, "webnn.share"), Any::DoubleValue(0.5));
    assert_eq!(text(&server.attributes, "webnn.cold"), Any::BoolValue(true));
    assert!(server.status.is_none());
    assert_eq!((client.kind(), &client.parent_span_id[..]), (MessageKind::Client, &parent.span_id[..]));
    assert_eq!(client.end_time_unix_nano, NOON + 1, "no span ends before it begins");
    let status = client.status.as_ref().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "no worker"));
}

#[tokio::test]
async fn metrics_arrive_at_once_and_at_the_end() {
    let collector = Collector::start().await;
    let families = || {
        let label = |value: &str| vec![("outcome", value.to_owned())];
        vec![
            Family::new("a_total", "All a.", Kind::Counter).with(label("x"), 3),
            Family::new("a_total", "All a.", Kind::Counter).with(label("y"), 4),
            Family::gauge("b", "B now.", 0.5),
            Family::new("c_seconds", "C.", Kind::Summary)
                .with(label("x"), Summary::new(vec![(0.5, 0.25)], 1.5, 3)),
        ]
    };
    let exporter = Exporter::start(settings(&collector.url), families).unwrap();
    collector.wait_for("metrics", 1).await;
    exporter.shutdown().await.unwrap();
    let posts = collector.posts("metrics");
    assert_eq!(posts.len(), 2);
    assert_eq!(exporter.stats().metrics_sent, 2);

    let request = ExportMetricsServiceRequest::decode(posts[1].body.clone()).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let of = |name: &str| metrics.iter().find(|metric| metric.name == name).expect(name);
    let Some(Data::Sum(sum)) = &of("a_total").data else { panic!("{metrics:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
    let values: Vec<_> = sum.data_points.iter().map(|point| point.value).collect();
    assert_eq!(values, [Some(Number::AsInt(3)), Some(Number::AsInt(4))]);
    assert_eq!(text(&sum.data_points[1].attributes, "outcome"), Any::StringValue("y".to_owned()));
    assert_eq!((sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano), (NOON, NOON));
    let Some(Data::Gauge(gauge)) = &of("b").data else { panic!("{metrics:?}") };
    assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(0.5)));
    let seconds = of("c_seconds");
    assert_eq!((seconds.unit.as_str(), seconds.description.as_str()), ("s", "C."));
    let Some(Data::Summary(summary)) = &seconds.data else { panic!("{metrics:?}") };
    let point = &summary.data_points[0];
    assert_eq!((point.count, point.sum, point.quantile_values[0].value), (3, 1.5, 0.25));
    let Some(Data::Sum(own)) = &of("webnn_pool_otlp_metrics_sent_total").data else { panic!("{metrics:?}") };
    assert_eq!(own.data_points[0].value, Some(Number::AsInt(1)), "what it knows of itself is sent too");
}

#[tokio::test]
async fn a_full_queue_loses_spans_and_counts_them_without_waiting() {
    let collector = Collector::start().await;
    collector.answer("traces", Answer::Wait);
    let mut settings = settings(&collector.url);
    (settings.queue, settings.batch) = (4, 1);
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    send(&exporter, 1..2);
    collector.wait_for("traces", 1).await;
    send(&exporter, 2..12);
    let mut unsampled = span(20);
    unsampled.context.sampled = false;
    exporter.span(unsampled);
    check(&exporter, 0, 6, 0);
    collector.open();
    exporter.shutdown().await.unwrap();
    check(&exporter, 5, 6, 0);
    assert_eq!(spans(&collector.posts("traces")).len(), 5);
    send(&exporter, 30..31);
    check(&exporter, 5, 7, 0);
    let lost = exporter.families().into_iter().find(|one| one.name == "webnn_pool_otlp_spans_lost_total");
    assert_eq!(lost.unwrap().samples[0].value, 7_u64.into());
}

#[tokio::test]
async fn the_end_delivers_what_waits() {
    let collector = Collector::start().await;
    let mut settings = settings(&collector.url);
    settings.batch = 100;
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    send(&exporter, 1..251);
    exporter.shutdown().await.unwrap();
    exporter.shutdown().await.unwrap();
    check(&exporter, 250, 0, 0);
    assert_eq!(collector.posts("traces").len(), 3);
    assert_eq!(spans(&collector.posts("traces")).len(), 250);
}

#[tokio::test]
async fn the_end_comes_in_time_and_says_what_was_not_delivered() {
    let collector = Collector::start().await;
    collector.answer("traces", Answer::Wait);
    let mut settings = settings(&collector.url);
    settings.flush = Duration::from_millis(300);
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    send(&exporter, 1..6);
    let before = Instant::now();
    let ended = exporter.shutdown().await;
    assert!(matches!(ended, Err(ShutdownError::Unflushed { spans: 5, .. })), "{ended:?}");
    assert!(before.elapsed() < Duration::from_secs(5));
    check(&exporter, 0, 5, 0);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_repetition_that_would_come_too_late() {
    let collector = Collector::start().await;
    collector.answer("traces", Answer::Status(429, Some("30")));
    let mut settings = settings(&collector.url);
    settings.flush = Duration::from_secs(10);
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    send(&exporter, 1..3);
    collector.wait_for("traces", 1).await;
    let before = Instant::now();
    let ended = exporter.shutdown().await;
    assert!(matches!(ended, Err(ShutdownError::Unflushed { spans: 2, .. })), "{ended:?}");
    assert!(before.elapsed() < Duration::from_secs(5));
    check(&exporter, 0, 0, 2);
}

#[tokio::test]
async fn what_the_collector_refuses_is_not_repeated() {
    let collector = Collector::start().await;
    for status in [400, 404, 500, 307] {
        collector.answer("traces", Answer::Status(status, Some("0")));
    }
    let exporter = Exporter::start(settings(&collector.url), Vec::new).unwrap();
    send(&exporter, 1..11);
    collector.wait_for("traces", 5).await;
    exporter.shutdown().await.unwrap();
    check(&exporter, 2, 0, 8);
    assert_eq!(collector.posts("traces").len(), 5);
}

#[tokio::test]
async fn spans_that_the_collector_takes_only_in_part_are_counted_so() {
    let collector = Collector::start().await;
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    collector.answer("traces", Answer::Body(answer.encode_to_vec().into()));
    collector.answer("traces", Answer::Body("no protobuf".into()));
    let exporter = Exporter::start(settings(&collector.url), Vec::new).unwrap();
    send(&exporter, 1..5);
    collector.wait_for("traces", 2).await;
    drop(exporter.shutdown().await);
    check(&exporter, 3, 0, 1);
}

#[tokio::test]
async fn a_collector_that_breaks_connections_gets_everything_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prefix", listener.local_addr().unwrap()).parse().unwrap();
    let exporter = Exporter::start(settings(&url), Vec::new).unwrap();
    send(&exporter, 1..3);
    // The first connection of each of the two tasks; the second ones come after a wait.
    for _ in 0..2 {
        drop(listener.accept().await.unwrap());
    }
    let collector = Collector::on(listener);
    collector.wait_for("traces", 1).await;
    collector.wait_for("metrics", 1).await;
    exporter.shutdown().await.unwrap();
    check(&exporter, 2, 0, 0);
}

#[tokio::test]
async fn without_a_window_for_repetitions_nothing_is_repeated() {
    let collector = Collector::start().await;
    collector.answer("traces", Answer::Status(503, Some("0")));
    let mut settings = settings(&collector.url);
    settings.retry = Duration::ZERO;
    let exporter = Exporter::start(settings, Vec::new).unwrap();
    send(&exporter, 1..3);
    collector.wait_for("traces", 1).await;
    drop(exporter.shutdown().await);
    assert_eq!(collector.posts("traces").len(), 1);
    check(&exporter, 0, 0, 2);
}

#[tokio::test]
async fn giving_up_ends_at_once_and_counts_what_waited() {
    let collector = Collector::start().await;
    let exporter = Exporter::start(settings(&collector.url), Vec::new).unwrap();
    // The task had no turn yet, so the span still waits.
    send(&exporter, 1..2);
    exporter.abort();
    exporter.shutdown().await.unwrap();
    check(&exporter, 0, 1, 0);
    assert!(collector.posts("traces").is_empty());
}

#[test]
fn without_a_runtime_there_is_no_exporter() {
    let url = "http://127.0.0.1:4318".parse().unwrap();
    assert!(matches!(Exporter::start(Settings::new(url), Vec::new), Err(StartError::Runtime { .. })));
}
