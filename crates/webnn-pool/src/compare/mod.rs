//! One model on every browser and backend of this machine: does it run, are the numbers right, how fast, how much memory.
//!
//! [`compare`] launches each arm, a browser with a backend, several times in a fresh browser, all arms in turn, so that
//! whatever the machine does meanwhile happens to all alike. It gives a [`CompareReport`]: the numbers beside a reference,
//! times, memory, placement. [`CompareReport::judge`] adds what changed since an earlier one, and checks.
//!
//! It does **not** decide by itself what is fast enough, and an arm that fails is a row, never the end of the rest.
//!
//! ```no_run
//! use vocab::{Backend, BrowserName};
//! use webnn_pool::ModelSpec;
//! use webnn_pool::compare::{CompareOptions, compare};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = CompareOptions::default();
//! options.browsers = vec![BrowserName::Firefox, BrowserName::Chromium];
//! options.backends = vec![Backend::Wasm];
//! let report = compare(ModelSpec::path("model.onnx"), options, |_| {}).await?;
//! for arm in &report.arms {
//!     println!("{}: {}, {:?}", arm.name(), arm.status.as_str(), arm.in_page_ms.map(|times| times.p50));
//! }
//! # Ok(())
//! # }
//! ```

mod answers;
mod arm;
mod checks;
mod environment;
mod error;
mod input;
mod judge;
mod kernel;
mod measure;
mod memory;
mod native;
mod options;
mod reference;
mod regress;
mod render;
mod report;
mod run;
#[cfg(test)]
mod sample;
pub mod stats;

pub use arm::{ArmName, ParseArmError};
pub use checks::{Check, CheckName, Fault, Outcome, ParseFaultError, Requirements};
pub use error::{CompareError, NativeError};
pub use input::InputsError;
pub use judge::{Numbers, Tolerance, judge};
pub use options::{CompareOptions, Reference};
pub use regress::{ArmChange, BaselineError, BaselineReport, Measure, RegressionRules};
pub use render::{html, junit, table};
pub use report::{
    ArmReport, BlockReport, CompareReport, Device, Environment, InputFacts, InputSource, MemoryFacts,
    MemoryReading, Method, ModelFacts, NotFound, ReferenceFacts, ReferenceKind, SCHEMA, Spread, Status,
};
pub use run::{Progress, compare};
