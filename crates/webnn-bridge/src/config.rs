//! How the bridge is set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use provision::Runtime;
use tensor::frame::Limits;

use crate::guest::JoinConfig;

/// Bounds on what a page may do and how long it may take.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BridgeLimits {
    /// Bounds on frames, both ways. Default: those of [`Limits`].
    pub frame: Limits,
    /// How often a page is pinged. Default: 2 s.
    pub heartbeat: Duration,
    /// How long a page may leave a ping unanswered before it counts as gone. Default: 20 s, because a machine whose
    /// every core computes can keep even an idle thread waiting.
    pub heartbeat_timeout: Duration,
    /// How long a page that lost its connection may take to come back with all that it holds, and to go on with the calls
    /// that it had. Default: 3 s. Zero: not at all.
    pub resume_grace: Duration,
    /// How long a page may take to confirm a cancellation before its engine is ended. Default: 5 s.
    pub cancel_grace: Duration,
    /// How long a launched browser may take until its page has probed all backends. Default: 240 s, because a probe that
    /// hangs is given 60 s, and there may be one for each backend.
    pub ready_timeout: Duration,
    /// What the WebAssembly heap of each engine may grow to, in bytes; the page enforces it, and an allocation beyond fails.
    /// Default: 4 GiB, which is all that 32-bit addresses reach. No engine gets less than its runtime begins with.
    pub wasm_heap_bytes: u64,
}

impl Default for BridgeLimits {
    fn default() -> Self {
        Self {
            frame: Limits::default(),
            heartbeat: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(20),
            resume_grace: Duration::from_secs(3),
            cancel_grace: Duration::from_secs(5),
            ready_timeout: Duration::from_secs(240),
            wasm_heap_bytes: 4 << 30,
        }
    }
}

/// How the bridge is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// The page's runtime files.
    pub runtime: Runtime,
    /// Where to listen. Default: a free port of 127.0.0.1. Pages are secure contexts only over loopback or TLS.
    pub listen: SocketAddr,
    /// The origin under which browsers reach us, where it differs from the address that we listen on (a browser on
    /// another machine, a proxy): `https://pool.example:8443`. Default: the address itself.
    pub public_origin: Option<String>,
    /// Where run directories are made. Default: the system's directory for temporary files.
    pub temp_dir: PathBuf,
    /// Bounds.
    pub limits: BridgeLimits,
    /// On which terms guests are let in. Default: not at all.
    pub join: Option<JoinConfig>,
    /// Runs that a page takes at once. Default: 2, so that the next request's bytes travel while one computes.
    pub slots: u32,
    /// Memory that the sessions of one page may take together, in bytes. Default: 3 GiB, because a WebAssembly heap of
    /// 32-bit addresses ends at 4 GiB.
    pub memory_budget_bytes: u64,
}

impl BridgeConfig {
    /// The defaults, with the given runtime files.
    #[must_use]
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            public_origin: None,
            temp_dir: std::env::temp_dir(),
            limits: BridgeLimits::default(),
            join: None,
            slots: 2,
            memory_budget_bytes: 3 << 30,
        }
    }
}
