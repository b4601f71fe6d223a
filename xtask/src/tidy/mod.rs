//! `cargo xtask tidy`: what a reviewer would otherwise have to remember, checked.
//!
//! Each rule is a function from the tree or the workspace to its violations, so that its tests plant one.

mod book;
mod commands;
mod docs;
mod embedded;
mod layers;
mod locks;
mod machine;
mod markdown;
mod rust_files;
mod rust_text;
mod table;
mod targets;
mod tree;
mod troubleshooting;

use anyhow::{Result, bail};

use crate::metadata;
use tree::Tree;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// Path relative to the workspace root.
    file: String,
    /// First line is 1.
    line: usize,
    /// The rule's short name.
    rule: &'static str,
    /// What is wrong and what to do about it.
    advice: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.advice)
    }
}

/// Checks the whole tree.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::load()?;
    let workspace = metadata::load()?;
    let mut found = Vec::new();
    found.extend(layers::edges(&workspace, &tree));
    found.extend(embedded::check(&workspace, &tree)?);
    found.extend(targets::check(&workspace, &tree));
    found.extend(rust_files::check(&tree));
    found.extend(rust_files::crates(&workspace, &tree));
    found.extend(docs::links(&tree));
    found.extend(rust_files::median(&tree));
    found.extend(docs::ci_commands(&tree));
    found.extend(book::check(&tree));
    found.extend(book::named_files(&tree));
    found.extend(commands::check(&tree));
    found.extend(troubleshooting::check(&tree));
    found.extend(docs::architecture(&workspace, &tree));
    found.extend(machine::check(&tree));
    found.extend(locks::check(&tree));
    found.sort();
    found.dedup();
    if found.is_empty() {
        println!("tidy: {} files, {} crates: nothing to complain about", tree.len(), workspace.members.len());
        return Ok(());
    }
    for violation in &found {
        println!("{violation}");
    }
    bail!("tidy: {} to mend", found.len())
}

/// The rules that fired, for the tests of the modules below.
#[cfg(test)]
#[track_caller]
fn assert_rules(found: &[Violation], expected: &[(&str, usize, &str)]) {
    let found: Vec<_> = found.iter().map(|found| (found.file.as_str(), found.line, found.rule)).collect();
    assert_eq!(found, expected);
}
