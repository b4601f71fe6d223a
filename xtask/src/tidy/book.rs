//! The guides are a book: its contents name each of them once, none leads out of it, and files that are named exist.

use super::Violation;
use super::markdown::code;
use super::table::{BOOK, CONTENTS, NAMED_FOLDERS};
use super::tree::Tree;

/// The contents, and what leads out of the book.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let contents: Vec<(usize, &str)> =
        tree.text(CONTENTS).map(|text| links(text).collect()).unwrap_or_default();
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md").filter(|(path, _)| path.starts_with(BOOK) && *path != CONTENTS) {
        let name = &path[BOOK.len()..];
        let mut complain = |file: &str, line, advice| {
            found.push(Violation { file: file.to_owned(), line, rule: "book", advice })
        };
        let chapters: Vec<usize> =
            contents.iter().filter(|(_, target)| *target == name).map(|(line, _)| *line).collect();
        match chapters.as_slice() {
            [_] => {}
            [] => complain(CONTENTS, 1, format!("`{name}` is no chapter: give it its place in the contents")),
            [_, second, ..] => complain(CONTENTS, *second, format!("`{name}` is a chapter already")),
        }
        for (line, target) in links(text).filter(|(_, target)| target.starts_with("../")) {
            let advice = format!(
                "`{target}` leads out of the book, which has nothing there: name the file as `path/from/the/root`"
            );
            complain(path, line, advice);
        }
    }
    found
}

/// Every link in a text, with its line. A chapter that is not written yet leads to nothing.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(at, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        targets.filter(|target| !target.is_empty()).map(move |target| (at + 1, target))
    })
}

/// Files that stand in code spans by their path from the root.
pub(super) fn named_files(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md") {
        for span in code(text).filter(|code| code.block.is_none()) {
            let Some(name) = named_file(span.text) else { continue };
            if tree.exists(name) {
                continue;
            }
            let advice = format!("there is no `{name}`: name the file that is meant");
            found.push(Violation { file: path.to_owned(), line: span.line, rule: "named-file", advice });
        }
    }
    found
}

/// The path in a span, if it is one of a file of ours: nothing that stands for many files.
fn named_file(span: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let ours = NAMED_FOLDERS.iter().any(|folder| span.starts_with(folder));
    (ours && span.chars().all(plain)).then(|| span.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    #[track_caller]
    fn check_book(contents: &str, guide: &str, expected: &[(&str, usize, &str)]) {
        assert_rules(&check(&Tree::from([(CONTENTS, contents), ("docs/guide.md", guide)])), expected);
    }

    #[test]
    fn a_guide_that_is_one_chapter_passes() {
        check_book("# Contents\n- [A](guide.md)\n- [Later]()\n", "See [it](guide.md#a).", &[]);
    }

    #[test]
    fn a_guide_that_is_no_chapter_or_two_is_refused() {
        check_book("# Contents\n", "", &[(CONTENTS, 1, "book")]);
        check_book("- [A](guide.md)\n- [B](guide.md)\n", "", &[(CONTENTS, 2, "book")]);
    }

    #[test]
    fn a_link_out_of_the_book_is_refused() {
        check_book("- [A](guide.md)\n", "One\n[b](../README.md)\n", &[("docs/guide.md", 2, "book")]);
    }

    #[track_caller]
    fn check_named(span: &str, fires: bool) {
        let text = format!("`{span}`\n");
        let tree = Tree::from([("README.md", text.as_str()), ("crates/a/src/lib.rs", "")]);
        assert_rules(&named_files(&tree), if fires { &[("README.md", 1, "named-file")] } else { &[] });
    }

    #[test]
    fn files_that_are_named_exist() {
        check_named("crates/a/src/lib.rs", false);
        check_named("crates/a/src/", false);
        check_named("crates/a/src/main.rs", true);
        check_named("docs/nowhere.md", true);
    }

    #[test]
    fn what_stands_for_many_files_or_lies_elsewhere_passes() {
        check_named("crates/*/src", false);
        check_named("crates/NAME …", false);
        check_named("models/NAME/model.onnx", false);
    }
}
