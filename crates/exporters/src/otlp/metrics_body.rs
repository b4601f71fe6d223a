//! Metric families as OpenTelemetry's messages.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    Summary as Points, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::Value;
use super::encode::{attribute, scope};
use crate::{Family, Kind, Reading, Sample, Summary};

/// When the numbers were read, and since when they have been growing; nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) now: u64,
}

/// The body of a request with these families. Families of one name and type become one; a series whose value does not
/// fit its family's type is left out.
pub(super) fn metrics(resource: &Resource, families: &[Family], times: Times) -> Bytes {
    let mut metrics: Vec<(Kind, Metric)> = Vec::new();
    for family in families {
        let same = |(kind, metric): &&mut (Kind, Metric)| *kind == family.kind && metric.name == family.name;
        match metrics.iter_mut().find(same) {
            Some((_, metric)) => add(metric, family, times),
            None => {
                let mut metric = empty(family);
                add(&mut metric, family, times);
                metrics.push((family.kind, metric));
            }
        }
    }
    let metrics = metrics.into_iter().map(|(_, metric)| metric).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }];
    let resource = Some(resource.clone());
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

fn empty(family: &Family) -> Metric {
    let data = match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: Vec::new(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge { data_points: Vec::new() }),
        Kind::Summary => Data::Summary(Points { data_points: Vec::new() }),
    };
    let units = [("_seconds", "s"), ("_seconds_total", "s"), ("_bytes", "By"), ("_bytes_total", "By")];
    let unit = units.into_iter().find(|(ending, _)| family.name.ends_with(ending));
    Metric {
        name: family.name.to_string(),
        description: family.help.to_string(),
        unit: unit.map(|(_, unit)| unit.to_owned()).unwrap_or_default(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn add(metric: &mut Metric, family: &Family, times: Times) {
    match &mut metric.data {
        Some(Data::Sum(sum)) => {
            sum.data_points
                .extend(family.samples.iter().filter_map(|sample| number(sample, times.start, times)));
        }
        // What a gauge reads has no beginning.
        Some(Data::Gauge(gauge)) => {
            gauge.data_points.extend(family.samples.iter().filter_map(|sample| number(sample, 0, times)));
        }
        Some(Data::Summary(points)) => {
            points.data_points.extend(family.samples.iter().filter_map(|sample| summary(sample, times)));
        }
        _ => {}
    }
}

fn attributes(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(name, value)| attribute(*name, Value::from(value.clone()))).collect()
}

fn number(sample: &Sample, start: u64, times: Times) -> Option<NumberDataPoint> {
    let value = match sample.value {
        Reading::Whole(value) => Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX)),
        Reading::Real(value) => Number::AsDouble(value),
        Reading::Summary(_) => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: start,
        time_unix_nano: times.now,
        exemplars: Vec::new(),
        flags: 0,
        value: Some(value),
    })
}

fn summary(sample: &Sample, times: Times) -> Option<SummaryDataPoint> {
    let Reading::Summary(Summary { quantiles, sum, count }) = &sample.value else { return None };
    let at = |&(quantile, value): &(f64, f64)| ValueAtQuantile { quantile, value };
    Some(SummaryDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: *count,
        sum: *sum,
        quantile_values: quantiles.iter().map(at).collect(),
        flags: 0,
    })
}
