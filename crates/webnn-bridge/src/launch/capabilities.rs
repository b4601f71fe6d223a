//! WebDriver capabilities and browser flags. `docs/browsers.md` tells what each is for.

use std::path::Path;

use serde_json::{Map, Value, json};
use vocab::BrowserName;

use super::spec::{BrowserSource, LaunchSpec, has_render_node};

/// Flags of every Chromium: nothing that calls out, nothing that asks.
const CHROMIUM_FLAGS: &[&str] = &[
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--enable-unsafe-webgpu",
    "--enable-features=WebMachineLearningNeuralNetwork",
];

/// The capabilities with which the driver is asked for a session.
pub(super) fn capabilities(
    spec: &LaunchSpec,
    binary: Option<&Path>,
    profile: Option<&Path>,
) -> Map<String, Value> {
    let binary = binary.and_then(Path::to_str);
    let mut capabilities = match spec.name {
        BrowserName::Chromium | BrowserName::ChromiumHeadlessShell | BrowserName::Chrome => {
            json!({ "browserName": "chrome", "goog:chromeOptions": chromium_options(spec, binary, profile) })
        }
        BrowserName::Edge => {
            json!({ "browserName": "MicrosoftEdge", "ms:edgeOptions": chromium_options(spec, binary, profile) })
        }
        BrowserName::Firefox => {
            json!({ "browserName": "firefox", "moz:firefoxOptions": firefox_options(spec, binary) })
        }
        BrowserName::Safari => json!({ "browserName": "safari" }),
        BrowserName::WebKitGtk => {
            let mut options = json!({ "args": with_extra(vec!["--automation".to_owned()], spec) });
            set_binary(&mut options, binary);
            json!({ "browserName": "MiniBrowser", "webkitgtk:browserOptions": options })
        }
    };
    // The page tells over its own connection when it is ready; the driver need not wait for anything.
    capabilities["pageLoadStrategy"] = json!("none");
    let mut capabilities = match capabilities {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if let BrowserSource::Remote { capabilities: over, .. } = &spec.source {
        capabilities.extend(over.clone());
    }
    capabilities
}

fn chromium_options(spec: &LaunchSpec, binary: Option<&str>, profile: Option<&Path>) -> Value {
    let mut args: Vec<String> = CHROMIUM_FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    if spec.name == BrowserName::ChromiumHeadlessShell {
        args.push("--headless=shell".to_owned());
    } else if spec.headless {
        args.push("--headless=new".to_owned());
    }
    if !has_render_node() {
        // Without a graphics device Chromium offers no adapter at all unless it is told which software to use.
        args.push("--use-webgpu-adapter=swiftshader".to_owned());
    }
    if running_as_root() {
        // Chromium refuses to run as root with its sandbox; as anybody else the sandbox stays.
        args.push("--no-sandbox".to_owned());
    }
    if let Some(profile) = profile {
        args.push(format!("--user-data-dir={}", profile.display()));
    }
    // Its driver would have the browser keep a log, which the headless shell writes beside its own program.
    let mut options = json!({ "args": with_extra(args, spec), "excludeSwitches": ["enable-logging"] });
    set_binary(&mut options, binary);
    options
}

fn firefox_options(spec: &LaunchSpec, binary: Option<&str>) -> Value {
    let args = if spec.headless { vec!["-headless".to_owned()] } else { Vec::new() };
    let mut options = json!({
        "args": with_extra(args, spec),
        "prefs": {
            "dom.webgpu.enabled": true,
            "dom.webgpu.workers.enabled": true,
            "gfx.webgpu.ignore-blocklist": true,
            // One content process serves one page; the others would only take memory.
            "dom.ipc.processCount": 1,
            "dom.ipc.processPrelaunch.enabled": false,
            "network.captive-portal-service.enabled": false,
            "network.connectivity-service.enabled": false,
            "browser.tabs.unloadOnLowMemory": false,
        },
    });
    set_binary(&mut options, binary);
    options
}

fn with_extra(mut args: Vec<String>, spec: &LaunchSpec) -> Vec<String> {
    args.extend(spec.extra_args.iter().cloned());
    args
}

fn set_binary(options: &mut Value, binary: Option<&str>) {
    if let Some(binary) = binary {
        options["binary"] = json!(binary);
    }
}

/// Whether we run as root.
pub(super) fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}
