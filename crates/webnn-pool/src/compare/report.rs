//! What a comparison found, as it stands in its JSON. The names of the fields are the schema; `docs/compare.md` tells what
//! they mean. Times are milliseconds, sizes bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vocab::{Backend, BrowserName, DeviceKind, ModelType};

use super::arm::ArmName;
use super::checks::Check;
use super::judge::Numbers;
use super::regress::BaselineReport;

/// The name and version of the schema. A reader of one version refuses another.
pub const SCHEMA: &str = "webnn-pool/compare/1";

/// A whole comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompareReport {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of webnn-pool that measured.
    pub webnn_pool: String,
    /// When it began, in milliseconds since 1970 UTC.
    pub started_unix_ms: i64,
    /// How long it took.
    pub took_ms: f64,
    /// What was run.
    pub model: ModelFacts,
    /// On what.
    pub input: InputFacts,
    /// What the numbers were held against.
    pub reference: ReferenceFacts,
    /// How it was measured.
    pub method: Method,
    /// Where.
    pub environment: Environment,
    /// One row for each browser and backend, in the order in which they were asked for.
    pub arms: Vec<ArmReport>,
    /// Browsers that were looked for, not named, and are not here.
    pub not_found: Vec<NotFound>,
    /// What changed since an earlier comparison, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineReport>,
    /// What was checked and how it went.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// The model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its contents.
    pub hash: String,
    /// What it is for, where that is known.
    pub model_type: Option<ModelType>,
    /// The element type of most weights; empty where there are none.
    pub precision: String,
    /// The size of its files.
    pub bytes: u64,
    /// Its inputs as it declares them: `input_ids: int64[batch,sequence]`.
    pub inputs: Vec<String>,
    /// Its outputs.
    pub outputs: Vec<String>,
}

/// The inputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputFacts {
    /// `file` or `generated`.
    pub source: InputSource,
    /// The seed of generated inputs.
    pub seed: Option<u64>,
    /// Each as `input_ids: INT64[1,16]`.
    pub tensors: Vec<String>,
    /// The sizes of the model's symbolic dimensions.
    pub dims: BTreeMap<String, u64>,
    /// Sizes that nobody gave and that were assumed.
    pub assumed: BTreeMap<String, u64>,
}

/// Where inputs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputSource {
    /// The caller gave them.
    File,
    /// They were made from the model's signature.
    Generated,
}

/// What the numbers were held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReferenceFacts {
    /// Which kind.
    pub kind: ReferenceKind,
    /// In words: the file, the runtime with its version, or who agreed.
    pub description: String,
    /// The arms that agree with each other, where they are the reference.
    pub agreeing: Vec<ArmName>,
}

/// Kinds of references, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReferenceKind {
    /// A response that the caller gave.
    File,
    /// ONNX Runtime, run natively on this machine.
    Native,
    /// What most arms gave.
    Majority,
    /// There is none: nothing ran, one arm ran alone, or there is no majority.
    None,
}

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Method {
    /// How often each arm was launched.
    pub rounds: u32,
    /// Timed runs in each launch, at most.
    pub repeat: u32,
    /// Runs after the first one that do not count, in each launch, at most.
    pub warmup: u32,
    /// How long the timed runs of one launch may go on.
    pub budget_ms: f64,
    /// How long loading, or one run, may take.
    pub timeout_ms: f64,
    /// Threads that WASM was asked to use; 0 for its own choice.
    pub threads: u32,
    /// What the fixed native work is: blocks with another one are not calibrated by it.
    pub kernel: String,
}

/// The machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// The operating system, with its kernel.
    pub os: String,
    /// The processor's own name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// The load of the last 1, 5 and 15 minutes, when it began.
    pub load_before: Option<[f64; 3]>,
    /// The same at the end.
    pub load_after: Option<[f64; 3]>,
    /// The version of onnxruntime-web.
    pub onnxruntime_web: String,
}

impl Environment {
    /// Whether times that were measured there can be held against times from here.
    #[must_use]
    pub fn compares_with(&self, other: &Self) -> bool {
        self.cpu == other.cpu && self.cores == other.cores
    }
}

/// A browser that is not here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotFound {
    /// Which.
    pub browser: BrowserName,
    /// Why not.
    pub reason: String,
    /// What helps.
    pub hint: String,
}

/// How it went on one browser and backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It ran, and the numbers are those of the reference.
    Right,
    /// It ran, and the numbers are others.
    Wrong,
    /// It ran, and there is nothing to hold the numbers against.
    Unverified,
    /// The browser or the backend is not here.
    Missing,
    /// The backend is here and cannot take this model.
    Refused,
    /// It should have run: it crashed, took too long or ran out of memory, in at least one round.
    Failed,
}

