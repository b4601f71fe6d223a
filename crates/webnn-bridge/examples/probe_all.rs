//! Launches every browser of this machine and prints what each backend's golden model showed.

use provision::{Detection, Home, detect, find_runtime};
use vocab::BrowserName;
use webnn_bridge::{Bridge, BridgeConfig, LaunchSpec};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let home = Home::locate()?;
    let bridge = Bridge::start(BridgeConfig::new(find_runtime(&home)?)).await?;
    let mut out = std::io::stdout();
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for &name in BrowserName::ALL {
        use std::io::Write as _;
        if !wanted.is_empty() && !wanted.iter().any(|want| want == name.as_str()) {
            continue;
        }
        match detect(&home, name) {
            Detection::Found(installed) => match bridge.launch(LaunchSpec::installed(installed)).await {
                Ok((browser, page)) => {
                    writeln!(out, "{} {} {}", page.label(), page.browser_version(), page.hello().user_agent)?;
                    for (backend, verdict) in page.verdicts() {
                        writeln!(out, "  {backend}: {verdict:?}")?;
                    }
                    browser.end().await;
                }
                Err(error) => writeln!(out, "{name}: {error}: {:?}", std::error::Error::source(&error))?,
            },
            Detection::Missing { reason, hint } => writeln!(out, "{name}: {reason}: {hint}")?,
            other => writeln!(out, "{name}: {other:?}")?,
        }
    }
    bridge.shutdown().await;
    Ok(())
}
