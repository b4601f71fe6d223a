//! The fixtures that lie in the repository: sound ones are kept bit for bit, each bad one is refused for its reason.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use onnx_graph::{Model, OnnxError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn read(name: &str) -> Bytes {
    std::fs::read(fixtures().join(name).join("model.onnx")).expect("the fixture is in the repository").into()
}

#[track_caller]
fn check_refused(name: &str, is_it: impl FnOnce(&OnnxError) -> bool) {
    let error = Model::parse(read(name)).expect_err("it is to be refused");
    assert!(is_it(&error), "{error:?}");
}

#[test]
fn bad_files_are_refused_for_their_reason() {
    check_refused("bad/empty", |error| *error == OnnxError::Empty);
    check_refused("bad/text", |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_refused("bad/corrupt", |error| matches!(error, OnnxError::NotOnnx { .. }));
    check_refused("bad/cyclic", |error| matches!(error, OnnxError::Cycle { .. }));
    check_refused("bad/escaping-path", |error| matches!(error, OnnxError::EscapingPath { .. }));
    check_refused("bad/future-opset", |error| matches!(error, OnnxError::UnknownOpset { version: 999, .. }));
    check_refused("bad/unknown-domain", |error| matches!(error, OnnxError::UnknownDomain { .. }));
    check_refused("bad/unknown-operator", |error| matches!(error, OnnxError::UnknownOperator { .. }));
    check_refused("identity/complex64", |error| matches!(error, OnnxError::UnsupportedElementType { .. }));
}

#[test]
fn a_model_with_a_missing_file_says_which_and_how_large() {
    let model = Model::parse(read("bad/too-large")).expect("the file itself is sound");
    let [file] = model.external_files() else { panic!("it needs one file") };
    assert_eq!(file.path, "weights.bin");
    assert_eq!(file.min_bytes, model.weight_bytes());
    assert!(model.weight_bytes() >= 60_000_000_000);
}

#[test]
fn sound_files_come_out_as_they_went_in() {
    let identity = std::fs::read_dir(fixtures().join("identity")).expect("the folder is in the repository");
    let names =
        identity.map(|entry| entry.expect("it reads").file_name().into_string().expect("a plain name"));
    let names = names.filter(|name| name != "complex64").map(|name| format!("identity/{name}"));
    let mut read_back = 0;
    for name in names.chain(["micro/golden-f32".to_owned()]) {
        let file = read(&name);
        let model = Model::parse(file.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.encode(), file, "{name}");
        read_back += 1;
    }
    assert!(read_back > 15);
}
