//! Every error that a user can meet has an entry in the guide, and every entry is one that the code can say.
//!
//! An entry is the first cell of a table's row: the message in a code span, with `…` where the code puts something in.

use std::collections::BTreeMap;

use super::Violation;
use super::markdown::code;
use super::rust_text::literals;
use super::table::{TROUBLESHOOTING, UNSEEN_ERRORS};
use super::tree::Tree;

/// An error of the product, as `thiserror` has it.
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    file: &'a str,
    line: usize,
    /// The enum or struct that it belongs to.
    owner: &'a str,
    text: String,
}

/// Both ways: messages without an entry, entries without a message, and exceptions that name nothing.
pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let guide = tree.text(TROUBLESHOOTING).unwrap_or_default();
    let entries = entries(guide);
    let mut found = Vec::new();
    let messages: Vec<Message<'_>> =
        product(tree).flat_map(|(path, source)| messages(path, source)).collect();
    for message in messages.iter().filter(|message| says_something(&message.text)) {
        let hidden = UNSEEN_ERRORS.iter().any(|(owner, _)| is_of(message, owner));
        if hidden || entries.contains_key(message.text.as_str()) {
            continue;
        }
        let advice = format!(
            "`{}` can say `{}`, and {TROUBLESHOOTING} has no entry for it: say there what it means and what to do, or \
             name the type in xtask's tidy/table.rs with the reason why no user meets it",
            message.owner, message.text
        );
        found.push(Violation { file: message.file.to_owned(), line: message.line, rule: "no-entry", advice });
    }
    let said: Vec<String> =
        product(tree).flat_map(|(_, source)| literals(source).into_iter().map(|text| shape(&text))).collect();
    for (entry, line) in &entries {
        if !said.iter().any(|said| said == entry) {
            let advice = format!(
                "nothing says `{entry}` any more: put the message as it is now, with … for what is put in"
            );
            found.push(Violation { file: TROUBLESHOOTING.to_owned(), line: *line, rule: "no-error", advice });
        }
    }
    for (owner, _) in UNSEEN_ERRORS {
        if !messages.iter().any(|message| is_of(message, owner)) {
            let advice =
                format!("there is no error `{owner}` any more: take it out of xtask's tidy/table.rs");
            found.push(Violation { file: TROUBLESHOOTING.to_owned(), line: 1, rule: "no-error", advice });
        }
    }
    found
}

/// The sources of what is shipped, and of the commands that a newcomer runs first.
fn product(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let shipped = |path: &str| {
        let of_a_crate = path.starts_with("crates/") && path.contains("/src/") && !path.contains("-testing/");
        of_a_crate || path.starts_with("xtask/src/") && !path.starts_with("xtask/src/tidy/")
    };
    tree.ending(".rs").filter(move |(path, _)| shipped(path))
}

/// Whether the message belongs to `crate::Type`.
fn is_of(message: &Message<'_>, owner: &str) -> bool {
    let Some((of, name)) = owner.split_once("::") else { return false };
    message.owner == name && message.file.split('/').nth(1) == Some(of)
}

/// A message that is put together from others' words alone cannot be looked up.
fn says_something(text: &str) -> bool {
    text.split('…').any(|part| part.chars().filter(|c| c.is_alphabetic()).count() > 2)
}

/// The errors that a file declares, public ones alone.
fn messages<'a>(file: &'a str, source: &'a str) -> Vec<Message<'a>> {
    let mut found = Vec::new();
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    for (start, _) in source.match_indices("#[error(") {
        let Some(text) = literals(&source[start..]).into_iter().next() else { continue };
        let between =
            source[start..].find('"').map_or("", |quote| &source[start + "#[error(".len()..start + quote]);
        // `#[error(transparent)]`: another error speaks.
        if !between.trim().is_empty() {
            continue;
        }
        let Some(owner) = owner(source, start) else { continue };
        let line = source[..start].matches('\n').count() + 1;
        found.push(Message { file, line, owner, text: shape(&text) });
    }
    found
}

