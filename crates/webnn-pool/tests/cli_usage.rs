//! The command line itself: help, and what is wrong with a command before anything is done.

use std::process::{Command, Stdio};

/// Runs the command, and gives its status, its standard output and its standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webnn-pool"));
    // A home that is not there: nothing that is tested here may need one.
    let output = command.args(arguments).env("WEBNN_POOL_HOME", "/nowhere").stdin(Stdio::null()).output();
    let output = output.expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn helps(arguments: &[&str], words: &[&str]) {
    let (status, stdout, stderr) = run(arguments);
    assert_eq!((status, stderr.as_str()), (Some(0), ""), "{stdout}");
    for word in words {
        assert!(stdout.contains(word), "no {word} in {stdout}");
    }
}

#[track_caller]
fn wrong(arguments: &[&str], message: &str) {
    let (status, stdout, stderr) = run(arguments);
    assert_eq!((status, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains(message), "{stderr}");
}

#[test]
fn every_verb_has_help() {
    helps(&["--help"], &["Usage: webnn-pool", "setup", "browsers", "run"]);
    helps(&["setup", "--help"], &["--browsers <LIST>"]);
    helps(&["invite", "--help"], &["--url <URL>", "--json"]);
    helps(&["browsers", "--help"], &["--json", "--browser <LIST>"]);
    let run = [
        "<MODEL>",
        "--input <FILE>",
        "--output <FILE>",
        "--model-type <TYPE>",
        "--browser <LIST>",
        "--backend <LIST>",
    ];
    helps(&["run", "--help"], &run);
    helps(
        &["run", "--help"],
        &["--device <KIND>", "--threads <N>", "--repeat <N>", "--timeout <SECONDS>", "--json"],
    );
    let compare = [
        "--input <FILE>",
        "--reference <FILE>",
        "--json <FILE>",
        "--junit <FILE>",
        "--html <FILE>",
        "--baseline <FILE>",
    ];
    helps(&["compare", "--help"], &compare);
    helps(
        &["compare", "--help"],
        &["--rounds <N>", "--require <LIST>", "--fail-on <LIST>", "--max-p95-ms <MS>"],
    );
    helps(&["shard", "--help"], &["--shards <N>", "--strategy <S>", "--out <DIR>", "--svg <FILE>", "--json"]);
    helps(&["--version"], &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn a_wrong_command_line_has_a_status_of_its_own() {
    wrong(&[], "Usage: webnn-pool");
    wrong(&["fly"], "unrecognized subcommand 'fly'");
    wrong(&["compare"], "<MODEL>");
    wrong(
        &["compare", "m.onnx", "--fail-on", "slow"],
        "unknown fault \"slow\": expected one of wrong, failed",
    );
    wrong(
        &["compare", "m.onnx", "--require", "firefox"],
        "names no browser with a backend, such as firefox/wasm",
    );
    wrong(&["compare", "m.onnx", "--require", "firefox/cuda"], "unknown backend \"cuda\"");
    wrong(&["compare", "m.onnx", "--min-ratio", "1.5"], "--baseline <FILE>");
    wrong(&["compare", "m.onnx", "--baseline", "b.json", "--min-ratio", "0.9"], "expected a number above 1");
    wrong(&["compare", "m.onnx", "--tolerance", "-1"], "");
    wrong(&["compare", "m.onnx", "--dim", "batch"], "expected NAME=SIZE");
    wrong(&["compare", "m.onnx", "--rounds", "0"], "--rounds <N>");
    wrong(&["run"], "<MODEL>");
    wrong(&["run", "m.onnx"], "--input <FILE>");
    wrong(&["run", "m.onnx", "n.onnx", "--input", "-"], "unexpected argument 'n.onnx'");
    wrong(&["run", "m.onnx", "--input", "-", "--browser", "netscape"], "unknown browser \"netscape\"");
    wrong(&["run", "m.onnx", "--input", "-", "--browser", "firefox,"], "unknown browser \"\"");
    wrong(&["run", "m.onnx", "--input", "-", "--backend", "cuda"], "unknown backend \"cuda\"");
    wrong(&["run", "m.onnx", "--input", "-", "--device", "abacus"], "expected cpu, gpu or npu");
    wrong(&["run", "m.onnx", "--input", "-", "--model-type", "novel"], "novel");
    wrong(&["run", "m.onnx", "--input", "-", "--repeat", "0"], "0 is not in 1..=1000000");
    wrong(&["run", "m.onnx", "--input", "-", "--timeout", "0"], "0 is not in 1..=86400");
    wrong(&["run", "m.onnx", "--input", "-", "--threads", "many"], "--threads <N>");
    wrong(&["browsers", "--browser", "netscape"], "unknown browser \"netscape\"");
    wrong(&["setup", "--browsers", "netscape"], "unknown browser \"netscape\"");
    wrong(&["trends", "--export", "x.txt"], "must end in .csv, .jsonl or .parquet");
    wrong(&["trends", "--export", "observations"], "must end in .csv, .jsonl or .parquet");
}

/// Without set-up the message says what to run.
#[test]
fn a_machine_that_is_not_set_up_is_told_what_to_do() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/micro/golden-f32");
    let request = format!("{golden}/cases/golden/request.json");
    let (status, stdout, stderr) = run(&["run", golden, "--input", &request, "--json"]);
    assert_eq!((status, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.contains("webnn-pool setup"), "{stderr}");
}

#[test]
fn without_a_history_the_message_says_how_to_get_one() {
    for arguments in [&["trends"][..], &["trends", "--history", "/nowhere/mine.db", "--json"]] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        assert!(stderr.contains("there is no history at /nowhere/"), "{stderr}");
        assert!(stderr.contains("--history /nowhere/"), "{stderr}");
    }
}
