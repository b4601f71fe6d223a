//! `webnn-pool shard`: what it writes, what it prints, and how it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A convolution, a product and what is between them; in git, and cuttable by layers only.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/micro/golden-f32/model.onnx")
}

/// Runs the command, and gives its status, its standard output and its standard error.
fn shard(model: &Path, out: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webnn-pool"));
    command.arg("shard").arg(model).arg("--out").arg(out).args(arguments);
    // A home that is not there: cutting needs none.
    let output = command.env("WEBNN_POOL_HOME", "/nowhere").stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_plan_that_is_printed_is_the_one_that_is_written() {
    let folder = tempfile::tempdir().expect("there is room");
    let (out, svg) = (folder.path().join("parts"), folder.path().join("plan.svg"));
    let picture = svg.to_str().expect("UTF-8");
    let arguments = ["--shards", "2", "--strategy", "layer", "--json", "--svg", picture];
    let (status, stdout, stderr) = shard(&model(), &out, &arguments);
    assert_eq!(status, Some(0), "{stderr}");
    let printed: sharding::Plan = serde_json::from_str(&stdout).expect("standard output is JSON alone");
    let written = std::fs::read(out.join("plan.json")).expect("it is there");
    assert_eq!(printed, serde_json::from_slice(&written).expect("it is a plan"));
    assert_eq!(printed.stages.len(), 2);
    for stage in &printed.stages {
        assert!(out.join(&stage.file).is_file(), "{}", stage.file);
    }
    assert!(std::fs::read_to_string(svg).expect("it is there").starts_with("<svg"));
    let (status, stdout, stderr) = shard(&model(), &out, &["--shards", "3", "--strategy", "layer"]);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("3 shards") && stderr.contains("wrote 3 parts"), "{stdout}{stderr}");
}

#[test]
fn a_strategy_that_does_not_fit_is_told_with_one_that_does() {
    let folder = tempfile::tempdir().expect("there is room");
    let out = folder.path().join("parts");
    let (status, stdout, stderr) = shard(&model(), &out, &["--shards", "2", "--strategy", "component"]);
    assert_eq!((status, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("one component only") && stderr.contains("layer"), "{stderr}");
    assert!(!out.exists(), "nothing was written");
}

#[test]
fn a_wrong_command_line_and_a_missing_model_differ() {
    let folder = tempfile::tempdir().expect("there is room");
    let fails = |model: &Path, arguments: &[&str]| shard(model, folder.path(), arguments).0;
    assert_eq!(fails(&model(), &["--shards", "2", "--strategy", "magic"]), Some(2));
    assert_eq!(fails(&model(), &["--shards", "0", "--strategy", "layer"]), Some(2));
    assert_eq!(fails(&model(), &["--shards", "2", "--strategy", "layer", "--dim", "batch"]), Some(2));
    assert_eq!(fails(&model(), &["--shards", "2", "--strategy", "layer", "--dim", "batch=0"]), Some(2));
    assert_eq!(fails(Path::new("no such model.onnx"), &["--shards", "2", "--strategy", "layer"]), Some(1));
}
