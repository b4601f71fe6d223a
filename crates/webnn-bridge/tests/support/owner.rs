//! Owns a browser until it is killed. Used by the tests of what is left behind.
//!
//! `webnn-bridge-owner BROWSER` prints `READY` and its run's mark on one line, and then waits for ever.

use std::io::Write as _;

use provision::{Home, detect, find_runtime};
use vocab::{Backend, BrowserName};
use webnn_bridge::{Bridge, BridgeConfig, LaunchSpec};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name: BrowserName = std::env::args().nth(1).ok_or("name a browser")?.parse()?;
    let home = Home::locate()?;
    let bridge = Bridge::start(BridgeConfig::new(find_runtime(&home)?)).await?;
    let installed = detect(&home, name).found().cloned().ok_or("the browser is not installed")?;
    let mut spec = LaunchSpec::installed(installed);
    spec.backends = vec![Backend::Wasm];
    let (_browser, page) = bridge.launch(spec).await?;
    writeln!(std::io::stdout(), "READY {}", bridge.mark())?;
    let end = page.ended().await;
    Err(end.into())
}
