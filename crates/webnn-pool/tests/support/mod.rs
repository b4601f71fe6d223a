//! What the tests of this crate share.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod bare;
mod command;
mod ends;
mod eyes;
mod faults;
mod feed;
mod fixture;
mod hooks;
mod known;
mod leftovers;
mod proxy;
mod rig;
mod serving;
mod suffer;
mod table;
mod visitor;

pub use bare::BareBench;
pub use command::{Ran, RunArgs, pool, webnn_pool};
pub use eyes::{Eyes, Look, pictures};
pub use faults::{ChaosFault, Dice, kill_browser};
pub use feed::{MARKUP, MadeUp};
pub use fixture::{Fixture, fixture, max_delta, repository};
pub use hooks::Role;
pub use known::Known;
pub use leftovers::{Kept, marked, of_browser, sockets, until, until_now};
pub use proxy::Proxy;
pub use rig::{Rig, proxied, proxied_with, spec};
pub use serving::{Serving, byte_tokenizer, place};
pub use suffer::Went;
pub use table::{Run, quantile, rss_mib};
pub use visitor::Visitor;
pub use vocab::{Backend, BrowserName};

/// The engines that set-up installs, so that every test machine has them.
pub const ENGINES: [BrowserName; 4] =
    [BrowserName::Chromium, BrowserName::ChromiumHeadlessShell, BrowserName::Firefox, BrowserName::WebKitGtk];

/// What they compute on, as `e2e_browsers` checks: every pair that can run a model.
pub const PAIRS: [(BrowserName, Backend); 8] = [
    (BrowserName::ChromiumHeadlessShell, Backend::WebNn),
    (BrowserName::ChromiumHeadlessShell, Backend::Wasm),
    (BrowserName::Chromium, Backend::Wasm),
    (BrowserName::Firefox, Backend::Wasm),
    (BrowserName::WebKitGtk, Backend::Wasm),
    (BrowserName::Firefox, Backend::WebGpu),
    (BrowserName::Chromium, Backend::WebGpu),
    (BrowserName::ChromiumHeadlessShell, Backend::WebGpu),
];

/// Whether the long form of the tests was asked for: `cargo xtask e2e --full`.
pub fn full() -> bool {
    std::env::var("WEBNN_POOL_E2E").is_ok_and(|value| value == "full")
}
