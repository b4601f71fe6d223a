//! What `webnn-pool --version` tells beyond the number.

/// The commit that a release was built from; `cargo xtask release` names it.
const COMMIT: Option<&str> = option_env!("WEBNN_POOL_COMMIT");

/// The number, and what a report of trouble needs beside it: where it came from, what it was built for, what was left
/// out, and what it installs.
pub(super) fn long() -> String {
    let features = [
        ("csv", cfg!(feature = "csv")),
        ("parquet", cfg!(feature = "parquet")),
        ("postgres", cfg!(feature = "postgres")),
    ];
    let features: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    format!(
        "{} ({})\nfor {} on {}, features: {}\ninstalls onnxruntime-web {}, chromium-headless-shell {}, geckodriver {}",
        env!("CARGO_PKG_VERSION"),
        COMMIT.unwrap_or("built from a working tree"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        if features.is_empty() { "none".to_owned() } else { features.join(", ") },
        provision::ONNXRUNTIME_WEB,
        provision::HEADLESS_SHELL,
        provision::GECKODRIVER,
    )
}
