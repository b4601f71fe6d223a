//! Conventions of Rust files and of the crates around them.

use super::Violation;
use super::rust_text::{code_only, without_tests};
use super::table::{FORBIDDEN_CODE, MAX_LINES, MAX_MEDIAN, NO_TEST_CODE, TEST_ONLY_CODE};
use super::tree::Tree;
use crate::metadata::Workspace;

/// Every Rust file: its length, its name when it is a test, and what may not stand in it.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.ending(".rs") {
        let mut complain =
            |line, rule, advice| found.push(Violation { file: path.to_owned(), line, rule, advice });
        let lines = source.lines().count();
        if lines > MAX_LINES {
            complain(
                MAX_LINES + 1,
                "length",
                format!("{lines} lines, {MAX_LINES} allowed: split the file by idea"),
            );
        }
        if let Some(name) = test_file(path).filter(|name| !is_area_and_concern(name)) {
            complain(1, "test-name", format!("`{name}` must be named `<area>_<concern>.rs`"));
        }
        let code = code_only(source);
        for (line, rule, advice) in forbidden(&code, FORBIDDEN_CODE) {
            complain(line, rule, advice);
        }
        if test_file(path).is_some() {
            for (line, rule, advice) in forbidden(&code, NO_TEST_CODE) {
                complain(line, rule, advice);
            }
        }
        if !is_test(path) {
            for (line, rule, advice) in forbidden(&without_tests(&code), TEST_ONLY_CODE) {
                complain(line, rule, advice);
            }
        }
    }
    found
}

/// The middle one of all Rust files, by its length.
pub(super) fn median(tree: &Tree) -> Vec<Violation> {
    let mut lengths: Vec<(usize, &str)> =
        tree.ending(".rs").map(|(path, source)| (source.lines().count(), path)).collect();
    lengths.sort_unstable();
    let Some(&(lines, path)) = lengths.get(lengths.len() / 2).filter(|(lines, _)| *lines > MAX_MEDIAN) else {
        return Vec::new();
    };
    let advice =
        format!("half of all files have {lines} lines or more, {MAX_MEDIAN} are allowed: split some");
    vec![Violation { file: path.to_owned(), line: 1, rule: "median", advice }]
}

fn forbidden(code: &str, table: &[(&str, &str)]) -> Vec<(usize, &'static str, String)> {
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        for (what, instead) in table.iter().filter(|(what, _)| has(line, what)) {
            found.push((
                at + 1,
                "code",
                format!("`{}` is not allowed here: {instead}", what.trim_start_matches("#[")),
            ));
        }
    }
    found
}

/// Whether the line holds this text, and not as the tail of a longer word.
fn has(line: &str, what: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = what.starts_with(in_word);
    line.match_indices(what).any(|(at, _)| !(word && line[..at].ends_with(in_word)))
}

/// The file name of an integration test; helpers in folders below `tests/` have no convention.
fn test_file(path: &str) -> Option<&str> {
    let (_, below) = path.split_once("/tests/")?;
    (path.starts_with("crates/") && !below.contains('/')).then_some(below)
}

fn is_area_and_concern(name: &str) -> bool {
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    stem.contains('_') && stem.split('_').all(is_word)
}

/// Integration tests, and modules that are compiled for tests only.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("-testing/")
}

/// Every crate: what its `lib.rs` begins with, and the house lints in its manifest.
pub(super) fn crates(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in &workspace.members {
        let roots = [format!("{}/src/lib.rs", member.dir), format!("{}/src/main.rs", member.dir)];
        for root in roots {
            let Some(source) = tree.text(&root) else { continue };
            let docs: Vec<&str> = source.lines().take_while(|line| line.starts_with("//!")).collect();
            let example = docs.iter().any(|line| line.starts_with("//! ```"));
            let advice = if docs.is_empty() {
                "begin with `//!` lines: what the crate does and what it does not contain"
            } else if !example && root.ends_with("lib.rs") {
                "its `//!` lines have no example: show the one call that everybody makes"
            } else {
                continue;
            };
            found.push(Violation { file: root, line: 1, rule: "crate-docs", advice: advice.to_owned() });
        }
        let file = format!("{}/Cargo.toml", member.dir);
        let manifest = tree.text(&file).unwrap_or_default();
        if !has_house_lints(manifest) {
            let line = tree.line_starting(&file, "[lints");
            let advice = "add `[lints]` with `workspace = true`".to_owned();
            found.push(Violation { file, line, rule: "lints", advice });
        }
    }
    found
}

