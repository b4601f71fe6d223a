//! `webnn-pool telemetry`

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use url::Url;

use super::ask::ask;
use super::{Failure, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server to ask.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: Url,
    /// Ask for the analysis of the history as well.
    #[arg(long)]
    performance: bool,
    /// Print everything as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Asks a server what is there and what happened. The token, where it needs one, is that of `WEBNN_POOL_TOKEN`.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { mut url, performance, json } = args;
    url.set_path("/v2/telemetry");
    url.set_query(Some(&format!("performance={performance}")));
    let told = ask(&url, None).await?;
    if json {
        return out::result(&told.to_string());
    }
    out::result(&summary(&told))
}

fn summary(told: &Value) -> String {
    let mut parts = Vec::new();
    let workers = list(&told["models"]["core"]["workers"]);
    if !workers.is_empty() {
        let mut table =
            table(["worker", "browser", "version", "running", "served", "memory MiB", "sessions"]);
        for worker in workers {
            let memory = worker["memory_bytes"].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
            let sessions = list(&worker["sessions"]).len().to_string();
            let running = format!("{}/{}", text(&worker["leases"]), text(&worker["slots"]));
            table.add_row([
                text(&worker["worker"]),
                text(&worker["browser"]),
                text(&worker["browser_version"]),
                running,
                text(&worker["served"]),
                format!("{memory:.1}"),
                sessions,
            ]);
        }
        parts.push(table.to_string());
    }
    let latencies = list(&told["telemetry"]["latencies"]);
    if !latencies.is_empty() {
        let mut table = table(["time", "browser", "backend", "count", "p50 ms", "p95 ms", "p99 ms"]);
        for one in latencies {
            let ms = |key: &str| format!("{:.2}", one[key].as_f64().unwrap_or(0.0));
            table.add_row([
                text(&one["kind"]),
                text(&one["browser"]),
                text(&one["backend"]),
                text(&one["count"]),
                ms("p50_ms"),
                ms("p95_ms"),
                ms("p99_ms"),
            ]);
        }
        parts.push(table.to_string());
    }
    let asked = |model: &&Value| {
        let stats = &model["inference_stats"];
        stats["success"]["count"] != 0 || stats["fail"]["count"] != 0
    };
    let models: Vec<&Value> = list(&told["service"]["model_stats"]).iter().filter(asked).collect();
    if !models.is_empty() {
        let mut table = table(["model", "version", "succeeded", "failed", "runs", "mean ms"]);
        for model in models {
            let (success, fail) = (&model["inference_stats"]["success"], &model["inference_stats"]["fail"]);
            let count = success["count"].as_f64().unwrap_or(0.0);
            let mean = if count > 0.0 { success["ns"].as_f64().unwrap_or(0.0) / count / 1e6 } else { 0.0 };
            table.add_row([
                text(&model["name"]),
                text(&model["version"]),
                text(&success["count"]),
                text(&fail["count"]),
                text(&model["execution_count"]),
                format!("{mean:.2}"),
            ]);
        }
        parts.push(table.to_string());
    }
    let mut counters = table(["event", "count"]);
    let happened = told["telemetry"]["counters"].as_object();
    for (name, count) in happened.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0)) {
        counters.add_row([name.clone(), text(count)]);
    }
    parts.push(counters.to_string());
    parts.join("\n")
}

fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns);
    table
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
