//! What is compared and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use provision::Home;
use tensor::{Bindings, NamedTensor};
use vocab::{Backend, BrowserName, DeviceKind};
use webnn_bridge::BridgeConfig;

use super::error::CompareError;
use super::judge::Tolerance;

/// What the numbers are held against.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Reference {
    /// The native runtime where there is one, or else what most arms give. The default.
    #[default]
    Auto,
    /// These outputs: all of the model's, or some of them.
    Given {
        /// The outputs.
        outputs: Vec<NamedTensor>,
        /// Where they come from, in words.
        from: String,
    },
    /// ONNX Runtime in this Python, or wherever there is one. It is an error where there is none.
    Native(Option<PathBuf>),
    /// What most arms give.
    Majority,
}

/// What is compared and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompareOptions {
    /// The directory of installed browsers and runtime files. Default: as `webnn-pool setup` chooses it.
    pub home: Option<Home>,
    /// Settings of the page server. Default: [`BridgeConfig::new`].
    pub bridge: Option<BridgeConfig>,
    /// The browsers, in this order. Default: empty, every one that is here.
    pub browsers: Vec<BrowserName>,
    /// The backends of each. Default: all.
    pub backends: Vec<Backend>,
    /// The device to ask a backend for. Default: `gpu` for WebGPU, `cpu` for the others.
    pub devices: BTreeMap<Backend, DeviceKind>,
    /// Threads for WASM. Default: 0, one a core, four at most.
    pub threads: u32,
    /// The inputs. Default: none, they are made from the model's signature.
    pub inputs: Option<Vec<NamedTensor>>,
    /// Sizes of the model's symbolic dimensions for inputs that are made.
    pub sizes: Bindings,
    /// What inputs are made with. Default: 1.
    pub seed: u64,
    /// What the numbers are held against.
    pub reference: Reference,
    /// How far they may be off. Default: what fits the model's precision and the backend, see [`Tolerance::fitting`].
    pub tolerance: Option<Tolerance>,
    /// How often each arm is launched, in a fresh browser each time. Default: 3, from 1 to 50.
    pub rounds: u32,
    /// Timed runs in each launch at most. Default: 20, from 1 to 1000.
    pub repeat: u32,
    /// Runs that do not count after the first one, which does not count either. Default: 3, at most 1000.
    pub warmup: u32,
    /// How long the runs of one launch may go on; warm-up has the same again. At least two timed runs are made. Default: 3 s.
    pub budget: Duration,
    /// How long loading, or one run, may take. Default: 120 s.
    pub timeout: Duration,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self {
            home: None,
            bridge: None,
            browsers: Vec::new(),
            backends: Vec::new(),
            devices: BTreeMap::new(),
            threads: 0,
            inputs: None,
            sizes: Bindings::new(),
            seed: 1,
            reference: Reference::Auto,
            tolerance: None,
            rounds: 3,
            repeat: 20,
            warmup: 3,
            budget: Duration::from_secs(3),
            timeout: Duration::from_secs(120),
        }
    }
}

impl CompareOptions {
    /// Refuses what could not be measured, or not be kept.
    pub(super) fn validate(&self) -> Result<(), CompareError> {
        let check = |fits: bool, what, expected| {
            if fits { Ok(()) } else { Err(CompareError::Setting { what, expected }) }
        };
        check((1..=50).contains(&self.rounds), "the number of rounds", "from 1 to 50")?;
        check((1..=1_000).contains(&self.repeat), "the number of timed runs", "from 1 to 1000")?;
        check(self.warmup <= 1_000, "the number of warm-up runs", "1000 at most")?;
        check(!self.timeout.is_zero(), "the time that loading or a run may take", "above zero")?;
        let sane = |value: f64| value.is_finite() && value >= 0.0;
        let tolerances = self.tolerance.is_none_or(|both| sane(both.abs) && sane(both.rel));
        check(tolerances, "a tolerance", "a number that is not negative")
    }
}
