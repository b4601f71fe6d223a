//! A log of events: one JSON object a line, written by a thread of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use exporters::json_lines::{JsonLines, Settings};
//! use telemetry::{Event, RejectReason, Telemetry};
//! # #[allow(clippy::disallowed_methods, reason = "an example has no clock to inject")]
//! # fn clock() -> std::time::Instant { std::time::Instant::now() }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("events.jsonl");
//! let log = JsonLines::append_to(&path, Settings::default())?;
//! let telemetry = Telemetry::builder().sink(Arc::new(log.sink())).build();
//! telemetry.emit(clock(), Event::RequestRejected { reason: RejectReason::QueueFull });
//! log.close();
//! // {"at":"2026-11-25T15:04:05.678Z","sequence":0,"at_ms":0.0,"event":"request_rejected","reason":"queue_full"}
//! assert!(std::fs::read_to_string(&path)?.contains(r#""event":"request_rejected","reason":"queue_full"}"#));
//! # Ok(())
//! # }
//! ```

mod error;
mod handle;
mod line;
mod output;
mod stats;
mod writer;

pub use error::StartError;
pub use handle::{EventSink, JsonLines, Settings};
pub use stats::Stats;
