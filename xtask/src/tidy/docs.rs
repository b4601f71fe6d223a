//! Documentation: links lead somewhere, and every crate has its invariant.

use super::Violation;
use super::table::{ARCHITECTURE, CI, INVARIANT_WORDS, README};
use super::tree::Tree;
use crate::metadata::Workspace;

/// Every relative link of every Markdown file, with its anchor.
pub(super) fn links(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (line, prose) in prose(text) {
            let broken = targets(&prose).filter_map(|target| broken(tree, path, target));
            found.extend(broken.map(|advice| Violation {
                file: path.to_owned(),
                line,
                rule: "link",
                advice,
            }));
        }
    }
    found
}

/// The lines of a Markdown text outside of code fences, with code spans blanked out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        (!fence && !fenced).then(|| {
            let odd = |(at, part): (usize, &str)| {
                if at % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) }
            };
            (at + 1, line.split('`').enumerate().map(odd).collect())
        })
    })
}

/// What the line links to: `](target)`, `](target "title")` and `[name]: target`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    inline.chain(definition.map(|(_, target)| target.trim()))
}

/// What is wrong with the link, if anything is.
fn broken(tree: &Tree, from: &str, target: &str) -> Option<String> {
    let target = target.trim_matches(['<', '>']);
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let Some(path) = (if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) }) else {
        return Some(format!("`{target}` leads out of the tree: link to a file in it, or to an address"));
    };
    if !tree.exists(&path) {
        return Some(format!("`{target}` leads nowhere: there is no `{path}`"));
    }
    let anchor = anchor.filter(|_| path.ends_with(".md"))?;
    let known =
        tree.text(&path).is_some_and(|text| headings(text).any(|(_, _, title)| slug(title) == anchor));
    (!known).then(|| format!("`{target}` leads nowhere: `{path}` has no heading for it"))
}

/// The path from the root, or nothing when the link leaves the tree.
fn resolve(from: &str, file: &str) -> Option<String> {
    if file.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Every heading with its line number, level and title.
fn headings(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        fenced ^= line.trim_start().starts_with("```");
        let level = line.chars().take_while(|&c| c == '#').count();
        let title = line[level..].strip_prefix(' ')?;
        (!fenced && level > 0).then(|| (at + 1, level, title.trim()))
    })
}

