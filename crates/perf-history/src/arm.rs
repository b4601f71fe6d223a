//! What is chosen between.

use std::sync::Arc;

use vocab::{Backend, BrowserName, DeviceKind};

/// One way to compute: a browser in one version, with one backend on one device.
///
/// A browser that was updated is another arm: what its former version was like is no evidence for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "it is a key, whole by design")]
pub struct Arm {
    /// The browser.
    pub browser: BrowserName,
    /// Its version, as it says itself.
    pub browser_version: Arc<str>,
    /// The backend within it.
    pub backend: Backend,
    /// The device that the backend was asked for.
    pub device_requested: Option<DeviceKind>,
    /// The device that it computes on.
    pub device_effective: DeviceKind,
    /// The adapter's own name, where there is one.
    pub adapter: Option<Arc<str>>,
    /// How many threads it computes with; zero where that means nothing.
    pub threads: u32,
}

impl Arm {
    /// Whether a backend that is made for graphics hardware computes on the processor, as SwiftShader and Lavapipe do.
    #[must_use]
    pub fn is_software_gpu(&self) -> bool {
        self.backend == Backend::WebGpu && self.device_effective == DeviceKind::Cpu
    }
}

impl std::fmt::Display for Arm {
    /// `firefox 153.0/wasm`, with the device where it is not the processor.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.browser, self.browser_version, self.backend)?;
        match &self.device_effective {
            DeviceKind::Cpu => Ok(()),
            device => write!(f, " on {device}"),
        }
    }
}
