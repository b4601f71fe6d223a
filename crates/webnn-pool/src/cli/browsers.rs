//! `webnn-pool browsers`

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use provision::{Detection, Home, Installed, detect, find_runtime};
use serde::Serialize;
use vocab::{Backend, BrowserName};
use webnn_bridge::{Admission, Bridge, Page};
use webnn_pool::{BridgeConfig, LaunchSpec, Verdict};

use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Look at these browsers only, comma separated.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    browser: Vec<BrowserName>,
}

/// What is known about one browser.
#[derive(Debug, Serialize)]
struct Row {
    name: BrowserName,
    found: bool,
    /// Why it cannot be used; absent where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What helps; absent where nothing is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(flatten)]
    installed: Option<Installation>,
    /// What executing the golden model on each backend showed; empty where the browser was not launched.
    backends: BTreeMap<Backend, BackendRow>,
}

#[derive(Debug, Serialize)]
struct Installation {
    version: String,
    binary: String,
    driver: String,
    driver_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_concurrency: Option<u32>,
}

#[derive(Debug, Serialize)]
struct BackendRow {
    #[serde(flatten)]
    verdict: Verdict,
    /// Whether the golden model ran and gave numbers; where the interface is missing, there was nothing to run it on.
    executed: bool,
    cross_origin_isolated: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let home = Home::locate()?;
    let wanted = if args.browser.is_empty() { BrowserName::ALL.to_vec() } else { args.browser };
    let bridge = match find_runtime(&home) {
        Ok(runtime) => Ok(Bridge::start(BridgeConfig::new(runtime)).await?),
        Err(error) => Err(error.to_string()),
    };
    let mut rows = Vec::new();
    for name in wanted {
        let home = home.clone();
        let detection = tokio::task::spawn_blocking(move || detect(&home, name)).await?;
        rows.push(match detection {
            Detection::Found(installed) => {
                out::note(&format!(
                    "{name} {}: launching it to run a small model on each backend",
                    installed.version
                ));
                examine(bridge.as_ref(), installed).await
            }
            Detection::Missing { reason, hint } => missing(name, reason.to_string(), Some(hint)),
            _ => missing(name, "its state is not known to this version".to_owned(), None),
        });
    }
    if let Ok(bridge) = bridge {
        bridge.shutdown().await;
    }
    if args.json {
        out::result(&serde_json::to_string_pretty(&serde_json::json!({ "browsers": rows }))?)
    } else {
        out::result(&table(&rows).to_string())
    }
}

fn missing(name: BrowserName, reason: String, hint: Option<String>) -> Row {
    Row { name, found: false, reason: Some(reason), hint, installed: None, backends: BTreeMap::new() }
}

async fn examine(bridge: Result<&Bridge, &String>, installed: Installed) -> Row {
    let name = installed.name;
    let installation = Installation {
        version: installed.version.clone(),
        binary: installed.binary.display().to_string(),
        driver: installed.driver.display().to_string(),
        driver_version: installed.driver_version.clone(),
        user_agent: None,
        hardware_concurrency: None,
    };
    let mut row = Row {
        name,
        found: true,
        reason: None,
        hint: None,
        installed: Some(installation),
        backends: BTreeMap::new(),
    };
    let bridge = match bridge {
        Ok(bridge) => bridge,
        Err(error) => {
            row.reason = Some(error.clone());
            return row;
        }
    };
    match bridge.launch(LaunchSpec::installed(installed)).await {
        Ok((browser, page)) => {
            describe(&mut row, &page);
            browser.end().await;
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            row.reason = Some(format!("it is installed but could not be launched: {error}{cause}"));
        }
    }
    row
}

fn describe(row: &mut Row, page: &Page) {
    let hello = page.hello();
    if let Some(installation) = &mut row.installed {
        page.browser_version().clone_into(&mut installation.version);
        installation.user_agent = Some(hello.user_agent.clone());
        installation.hardware_concurrency = hello.hardware_concurrency;
    }
    let isolated = hello.cross_origin_isolated;
    row.backends = page
        .verdicts()
        .into_iter()
        .map(|(backend, verdict)| {
            (
                backend,
                BackendRow {
                    executed: verdict.max_abs_error.is_some(),
                    verdict,
                    cross_origin_isolated: isolated,
                },
            )
        })
        .collect();
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "browser",
        "version",
        "backend",
        "verdict",
        "device (asked → effective)",
        "adapter",
        "threads",
        "note",
    ]);
    for row in rows {
        let version = row.installed.as_ref().map_or("–", |installed| installed.version.as_str());
        if row.backends.is_empty() {
            let note = [row.reason.as_deref(), row.hint.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; ");
            table.add_row([
                row.name.as_str(),
                version,
                "–",
                if row.found { "not launched" } else { "not found" },
                "",
                "",
                "",
                &note,
            ]);
        }
        for (backend, BackendRow { verdict, .. }) in &row.backends {
            let word = match verdict.verdict {
                Admission::Admitted => "works",
                Admission::Degraded => "degraded",
                Admission::Rejected => "no",
            };
            let device = verdict.device_effective.as_ref().map(|effective| {
                let software = if verdict.software { " (software)" } else { "" };
                format!("{} → {effective}{software}", verdict.device_requested)
            });
            table.add_row([
                row.name.as_str(),
                version,
                backend.as_str(),
                word,
                device.as_deref().unwrap_or(""),
                verdict.adapter.as_deref().unwrap_or(""),
                &verdict.threads.to_string(),
                verdict.reason.as_deref().unwrap_or(""),
            ]);
        }
    }
    table
}
