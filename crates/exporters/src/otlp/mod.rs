//! OpenTelemetry: spans and metrics, sent over OTLP/HTTP as binary protobuf.
//!
//! ```no_run
//! use exporters::otlp::{Exporter, Settings};
//! use exporters::{Span, SpanKind, TraceContext, families};
//! use telemetry::Telemetry;
//!
//! # async fn example(seed: impl FnMut() -> u64, now: u64) -> Result<(), Box<dyn std::error::Error>> {
//! let telemetry = Telemetry::new();
//! let metrics = { let telemetry = telemetry.clone(); move || families(&telemetry.snapshot()) };
//! let exporter = Exporter::start(Settings::new("http://127.0.0.1:4318".parse()?), metrics)?;
//! let mut random = seed;
//! let context = TraceContext::root(true, &mut random);
//! exporter.span(Span::new(context, "infer", SpanKind::Server, now, now + 1_500_000).with("model", "minilm"));
//! exporter.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod context;
mod counts;
mod encode;
mod error;
mod exporter;
mod metrics_body;
mod pace;
mod post;
mod settings;
mod span;
mod tasks;
mod tls;

pub use context::TraceContext;
pub use counts::Stats;
pub use error::{ShutdownError, StartError};
pub use exporter::Exporter;
pub use settings::Settings;
pub use span::{Span, SpanKind, Value};
