//! What a person wants to see of a response.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use tensor::oip::InferResponse;

/// The response as a table, and below it the one that its arm was chosen from, where the response has that.
pub(super) fn summary(response: &InferResponse) -> String {
    let about = about(response);
    if let Some(components) = response.parameters.get("components") {
        return format!("{about}\n{}", component_table(components));
    }
    match response.parameters.get("decision") {
        Some(decision) => format!("{about}\n{}\n{}", reason(decision), candidates(decision)),
        None => about.to_string(),
    }
}

fn about(response: &InferResponse) -> Table {
    let mut table = new_table();
    table.add_row(["model", &response.model_name]);
    let shards =
        ["strategy", "shards", "verdict", "component_count", "successful_components", "recovery_attempts"];
    for key in shards.iter().filter(|key| response.parameters.contains_key(**key)) {
        table.add_row([key, &*plain(response.parameters.get(*key))]);
    }
    for key in ["browser", "browser_version", "backend", "device_requested", "device_effective", "adapter"] {
        let value = response.parameters.get(key);
        if value.is_some() || !response.parameters.contains_key("components") {
            table.add_row([key, &plain(value)]);
        }
    }
    for key in ["load_ms", "queue_ms", "in_page_ms", "total_ms", "attempts", "placement", "repeat"] {
        let value = response.parameters.get(key);
        // A sharded run has most of them for each component.
        if value.is_some() || !response.parameters.contains_key("components") {
            table.add_row([key, &plain(value)]);
        }
    }
    for output in &response.outputs {
        let tensor = &output.tensor;
        let first = tensor.to_f64_vec().map(|values| {
            let shown: Vec<String> = values.iter().take(4).map(|value| format!("{value:.6}")).collect();
            format!("{}{}", shown.join(", "), if values.len() > 4 { ", …" } else { "" })
        });
        let text =
            format!("{} {}: {}", tensor.dtype(), tensor.shape(), first.unwrap_or_else(|_| "text".to_owned()));
        table.add_row([output.name.as_ref(), &text]);
    }
    table
}

/// Who computed which component, and what that took.
fn component_table(components: &Value) -> Table {
    let mut table = new_table();
    let columns = [
        "component",
        "label",
        "weight_bytes",
        "worker",
        "browser",
        "backend",
        "attempts",
        "load_ms",
        "run_ms",
        "transfer_ms",
        "input_bytes",
        "output_bytes",
    ];
    table.set_header(columns);
    for component in components.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|&column| plain(component.get(column))));
    }
    table
}

/// How the arm was chosen, in one line.
fn reason(decision: &Value) -> String {
    let [policy, why, shape] = ["policy", "why", "shape"].map(|key| plain(decision.get(key)));
    format!("chosen by policy {policy}, because: {why}; sizes: {shape}")
}

/// What it was chosen from.
fn candidates(decision: &Value) -> Table {
    let mut table = new_table();
    let columns = [
        "browser",
        "browser_version",
        "backend",
        "device_effective",
        "score",
        "source",
        "samples",
        "success_rate",
        "latency_ms",
        "expected_ms",
        "workers",
        "loaded",
        "pending",
    ];
    table.set_header(std::iter::once("").chain(columns));
    for candidate in decision["candidates"].as_array().into_iter().flatten() {
        let mark = if candidate["chosen"] == true { "→" } else { "" };
        let cells = columns.iter().map(|&column| plain(candidate.get(column)));
        table.add_row(std::iter::once(mark.to_owned()).chain(cells));
    }
    table
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(fraction) if number.is_f64() => format!("{fraction:.3}"),
            _ => number.to_string(),
        },
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(table: &Table) -> Vec<String> {
        let cells = |row: &comfy_table::Row| {
            row.cell_iter().map(comfy_table::Cell::content).collect::<Vec<_>>().join(" ")
        };
        table.row_iter().map(cells).collect()
    }

    fn response(parameters: &Value) -> InferResponse {
        let text = json!({"model_name": "m", "parameters": parameters, "outputs": []}).to_string();
        InferResponse::from_json(text.as_bytes(), &tensor::oip::Limits::default()).expect("a response")
    }

    #[test]
    fn counts_have_no_fraction_and_times_have() {
        let rows = rows(&about(&response(&json!({"attempts": 1, "total_ms": 12.3456}))));
        assert!(rows.contains(&"attempts 1".to_owned()), "{rows:?}");
        assert!(rows.contains(&"total_ms 12.346".to_owned()), "{rows:?}");
    }

    #[test]
    fn a_decision_is_shown_where_there_is_one() {
        let candidate = |browser: &str, chosen: bool| {
            json!({"browser": browser, "browser_version": "1", "backend": "wasm", "device_effective": "cpu",
                   "chosen": chosen, "score": 0.5, "source": "history", "samples": 7, "latency_ms": 3.0})
        };
        let both = [candidate("firefox", true), candidate("edge", false)];
        let decision =
            json!({"policy": "weighted", "why": "leader", "shape": "n=128", "worker": 3, "candidates": both});
        let expected = [
            "→ firefox 1 wasm cpu 0.500 history 7 – 3.000 – – – –",
            " edge 1 wasm cpu 0.500 history 7 – 3.000 – – – –",
        ];
        assert_eq!(rows(&candidates(&decision)), expected);
        let line = "\nchosen by policy weighted, because: leader; sizes: n=128\n";
        assert!(summary(&response(&json!({"decision": decision}))).contains(line));
        assert!(!summary(&response(&json!({}))).contains("chosen by"));
    }
}
