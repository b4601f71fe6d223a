//! Turns what telemetry knows into what monitoring reads.
//!
//! The crate holds [metric families](Family) and the [mapping](families) from a telemetry snapshot to them, the
//! [Prometheus text format](prometheus), a [log of events as lines of JSON](json_lines), and [OpenTelemetry traces and
//! metrics](otlp) over OTLP/HTTP with the [W3C trace context](TraceContext) that ties them to those of others.
//!
//! It does **not** know the pool, its HTTP server or any browser; it serves nothing, decides nothing about requests and
//! counts nothing but its own losses. Nothing here ever makes an emitter wait: what has no room is lost, and counted.
//!
//! ```
//! use exporters::{families, prometheus};
//! use telemetry::Telemetry;
//!
//! let telemetry = Telemetry::new();
//! let text = prometheus::render(&families(&telemetry.snapshot()));
//! assert!(text.contains("\nwebnn_pool_requests_finished_total{outcome=\"completed\"} 0\n"));
//! ```

pub mod json_lines;
mod metric;
pub mod otlp;
pub mod prometheus;
mod when;

pub use metric::{Family, Kind, Reading, Sample, Summary, families};
pub use otlp::{Span, SpanKind, TraceContext, Value};
