//! Browser transport for the pool: launches browsers through WebDriver, serves the page that computes in them, and
//! speaks with that page over WebSocket.
//!
//! The bridge implements the pool's seam, [`pool_core::WorkerLink`], with real browsers. It holds no queue of requests,
//! no choice of worker, no retry and no model format: it carries calls, owns processes, and tells how a page ended.
//!
//! ```no_run
//! use provision::{Detection, Home, detect, find_runtime};
//! use vocab::BrowserName;
//! use webnn_bridge::{Bridge, BridgeConfig, LaunchSpec};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::locate()?;
//! let bridge = Bridge::start(BridgeConfig::new(find_runtime(&home)?)).await?;
//! if let Detection::Found(firefox) = detect(&home, BrowserName::Firefox) {
//!     let (browser, page) = bridge.launch(LaunchSpec::installed(firefox)).await?;
//!     for (backend, verdict) in page.verdicts() {
//!         println!("{backend}: {verdict:?}");
//!     }
//!     browser.end().await;
//! }
//! bridge.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod bridge;
mod config;
mod error;
mod guest;
mod launch;
mod link;
mod process;
mod protocol;
mod server;
mod store;
mod tls;

pub use bridge::{Bridge, LaunchedBrowser};
pub use config::{BridgeConfig, BridgeLimits};
pub use error::BridgeError;
pub use guest::{
    BadCode, Code, Guest, GuestModel, GuestNews, HiddenTabs, Invitation, InviteError, JoinConfig, PauseCause,
    Standing, Wish,
};
pub use launch::{BrowserSource, LaunchError, LaunchSpec, Tab};
pub use link::{HeapReading, Page, PageEnd, PageMemory};
pub use process::{MARK, MarkedProcess, kill_process, marked_processes, process_table, reap_stale};
pub use protocol::{Admission, Hello, PROTOCOL_VERSION, Verdict};
pub use server::golden_files;
pub use tls::ensure_tls_provider;