impl Status {
    /// The word in tables, checks and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Unverified => "unverified",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Whether a model ran in every round.
    #[must_use]
    pub const fn ran(self) -> bool {
        matches!(self, Self::Right | Self::Wrong | Self::Unverified)
    }
}

/// One browser with one backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArmReport {
    /// The browser.
    pub browser: BrowserName,
    /// The backend.
    pub backend: Backend,
    /// How it went.
    pub status: Status,
    /// Why it did not run, or what is wrong; absent where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The browser's version.
    pub version: String,
    /// What it computed on; absent where it was not launched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// The number of the model's nodes on each of the runtime's execution providers.
    pub placement: BTreeMap<String, u32>,
    /// The same by type of operator, where several providers have a part of the model.
    pub operators: BTreeMap<String, BTreeMap<String, u32>>,
    /// Nodes that the backend left to the CPU; always 0 for WASM, which is the CPU.
    pub fallback_nodes: u32,
    /// How the numbers differ from the reference; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// From the call to load until the session is there, over the rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<Spread>,
    /// The first run in the page, over the rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_run_ms: Option<Spread>,
    /// The timed runs in the page, over all rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_page_ms: Option<Spread>,
    /// The same from the call to the whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<Spread>,
    /// Memory, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryFacts>,
    /// Each launch.
    pub blocks: Vec<BlockReport>,
}

impl ArmReport {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> ArmName {
        ArmName { browser: self.browser, backend: self.backend }
    }
}

/// What an arm computes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Device {
    /// The device that was asked for.
    pub requested: DeviceKind,
    /// The one that it computed on, as far as the browser lets anybody know.
    pub effective: DeviceKind,
    /// The adapter's own name.
    pub adapter: Option<String>,
    /// Whether the adapter is software.
    pub software: bool,
    /// Threads of the runtime.
    pub threads: u32,
}

/// Values of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// How many.
    pub count: u32,
    /// The smallest.
    pub min: f64,
    /// The middle.
    pub p50: f64,
    /// The value below which 95 of 100 lie.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// What these values are like; `None` of no values.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let at = |share| super::stats::quantile(values, share);
        Some(Self {
            count: u32::try_from(values.len()).unwrap_or(u32::MAX),
            min: at(0.0)?,
            p50: at(0.5)?,
            p95: at(0.95)?,
            max: at(1.0)?,
        })
    }
}

/// Memory of a browser's processes, its driver included, as medians over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryFacts {
    /// With the page ready and no model.
    pub idle: MemoryReading,
    /// With the model, after its runs.
    pub loaded: MemoryReading,
    /// The WebAssembly heap of the engine, after the runs.
    pub heap_bytes: Option<u64>,
    /// The page's own memory, where the browser tells.
    pub page_bytes: Option<u64>,
}

/// The memory of some processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryReading {
    /// Proportional: what several share is divided among them. The sum over processes counts nothing twice.
    pub pss_bytes: u64,
    /// Resident: what several share counts for each.
    pub rss_bytes: u64,
    /// How many processes.
    pub processes: u32,
}

/// One launch of an arm in a fresh browser.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BlockReport {
    /// In which round, from 0.
    pub round: u32,
    /// When it began, since the whole began.
    pub at_ms: f64,
    /// What the fixed native work took just before and after it: the median.
    pub kernel_ms: Option<f64>,
    /// Until the browser was there and its page had passed the probe.
    pub launch_ms: Option<f64>,
    /// From the call to load until the session was there, as the page measured it.
    pub load_ms: Option<f64>,
    /// Of that, fetching the model.
    pub fetch_ms: Option<f64>,
    /// Of that, making the session.
    pub create_ms: Option<f64>,
    /// The first run in the page.
    pub first_in_page_ms: Option<f64>,
    /// The first run from the call to the whole answer.
    pub first_total_ms: Option<f64>,
    /// The timed runs in the page, in their order.
    pub in_page_ms: Vec<f64>,
    /// The same from the call to the whole answer.
    pub total_ms: Vec<f64>,
    /// Memory before the model was loaded.
    pub idle: Option<MemoryReading>,
    /// Memory after the runs.
    pub loaded: Option<MemoryReading>,
    /// The WebAssembly heap of the engine after the runs.
    pub heap_bytes: Option<u64>,
    /// The page's own memory, where the browser tells.
    pub page_bytes: Option<u64>,
    /// Why it ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
