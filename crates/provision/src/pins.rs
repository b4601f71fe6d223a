//! The exact versions that this release installs.

/// The version of the npm package `onnxruntime-web` whose files the page loads.
pub const ONNXRUNTIME_WEB: &str = "1.30.0";

/// The version of the npm package `uplot`, with which the live page draws.
pub const UPLOT: &str = "1.6.32";

/// The version of the npm package `@sparticuz/chromium` that carries Chromium's headless shell.
pub const HEADLESS_SHELL: &str = "147.0.2";

/// The version of geckodriver that is built from crates.io.
pub const GECKODRIVER: &str = "0.37.1";
