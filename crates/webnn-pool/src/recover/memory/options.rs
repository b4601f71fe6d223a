//! When memory counts as scarce, and when browsers are replaced and compared.

use std::time::Duration;

use recovery::{ConfigError, PressureConfig, RecycleConfig};

use crate::recover::config::durations;

/// The least limit of a heap, in bytes: the runtime begins with 16 MiB, and the probe needs some of its own.
const LEAST_HEAP: u64 = 64 << 20;

/// What is done where memory is scarce.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// Whether memory is read, and something done about it. Default: yes.
    pub enabled: bool,
    /// How often it is read, and the least time between two acts. Default 2 s.
    pub interval: Duration,
    /// What the WebAssembly heap of each engine may grow to, in bytes; the page enforces it. At least 64 MiB. Default:
    /// that of [`BridgeLimits`](webnn_bridge::BridgeLimits), 4 GiB.
    pub wasm_heap_bytes: Option<u64>,
    /// What the processes of one browser may take, its driver included, in bytes of resident memory. Pages that they share
    /// count for each. Default: no limit but the machine's.
    pub browser_bytes: Option<u64>,
    /// What a page's own memory may come to, in bytes, where the browser tells. Default: no limit.
    pub page_bytes: Option<u64>,
    /// When the memory of one browser counts as scarce. Default: that of [`PressureConfig`]. What counts for the machine is
    /// in [`RecoverySettings::pressure`](recovery::RecoverySettings::pressure).
    pub pressure: PressureConfig,
    /// How long the effect of a page that was loaded anew, or of a browser that was ended, is waited for before the next
    /// such act. Default 20 s.
    pub settle: Duration,
    /// How long runs may take to end before their page is loaded anew or their browser ended all the same; they are then
    /// tried again. Default 30 s.
    pub drain: Duration,
    /// How many browsers stay, however scarce memory is. At least 1. Default 1.
    pub least_browsers: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(2),
            wasm_heap_bytes: None,
            browser_bytes: None,
            page_bytes: None,
            pressure: PressureConfig::default(),
            settle: Duration::from_secs(20),
            drain: Duration::from_secs(30),
            least_browsers: 1,
        }
    }
}

impl MemoryOptions {
    pub(in crate::recover) fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            enabled: _,
            interval,
            wasm_heap_bytes,
            browser_bytes,
            page_bytes,
            pressure,
            settle,
            drain,
            least_browsers,
        } = self;
        durations(&[("interval", *interval), ("settle", *settle), ("drain", *drain)])?;
        let limits = [
            ("wasm_heap_bytes", *wasm_heap_bytes, LEAST_HEAP),
            ("browser_bytes", *browser_bytes, 1),
            ("page_bytes", *page_bytes, 1),
            ("least_browsers", Some(*least_browsers as u64), 1),
        ];
        for (name, got, min) in limits {
            if let Some(got) = got.filter(|&got| got < min) {
                let (least, most, got) = (min as f64, u64::MAX as f64, got as f64);
                return Err(ConfigError::Range { name, least, most, got });
            }
        }
        pressure.validate()
    }
}

/// When a browser that works is replaced by a fresh one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecycleOptions {
    /// Whether that is done at all. Default: yes.
    pub enabled: bool,
    /// When it is due. Default: that of [`RecycleConfig`]: after 10 000 tasks, at 6 h, or when its memory keeps growing.
    pub config: RecycleConfig,
    /// How long to wait before another attempt where the browser that is to take over did not start. Default 60 s.
    pub retry: Duration,
}

impl Default for RecycleOptions {
    fn default() -> Self {
        Self { enabled: true, config: RecycleConfig::default(), retry: Duration::from_secs(60) }
    }
}

impl RecycleOptions {
    pub(in crate::recover) fn validate(&self) -> Result<(), ConfigError> {
        let Self { enabled: _, config, retry } = self;
        durations(&[("retry", *retry)])?;
        config.validate()
    }
}

/// How processes, workers and connections are compared.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReconcileOptions {
    /// Whether that is done at all. Default: yes.
    pub enabled: bool,
    /// How often. Default 30 s.
    pub interval: Duration,
    /// What is younger than this is left alone. It has to be longer than the launch of a browser may take. Default 600 s.
    pub grace: Duration,
}

impl Default for ReconcileOptions {
    fn default() -> Self {
        Self { enabled: true, interval: Duration::from_secs(30), grace: Duration::from_secs(600) }
    }
}

impl ReconcileOptions {
    pub(in crate::recover) fn validate(&self) -> Result<(), ConfigError> {
        let Self { enabled: _, interval, grace } = self;
        durations(&[("interval", *interval), ("grace", *grace)])
    }
}
