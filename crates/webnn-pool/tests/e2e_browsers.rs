//! `webnn-pool browsers --json`: each of the seven names, and what was executed on each backend of those that are here.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use serde_json::Value;
use support::{Backend, BrowserName, ENGINES, PAIRS, pool};

/// A text that says something.
#[track_caller]
fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    let text = of[key].as_str().unwrap_or_else(|| panic!("{key} of {of}"));
    assert!(!text.trim().is_empty(), "{key} of {of}");
    text
}

/// A browser that cannot be used says why, and what helps.
#[track_caller]
fn missing(row: &Value) {
    text(row, "reason");
    text(row, "hint");
    assert_eq!(row["backends"], serde_json::json!({}), "{row}");
}

/// A backend either computed the golden model, or says why not.
#[track_caller]
fn executed(row: &Value, backend: Backend, computes: bool) {
    let name = text(row, "name");
    let verdict = &row["backends"][backend.as_str()];
    println!("{name} {backend}: {verdict}");
    assert_eq!(verdict["executed"], computes, "{name} {backend}: {verdict}");
    assert_eq!(verdict["cross_origin_isolated"], true, "{name} {backend}: {verdict}");
    assert!(verdict["threads"].as_u64().is_some_and(|threads| threads >= 1), "{name} {backend}: {verdict}");
    assert!(verdict["probe_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{name} {backend}: {verdict}");
    text(verdict, "device_requested");
    if !computes {
        assert_eq!(verdict["verdict"], "rejected", "{name} {backend}: {verdict}");
        assert!(verdict["device_effective"].is_null() && verdict["max_abs_error"].is_null(), "{verdict}");
        text(verdict, "reason");
        return;
    }
    assert_eq!(verdict["verdict"], "admitted", "{name} {backend}: {verdict}");
    assert!(
        verdict["max_abs_error"].as_f64().is_some_and(|error| error <= 1e-4),
        "{name} {backend}: {verdict}"
    );
    text(verdict, "device_effective");
    if backend == Backend::WebGpu {
        text(verdict, "adapter");
        // A software adapter computes on the processor, whatever it calls itself.
        assert_eq!(verdict["software"] == true, verdict["device_effective"] == "cpu", "{verdict}");
    }
}

#[test]
fn all_seven_names_with_what_they_really_do() {
    let ran = pool(&["browsers", "--json"], b"");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).expect("standard output is JSON alone");
    let rows = json["browsers"].as_array().expect("a list");
    let names: Vec<&str> = rows.iter().map(|row| text(row, "name")).collect();
    for name in BrowserName::ALL {
        let of_this_name: Vec<_> = rows.iter().filter(|row| row["name"] == name.as_str()).collect();
        let [row] = of_this_name.as_slice() else { panic!("{name} in {names:?}") };
        match row["found"].as_bool() {
            Some(false) => {
                assert!(
                    !ENGINES.contains(name),
                    "{name} is needed for this test; run cargo xtask setup: {row}"
                );
                missing(row);
            }
            Some(true) => {
                for key in ["version", "binary", "driver", "user_agent"] {
                    text(row, key);
                }
                // Of a browser that set-up does not install it is not known what it computes on.
                if ENGINES.contains(name) {
                    Backend::ALL
                        .iter()
                        .for_each(|&backend| executed(row, backend, PAIRS.contains(&(*name, backend))));
                }
            }
            None => panic!("{row}"),
        }
    }
    assert_eq!(rows.len(), BrowserName::ALL.len(), "{names:?}");
    println!("{} ms", ran.took.as_millis());
}

#[test]
fn only_those_that_were_asked_for() {
    let ran = pool(&["browsers", "--json", "--browser", "safari,webkitgtk"], b"");
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).expect("standard output is JSON alone");
    let names: Vec<&Value> =
        json["browsers"].as_array().expect("a list").iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["safari", "webkitgtk"]);
}