fn has_house_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.any(|line| line == "[lints]")
        && lines
            .take_while(|line| !line.starts_with('['))
            .any(|line| line.replace(' ', "") == "workspace=true")
        || manifest.lines().any(|line| line.trim().replace(' ', "") == "lints.workspace=true")
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;
    use crate::metadata::Member;

    #[track_caller]
    fn check_file(path: &str, source: &str, expected: &[(usize, &str)]) {
        let expected: Vec<_> = expected.iter().map(|&(line, rule)| (path, line, rule)).collect();
        assert_rules(&check(&Tree::from([(path, source)])), &expected);
    }

    #[test]
    fn long_files_are_refused_and_short_ones_pass() {
        check_file("crates/a/src/x.rs", &"//\n".repeat(MAX_LINES), &[]);
        check_file("crates/a/src/x.rs", &"//\n".repeat(MAX_LINES + 1), &[(MAX_LINES + 1, "length")]);
    }

    #[test]
    fn tests_are_named_by_area_and_concern() {
        check_file("crates/a/tests/frame_bounds.rs", "", &[]);
        check_file("crates/a/tests/support/mod.rs", "", &[]);
        check_file("crates/a/tests/frame.rs", "", &[(1, "test-name")]);
        check_file("crates/a/tests/Frame_Bounds.rs", "", &[(1, "test-name")]);
    }

    #[test]
    fn switched_off_tests_and_placeholders_are_refused() {
        check_file("crates/a/tests/a_b.rs", "#[test]\n#[ignore]\nfn f() {}", &[(2, "code")]);
        check_file("crates/a/tests/a_b.rs", "#[ignore = \"slow\"]\nfn f() {}", &[(1, "code")]);
        check_file("crates/a/tests/a_b.rs", "#[should_panic]\nfn f() {}", &[(1, "code")]);
        check_file("crates/a/src/x.rs", "fn f() { todo!() }", &[(1, "code")]);
        check_file("crates/a/src/x.rs", "fn f() { unimplemented!(\"later\") }", &[(1, "code")]);
    }

    #[test]
    fn the_same_words_in_comments_and_texts_pass() {
        check_file(
            "crates/a/src/x.rs",
            "// todo! #[ignore]\nconst A: &str = \".unwrap()\"; my_todo!();",
            &[],
        );
    }

    #[test]
    fn unwrap_is_for_tests() {
        check_file("crates/a/src/x.rs", "fn f() {\n a.unwrap();\n}", &[(2, "code")]);
        check_file("crates/a/examples/x.rs", "fn f() { a.unwrap(); }", &[(1, "code")]);
        check_file(
            "crates/a/src/x.rs",
            "/// a.unwrap();\nfn f() { a.unwrap_or(1); a.expect(\"why\"); }",
            &[],
        );
        check_file("crates/a/src/x.rs", "#[cfg(test)]\nmod tests {\n fn f() { a.unwrap(); }\n}", &[]);
        check_file("crates/a/tests/a_b.rs", "fn f() { a.unwrap(); }", &[]);
    }

    const DOCS: &str = "//! It does this.\n//!\n//! ```\n//! a::b();\n//! ```\n";

    #[track_caller]
    fn check_crate(lib: &str, manifest: &str, expected: &[(&str, usize, &str)]) {
        let member = Member { name: "a".to_owned(), dir: "crates/a".to_owned(), ..Member::default() };
        let workspace = Workspace { members: vec![member], ..Workspace::default() };
        let tree = Tree::from([("crates/a/src/lib.rs", lib), ("crates/a/Cargo.toml", manifest)]);
        assert_rules(&crates(&workspace, &tree), expected);
    }

    #[test]
    fn tests_wait_for_something() {
        check_file("crates/a/tests/a_b.rs", "fn f() { std::thread::sleep(d); }", &[(1, "code")]);
        check_file("crates/a/src/x.rs", "fn f() { std::thread::sleep(d); }", &[]);
    }

    #[test]
    fn the_median_file_is_short() {
        let long = "//\n".repeat(MAX_MEDIAN + 1);
        assert_rules(&median(&Tree::from([("a.rs", ""), ("b.rs", ""), ("c.rs", &long)])), &[]);
        assert_rules(
            &median(&Tree::from([("a.rs", ""), ("b.rs", &long), ("c.rs", &long)])),
            &[("b.rs", 1, "median")],
        );
        assert_rules(&median(&Tree::default()), &[]);
    }

    #[test]
    fn a_documented_crate_with_the_house_lints_passes() {
        check_crate(DOCS, "[package]\n\n[lints]\nworkspace = true\n", &[]);
        check_crate(DOCS, "lints.workspace = true\n", &[]);
    }

    #[test]
    fn a_crate_without_words_is_refused() {
        check_crate(
            "pub mod a;\n",
            "[lints]\nworkspace = true\n",
            &[("crates/a/src/lib.rs", 1, "crate-docs")],
        );
    }

    #[test]
    fn a_crate_without_an_example_is_refused() {
        let expected = [("crates/a/src/lib.rs", 1, "crate-docs")];
        check_crate("//! It does this.\n\n/// ```\npub mod a {}\n", "lints.workspace = true\n", &expected);
    }

    #[test]
    fn a_crate_without_the_house_lints_is_refused() {
        let expected = [("crates/a/Cargo.toml", 2, "lints")];
        check_crate(DOCS, "[package]\n[lints.rust]\nworkspace = true\n", &expected);
        check_crate(DOCS, "x = 1\n[lints]\n[dependencies.a]\nworkspace = true\n", &expected);
    }
}
