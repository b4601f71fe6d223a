//! The files that git knows or would know, with their text.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::sh::{self, Cmd};

/// The text files of the tree by path relative to the root, and the names of the other files.
#[derive(Debug, Default)]
pub(super) struct Tree {
    texts: BTreeMap<String, String>,
    /// Files that are not text: they exist, and links may point at them.
    others: Vec<String>,
}

impl Tree {
    /// Reads every file that is tracked, or that is new and not ignored.
    pub(super) fn load() -> Result<Self> {
        let listing = Cmd::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .read()
            .context("tidy reads the file list from git")?;
        let mut tree = Self::default();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            tree.read(sh::root(), path)?;
        }
        Ok(tree)
    }

    fn read(&mut self, root: &Path, path: &str) -> Result<()> {
        let full = root.join(path);
        // A file that git still lists may be gone from the disk, and a link has no text of its own.
        let Ok(meta) = full.symlink_metadata() else { return Ok(()) };
        if !meta.is_file() {
            self.others.push(path.to_owned());
            return Ok(());
        }
        let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                self.texts.insert(path.to_owned(), text);
            }
            _ => self.others.push(path.to_owned()),
        }
        Ok(())
    }

    /// Every text file with its path.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text files whose name ends so.
    pub(super) fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is such a file, or a folder with a file in it.
    pub(super) fn exists(&self, path: &str) -> bool {
        if path.is_empty() {
            return true;
        }
        let folder = format!("{path}/");
        self.paths().any(|known| known == path || known.starts_with(&folder))
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.len()
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().chain(&self.others).map(String::as_str)
    }

    /// The first line of a file that starts so, or line 1: a place to point at.
    pub(super) fn line_starting(&self, path: &str, start: &str) -> usize {
        let text = self.text(path).unwrap_or_default();
        text.lines().position(|line| line.trim_start().starts_with(start)).map_or(1, |at| at + 1)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        let texts = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { texts, others: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_other_files_are_told_apart_and_missing_ones_skipped() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("a.txt"), "text").expect("written");
        std::fs::write(dir.path().join("b.bin"), [0, 159, 146]).expect("written");
        let mut tree = Tree::default();
        for path in ["a.txt", "b.bin", "gone.txt"] {
            tree.read(dir.path(), path).expect("it reads");
        }
        assert_eq!(tree.texts().collect::<Vec<_>>(), [("a.txt", "text")]);
        assert!(tree.exists("b.bin") && !tree.exists("gone.txt"));
    }

    #[test]
    fn a_folder_exists_when_a_file_is_in_it() {
        let tree = Tree::from([("docs/guide/a.md", "")]);
        assert!(tree.exists("docs") && tree.exists("docs/guide") && !tree.exists("doc"));
    }
}
