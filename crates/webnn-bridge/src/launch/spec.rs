//! What to launch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision::Installed;
use url::Url;
use vocab::{Backend, BrowserName, DeviceKind};

/// Where a browser comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum BrowserSource {
    /// A browser and a driver on this machine, as `provision` found them.
    Installed(Installed),
    /// A WebDriver endpoint that runs already: a Selenium Grid, or a driver on another machine. The page must be able to
    /// reach us: see [`BridgeConfig::public_origin`](crate::BridgeConfig::public_origin).
    Remote {
        /// The endpoint.
        url: Url,
        /// Capabilities that are merged over ours.
        capabilities: serde_json::Map<String, serde_json::Value>,
    },
}

/// One browser to launch, with one worker page in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LaunchSpec {
    /// Which browser.
    pub name: BrowserName,
    /// Where it comes from.
    pub source: BrowserSource,
    /// The backends to probe and serve, in this order. Default: all.
    pub backends: Vec<Backend>,
    /// The device to ask a backend for. Default: `gpu` for WebGPU and `cpu` for the others.
    pub devices: BTreeMap<Backend, DeviceKind>,
    /// WASM threads; 0 (the default) means one for each core that the browser admits to and, on this machine, that there
    /// is, four at most. A page without cross-origin isolation has one whatever is asked for.
    pub threads: u32,
    /// Without a window. Default: true. Safari and WebKitGTK have no such mode; WebKitGTK gets a virtual display.
    pub headless: bool,
    /// Command-line arguments for the browser, after ours. Default: none.
    pub extra_args: Vec<String>,
}

impl LaunchSpec {
    /// A launch with the defaults.
    #[must_use]
    pub fn new(name: BrowserName, source: BrowserSource) -> Self {
        Self {
            name,
            source,
            backends: Backend::ALL.to_vec(),
            devices: BTreeMap::new(),
            threads: 0,
            headless: true,
            extra_args: Vec::new(),
        }
    }

    /// The browser that `provision` found on this machine.
    #[must_use]
    pub fn installed(installed: Installed) -> Self {
        Self::new(installed.name, BrowserSource::Installed(installed))
    }

    /// The device that `backend` is asked for.
    #[must_use]
    pub fn device(&self, backend: Backend) -> DeviceKind {
        self.devices.get(&backend).cloned().unwrap_or(match backend {
            Backend::WebGpu => DeviceKind::Gpu,
            Backend::WebNn | Backend::Wasm => DeviceKind::Cpu,
        })
    }

    /// What to tell the page about threads. Some browsers name a number of cores that the machine does not have, so
    /// that it identifies nobody; of a browser on this machine we know better.
    pub(crate) fn threads_to_ask_for(&self) -> u32 {
        match (&self.source, self.threads) {
            (BrowserSource::Installed(_), 0) => std::thread::available_parallelism()
                .map_or(0, |cores| u32::try_from(cores.get().min(4)).unwrap_or(4)),
            (_, threads) => threads,
        }
    }

    /// The display server to start, if the browser opens a window that needs somewhere to be.
    pub(crate) fn display_server(&self) -> Option<PathBuf> {
        match &self.source {
            BrowserSource::Installed(installed) if installed.needs_display => {
                Some(installed.display_server.clone().unwrap_or_else(|| PathBuf::from("Xvfb")))
            }
            _ => None,
        }
    }

    /// Whether it is known that every graphics adapter of the browser's machine is software.
    pub(crate) fn no_graphics_device(&self) -> bool {
        matches!(self.source, BrowserSource::Installed(_)) && !has_render_node()
    }
}

/// Whether the kernel offers a graphics device for rendering.
pub(super) fn has_render_node() -> bool {
    !cfg!(target_os = "linux")
        || std::fs::read_dir("/dev/dri").is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
            })
        })
        || Path::new("/dev/nvidiactl").exists()
}
