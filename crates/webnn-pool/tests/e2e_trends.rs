//! A history is gathered by the command, analysed, exported, and shown as a page that a real browser has nothing against.
#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it with --nocapture")]

mod support;

use std::path::Path;
use std::process::Command;

use provision::{Detection, Home, detect};
use serde_json::Value;
use support::{BrowserName, Kept, fixture, pool};

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let ran = pool(arguments, b"");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("standard output is JSON alone")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs the golden model this often with a history, and gives the last response.
fn gather(database: &str, repeat: &str) -> Value {
    let golden = fixture("micro/golden-f32");
    let request = text(&golden.request_path(golden.case("golden")));
    let model = text(&golden.directory);
    let what = ["run", &model, "--input", &request, "--browser", "firefox", "--backend", "wasm"];
    json(&[&what[..], &["--repeat", repeat, "--history", database, "--explain", "--json"]].concat())
}

/// Lets Chromium draw a page, and gives the picture and what came on its console.
fn drawn(page: &Path, picture: &Path, dark: bool) -> (Vec<u8>, Vec<String>) {
    let home = Home::locate().expect("a home");
    let Detection::Found(chromium) = detect(&home, BrowserName::Chromium) else { panic!("no Chromium") };
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(&chromium.binary);
    command.args(["--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.args(["--enable-logging=stderr", "--window-size=1200,1600", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--screenshot={}", picture.display()));
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    let output = command.arg(format!("file://{}", page.display())).output().expect("it starts");
    let console = String::from_utf8_lossy(&output.stderr);
    let console = console.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (std::fs::read(picture).expect("a picture"), console)
}

#[test]
fn a_history_is_gathered_analysed_and_shown() {
    let folder = Kept::new();
    let database = text(&folder.path().join("history.db"));
    let response = gather(&database, "15");
    let parameters = &response["parameters"];
    assert_eq!(parameters["repeat"]["count"], 15);
    let decision = &parameters["decision"];
    assert_eq!(decision["why"], "only");
    assert_eq!(decision["candidates"][0]["browser"], "firefox");
    // The last decision is made from the fourteen runs before it.
    assert_eq!(decision["candidates"][0]["samples"], 14);
    assert_eq!(decision["candidates"][0]["source"], "history");

    // Another process goes on where the first one ended.
    let again = gather(&database, "1");
    assert_eq!(again["parameters"]["decision"]["candidates"][0]["samples"], 15);

    let analysis = json(&["trends", "--history", &database, "--json"]);
    let firefox = &analysis["browser_performance"]["firefox"];
    assert_eq!(firefox["samples"], 16);
    assert_eq!(analysis["recommendations"]["audio"]["source"], "default");
    assert!(analysis["model_type_affinities"]["text"]["optimal_browser"].is_string());

    let [page, csv, lines, parquet] =
        ["report.html", "all.csv", "all.jsonl", "all.parquet"].map(|name| folder.path().join(name));
    for table in [&csv, &lines, &parquet] {
        let ran = pool(&["trends", "--history", &database, "--export", &text(table)], b"");
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains("firefox"), "tables for people: {}", ran.stdout);
    }
    // Sixteen runs, and the load of each process.
    let rows = |path: &Path| std::fs::read_to_string(path).expect("text").lines().count();
    assert_eq!((rows(&csv), rows(&lines)), (1 + 18, 18));
    assert!(std::fs::read(&parquet).expect("bytes").starts_with(b"PAR1"));

    let ran = pool(&["trends", "--history", &database, "--html", &text(&page)], b"");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let [light, dark] = [false, true].map(|dark| {
        let (picture, console) = drawn(&page, &folder.path().join("page.png"), dark);
        assert_eq!(console, Vec::<String>::new(), "the browser complains");
        println!("{} theme: {} bytes", if dark { "dark" } else { "light" }, picture.len());
        picture
    });
    assert!(light.starts_with(b"\x89PNG") && light.len() > 10_000, "it is not an empty page");
    assert_ne!(light, dark, "each theme has its own colours");
}

#[test]
fn what_is_no_history_is_said_and_left_alone() {
    let folder = Kept::new();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "these are notes, and no database").expect("it is written");
    for arguments in [&["trends", "--history"][..], &["trends", "--json", "--history"]] {
        let ran = pool(&[arguments, &[&text(&path)]].concat(), b"");
        let message = ran.error().expect("one message");
        assert!(ran.status == Some(1) && message.contains("is not a usable history"), "{message}");
    }
    assert_eq!(std::fs::read(&path).expect("it is there"), b"these are notes, and no database");
    let missing = folder.path().join("missing.db");
    let ran = pool(&["trends", "--history", &text(&missing)], b"");
    assert!(ran.status == Some(1) && !missing.exists(), "{ran:?}");
}