/// The anchor that Markdown viewers give a heading.
fn slug(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Every crate has a section in the architecture with a bold invariant.
pub(super) fn architecture(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let text = tree.text(ARCHITECTURE).unwrap_or_default();
    let mut found = Vec::new();
    for member in &workspace.members {
        let quoted = format!("`{}`", member.name);
        let (line, advice) = match headings(text).find(|(_, _, title)| title.contains(&quoted)) {
            None => {
                (1, format!("no section for the crate {quoted}: add a heading with its name in code quotes"))
            }
            Some((line, level, _)) if !has_invariant(section(text, line, level)) => (
                line,
                format!(
                    "the section for {quoted} has no bold invariant: write **what must never happen** in it"
                ),
            ),
            Some(_) => continue,
        };
        found.push(Violation { file: ARCHITECTURE.to_owned(), line, rule: "architecture", advice });
    }
    found
}

/// What stands under the heading on this line, up to the next one that is as high.
fn section(text: &str, line: usize, level: usize) -> &str {
    let next = headings(text).find(|&(at, other, _)| at > line && other <= level).map(|(at, _, _)| at);
    let offset = |line: usize| text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    &text[offset(line)..next.map_or(text.len(), |at| offset(at - 1))]
}

fn has_invariant(section: &str) -> bool {
    section.split("**").skip(1).step_by(2).any(|bold| bold.split_whitespace().count() >= INVARIANT_WORDS)
}

/// What CI runs is what the README tells a newcomer to run.
pub(super) fn ci_commands(tree: &Tree) -> Vec<Violation> {
    let readme = tree.text(README).unwrap_or_default();
    let mut found = Vec::new();
    for (at, line) in tree.text(CI).unwrap_or_default().lines().enumerate() {
        let Some(command) = line.trim_start().strip_prefix("cargo ") else { continue };
        let words: Vec<&str> =
            command.split_whitespace().take_while(|word| *word != "||" && *word != "&&").collect();
        let command = format!("cargo {}", words.join(" "));
        if !readme.contains(&command) {
            let advice =
                format!("`{command}` does not stand in {README}: a newcomer must be told what CI runs");
            found.push(Violation { file: CI.to_owned(), line: at + 1, rule: "ci", advice });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::assert_rules;
    use super::*;
    use crate::metadata::Member;

    #[track_caller]
    fn check_link(line: &str, fires: bool) {
        let guide = format!("# Guide\n{line}\n");
        let tree = Tree::from([
            ("docs/guide.md", guide.as_str()),
            ("README.md", "# Big `words`, here\n"),
            ("a/b.rs", ""),
        ]);
        let expected = [("docs/guide.md", 2, "link")];
        assert_rules(&links(&tree), if fires { &expected } else { &[] });
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        check_link("[a](../README.md) and [b](../a/b.rs) and [c](../a)", false);
        check_link("[a](../README.md#big-words-here), [b](#guide), [c](../README.md \"title\")", false);
        check_link("[a](https://example.org/x) [b](mailto:a@example.org)", false);
        check_link("[a]: ../README.md", false);
        check_link("`[a](nowhere.md)` is code", false);
    }

    #[test]
    fn links_that_lead_nowhere_are_refused() {
        check_link("[a](nowhere.md)", true);
        check_link("![a](nowhere.png)", true);
        check_link("[a](../README.md#no-such-heading)", true);
        check_link("[a](#no-such-heading)", true);
        check_link("[a]: nowhere.md", true);
        check_link("[a](../../outside.md)", true);
        check_link("[a](/README.md)", true);
    }

    #[test]
    fn fenced_code_has_no_links() {
        let tree = Tree::from([("a.md", "```\n[a](nowhere.md)\n```\n[b](nowhere.md)\n")]);
        assert_rules(&links(&tree), &[("a.md", 4, "link")]);
    }

    #[track_caller]
    fn check_architecture(text: &str, expected: &[usize]) {
        let member = Member { name: "tensor".to_owned(), ..Member::default() };
        let workspace = Workspace { members: vec![member], ..Workspace::default() };
        let expected: Vec<_> = expected.iter().map(|&line| (ARCHITECTURE, line, "architecture")).collect();
        assert_rules(&architecture(&workspace, &Tree::from([(ARCHITECTURE, text)])), &expected);
    }

    #[test]
    fn a_section_with_an_invariant_passes() {
        check_architecture("# A\n## `tensor`\nText. **It never opens a socket.**\n", &[]);
        check_architecture("# A\n## `tensor`\n### More\n**It never opens\na socket.**\n## B\n", &[]);
    }

    #[test]
    fn a_crate_without_a_section_or_an_invariant_is_refused() {
        check_architecture("# A\n## `vocab`\n**It never opens a socket.**\n", &[1]);
        check_architecture("# A\n## `tensor`\nText, **bold**.\n", &[2]);
        check_architecture("# A\n## `tensor`\nText.\n## B\n**It never opens a socket.**\n", &[2]);
        check_architecture("", &[1]);
    }

    #[track_caller]
    fn check_ci(script: &str, expected: &[usize]) {
        let tree = Tree::from([(CI, script), (README, "Run `cargo xtask test`.")]);
        let expected: Vec<_> = expected.iter().map(|&line| (CI, line, "ci")).collect();
        assert_rules(&ci_commands(&tree), &expected);
    }

    #[test]
    fn ci_runs_what_the_readme_says() {
        check_ci("#!/bin/sh\n# cargo is needed\ncargo xtask test || status=1\n", &[]);
        check_ci("#!/bin/sh\ncargo xtask demo || status=1\n", &[2]);
    }
}
