//! Browsers that others run: each address of a WebDriver server, a Selenium Grid's for example, gives one.
//!
//! `cargo run -p webnn-pool --example remote_browsers -- MODEL REQUEST.json BROWSER ADDRESS...`
//!
//! Browsers on other machines must reach us, by an address that they can see: `WEBNN_POOL_LISTEN` says where we listen, and
//! `WEBNN_POOL_ORIGIN` under which origin that is reached. Pages have WebNN, WebGPU and threads only over TLS or loopback, so the
//! origin mostly is that of something in front of us which ends TLS.
#![allow(clippy::print_stdout, reason = "its output is for people")]

use std::path::Path;

use provision::{Home, find_runtime};
use tensor::oip::{InferRequest, Limits};
use vocab::BrowserName;
use webnn_pool::{Accelerator, BridgeConfig, BrowserSource, LaunchSpec, ModelSpec};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
#[allow(dead_code, reason = "a test calls what follows instead")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, request, browser, addresses @ ..] = args.as_slice() else {
        return Err("usage: remote_browsers MODEL REQUEST.json BROWSER ADDRESS...".into());
    };
    run(Path::new(model), Path::new(request), browser.parse()?, addresses).await?;
    Ok(())
}

/// Takes a browser from each address and runs the model in one of them; says which browser and backend it was.
pub(crate) async fn run(
    model: &Path,
    request: &Path,
    browser: BrowserName,
    addresses: &[String],
) -> Result<String, Failure> {
    let inputs = InferRequest::from_json(&std::fs::read(request)?, &Limits::default())?.inputs;
    let mut bridge = BridgeConfig::new(find_runtime(&Home::locate()?)?);
    if let Ok(listen) = std::env::var("WEBNN_POOL_LISTEN") {
        bridge.listen = listen.parse()?;
    }
    bridge.public_origin = std::env::var("WEBNN_POOL_ORIGIN").ok();

    let mut builder = Accelerator::builder().bridge(bridge).tolerate_missing(addresses.len() > 1);
    for address in addresses {
        // A Grid takes what chooses a node among the capabilities: a version, a platform.
        let capabilities = serde_json::Map::new();
        builder = builder
            .launch(LaunchSpec::new(browser, BrowserSource::Remote { url: address.parse()?, capabilities }));
    }
    let accelerator = builder.build().await?;
    for failure in accelerator.launch_failures() {
        println!("going on without {}: {}", failure.browser, failure.error);
    }
    let model = accelerator.accelerate_model(ModelSpec::path(model)).await?;
    let completed = model.run(inputs).await;
    accelerator.shutdown().await;
    let report = completed?.report;
    let told = format!("{} on {}", report.browser, report.backend);
    println!("{told}: {:.1} ms", report.total_ms);
    Ok(told)
}