/// The public enum that is open at this place, or the public struct that the attribute stands before.
fn owner(source: &str, at: usize) -> Option<&str> {
    let name = |rest: &'static str, line: &str| -> Option<(usize, usize)> {
        let start = line.find(rest)? + rest.len();
        let end = line[start..].find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        Some((start, start + end))
    };
    // A variant is indented, an attribute of a struct is not.
    let indented = source[..at].rsplit('\n').next().is_some_and(|before| !before.is_empty());
    let declares =
        |line: &&str| line.starts_with("pub") || line.starts_with("enum ") || line.starts_with("struct ");
    let line = if indented {
        source[..at].lines().rev().find(declares)?
    } else {
        source[at..].lines().find(declares)?
    };
    let (start, end) = name("pub enum ", line).or_else(|| name("pub struct ", line))?;
    Some(&line[start..end])
}

/// The message with `…` for everything that is put into it, on one line.
fn shape(text: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0_usize);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if depth == 0 && chars.peek() == Some(&c) => {
                chars.next();
                out.push(c);
            }
            '{' => {
                depth += 1;
                if depth == 1 && !out.ends_with('…') {
                    out.push('…');
                }
            }
            '}' => depth = depth.saturating_sub(1),
            '\n' if depth == 0 => out.push(' '),
            // A code span cannot hold one.
            '`' => {}
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

/// The entries with their lines: code spans that begin a row.
fn entries(guide: &str) -> BTreeMap<&str, usize> {
    let rows: BTreeMap<usize, &str> = guide
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| `"))
        .map(|(at, line)| (at + 1, line))
        .collect();
    let begins = |line: usize, text: &str| {
        rows.get(&line).and_then(|row| row.strip_prefix("| `")).is_some_and(|row| row.starts_with(text))
    };
    code(guide)
        .filter(|code| code.block.is_none() && begins(code.line, code.text))
        .map(|code| (code.text, code.line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;

    const SOURCE: &str = concat!(
        "/// Why.\n#[derive(thiserror::Error)]\npub enum E {\n    #[error(\"it {what} broke after {n:?}\")]\n    A,\n",
        "    #[error(transparent)]\n    B(C),\n    #[error(\"{0}\")]\n    D(String),\n}\n",
        "#[error(\"a struct {0:?} too\")]\npub struct S(String);\n",
        "pub(crate) enum Own {\n    #[error(\"not for users\")]\n    A,\n}\n",
        "fn f() { bail(format!(\"could not write {}: {{}}\", x)) }\n",
        "#[cfg(test)]\nmod tests { #[error(\"only in tests\")] struct T; }\n",
    );

    #[track_caller]
    fn check_guide(guide: &str, expected: &[(&str, usize, &str)]) {
        let tree = Tree::from([(TROUBLESHOOTING, guide), ("crates/a/src/error.rs", SOURCE)]);
        // The exceptions of the real tree name nothing in this one.
        let mut found = check(&tree);
        found.retain(|violation| !violation.advice.starts_with("there is no error"));
        assert_rules(&found, expected);
    }

    #[test]
    fn a_guide_with_every_message_passes() {
        check_guide("| `it … broke after …` | x | `y` |\n| `a struct … too` | x | y |\n", &[]);
    }

    #[test]
    fn messages_of_plain_code_may_have_entries_too() {
        let guide = "| `it … broke after …` | |\n| `a struct … too` | |\n| `could not write …: {}` | |\n";
        check_guide(guide, &[]);
    }

    #[test]
    fn a_message_without_an_entry_is_named_where_it_stands() {
        check_guide("| `a struct … too` | x | y |\n", &[("crates/a/src/error.rs", 4, "no-entry")]);
        check_guide("| `it … broke after …` | x |\n", &[("crates/a/src/error.rs", 11, "no-entry")]);
    }

    #[test]
    fn an_entry_that_nothing_says_is_refused() {
        let guide = "| `it … broke after …` | |\n| `a struct … too` | |\n| `it was fine` | |\n";
        check_guide(guide, &[(TROUBLESHOOTING, 3, "no-error")]);
    }

    #[test]
    fn what_is_put_in_is_left_out() {
        assert_eq!(shape("a {b:?} c{d}{e} {{f}}\n`g`"), "a … c… {f} g");
    }
}
