//! What the browser-backed tests share.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses a part")]

mod client;
mod driver;
mod fixture;
mod rig;

pub use client::{Claim, Socket, close_code, connect, get, hello, honest, post, refused};
pub use driver::fake_driver;
pub use fixture::{Fixture, fixture, max_error};
pub use rig::{Rig, engine, load_call, rig, rig_with, run_call, runtime, until};
pub use vocab::{Backend, BrowserName, FailureKind};

/// The engines that every test machine has.
pub const ENGINES: [BrowserName; 4] =
    [BrowserName::Chromium, BrowserName::ChromiumHeadlessShell, BrowserName::Firefox, BrowserName::WebKitGtk];
