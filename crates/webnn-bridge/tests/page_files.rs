//! The page's files agree with what they are copies of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn crate_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
fn read(path: &str) -> String {
    std::fs::read_to_string(crate_file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The golden model of the page is the fixture.
#[track_caller]
fn check_copy(page: &str, fixture: &str) {
    let bytes =
        |path: &str| std::fs::read(crate_file(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(
        bytes(&format!("page/golden/{page}")) == bytes(&format!("../../fixtures/micro/golden-f32/{fixture}")),
        "{page}"
    );
}

#[test]
fn golden_model() {
    check_copy("model.onnx", "model.onnx");
}

#[test]
fn golden_request() {
    check_copy("request.json", "cases/golden/request.json");
}

#[test]
fn golden_response() {
    check_copy("response.json", "cases/golden/response.json");
}

/// The numbers in lines like `LOAD: 1,` or `const LOAD: u16 = 1;`, between two marks.
#[track_caller]
fn numbers(text: &str, from: &str, to: &str, equals: &str) -> BTreeMap<String, u32> {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from:?}")) + from.len();
    let block = &text[start..start + text[start..].find(to).unwrap_or_else(|| panic!("no {to:?}"))];
    let numbers: BTreeMap<_, _> = block
        .lines()
        .filter_map(|line| {
            let (name, value) = line.trim().trim_start_matches("pub(crate) const ").split_once(equals)?;
            let value = value.trim().trim_end_matches([',', ';']);
            let number = match value.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => value.parse(),
            };
            Some((name.to_owned(), number.unwrap_or_else(|error| panic!("{line}: {error}"))))
        })
        .collect();
    assert!(!numbers.is_empty(), "no numbers after {from:?}");
    numbers
}

#[test]
fn both_sides_number_the_kinds_of_frames_alike() {
    let page = numbers(&read("page/protocol.js"), "Kind = Object.freeze({", "});", ": ");
    let host = numbers(&read("src/protocol.rs"), "pub(crate) mod kind {", "\n}", ": u16 = ");
    assert_eq!(page, host);
}

#[test]
fn both_sides_speak_one_version() {
    let page = read("page/protocol.js");
    let version = webnn_bridge::PROTOCOL_VERSION;
    assert!(page.contains(&format!("export const PROTOCOL_VERSION = {version};")), "{version}");
    for (file, subprotocol) in [("page/worker-page.js", "'webnn-pool."), ("page/engine.js", "'webnn-pool.")] {
        assert!(read(file).contains(&format!("{subprotocol}{version}'")), "{file}");
    }
}

#[test]
fn the_host_knows_every_kind_of_failure() {
    let page = read("page/protocol.js");
    let start = page.find("@typedef {'invalid_model'").expect("the failure kinds");
    let words: Vec<&str> =
        page[start..].split("} FailureKind").next().expect("their end").split('\'').collect();
    let kinds: Vec<&str> = words.iter().skip(1).step_by(2).copied().collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    for kind in kinds {
        let known: vocab::FailureKind = serde_json::from_value(kind.into()).expect("a kind");
        assert!(!matches!(known, vocab::FailureKind::Unknown(_)), "the host does not know {kind}");
    }
}
