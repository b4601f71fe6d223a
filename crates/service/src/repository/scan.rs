//! What a folder of models holds. Reads names and dates, no model.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where a folder may hold its model, in the order in which it is looked for.
const PLACES: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// The version of a model that lies in no folder of a version.
pub(super) const ONLY_VERSION: &str = "1";

/// Files of a model's folder that are looked at to see whether it changed.
const MOST_FILES: usize = 4_096;

/// A model that was found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its versions, or why it has none that could be used.
    pub(super) versions: Result<BTreeMap<u64, Place>, String>,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The ONNX file.
    pub(super) onnx: PathBuf,
    /// The folder that describes it: where its tokenizer and configuration lie.
    pub(super) folder: PathBuf,
    /// The lengths and dates of all files, to tell whether it has changed.
    pub(super) stamp: Vec<(PathBuf, u64, Option<SystemTime>)>,
}

/// Whether a model may be called so. Nothing else ever becomes part of a path.
pub(crate) fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    first && rest && name.len() <= 128
}

/// Everything in `roots`, by name. A root that cannot be read is an error; what is wrong with one model is told with it.
pub(super) fn scan(roots: &[PathBuf]) -> std::io::Result<BTreeMap<String, Found>> {
    let mut all: BTreeMap<String, (PathBuf, Found)> = BTreeMap::new();
    for root in roots {
        let mut entries = std::fs::read_dir(root)?.collect::<std::io::Result<Vec<DirEntry>>>()?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if name.starts_with('.') || !path.is_dir() {
                continue;
            }
            let mut found = Found { versions: versions(&path) };
            if !is_name(&name) {
                let why = "its folder's name is no name of a model: use letters, digits, '.', '_' and '-'";
                found.versions = Err(why.to_owned());
            }
            if let Some((other, before)) = all.get_mut(&name) {
                let why = format!("two models have this name: {} and {}", other.display(), path.display());
                before.versions = Err(why);
                continue;
            }
            all.insert(name, (path, found));
        }
    }
    Ok(all.into_iter().map(|(name, (_, found))| (name, found)).collect())
}

fn versions(folder: &Path) -> Result<BTreeMap<u64, Place>, String> {
    let unreadable = |error: std::io::Error| format!("its folder cannot be read: {error}");
    let mut found = BTreeMap::new();
    let own = PLACES.iter().map(|place| folder.join(place)).find(|onnx| onnx.is_file());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let named = path.file_name().and_then(|name| name.to_str());
        let Some(version) = named.and_then(|name| name.parse::<u64>().ok()).filter(|_| path.is_dir()) else {
            continue;
        };
        let Some(onnx) = PLACES.iter().map(|place| path.join(place)).find(|onnx| onnx.is_file()) else {
            continue;
        };
        // The model's own folder may describe all of its versions.
        let described = if path.join("config.json").is_file() || path.join("tokenizer.json").is_file() {
            path.clone()
        } else {
            folder.to_owned()
        };
        let stamp = stamp(&[&path, folder]);
        if found.insert(version, Place { onnx, folder: described, stamp }).is_some() {
            return Err(format!("two folders are version {version}"));
        }
    }
    match (own, found.is_empty()) {
        (Some(own), false) => {
            Err(format!("two models have this name: {} and one in a folder of a version", own.display()))
        }
        (Some(onnx), true) => {
            let stamp = stamp(&[folder, onnx.parent().unwrap_or(folder)]);
            // The constant is a number.
            let version = ONLY_VERSION.parse().unwrap_or(1);
            Ok(BTreeMap::from([(version, Place { onnx, folder: folder.to_owned(), stamp })]))
        }
        (None, false) => Ok(found),
        (None, true) => {
            Err(format!("there is no {}, and no folder of a version with one", PLACES.join(" or ")))
        }
    }
}

/// Lengths and dates of the files in some folders.
fn stamp(folders: &[&Path]) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut all: Vec<_> = files
        .take(MOST_FILES)
        .filter_map(|entry| {
            // Follows a link: hubs keep the files elsewhere.
            let metadata = std::fs::metadata(entry.path()).ok()?;
            metadata.is_file().then(|| (entry.path(), metadata.len(), metadata.modified().ok()))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(root: &Path, file: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(path, b"x").expect("the file is written");
    }

    fn found(files: &[&str]) -> BTreeMap<String, Found> {
        let root = tempfile::tempdir().expect("a folder");
        files.iter().for_each(|file| touch(root.path(), file));
        scan(&[root.path().to_owned()]).expect("it is readable")
    }

    #[track_caller]
    fn check(files: &[&str], name: &str, want: Result<&[u64], &str>) {
        let all = found(files);
        let got = &all.get(name).unwrap_or_else(|| panic!("{name} in {all:?}")).versions;
        match (got, want) {
            (Ok(versions), Ok(want)) => assert!(versions.keys().eq(want), "{versions:?}"),
            (Err(why), Err(want)) => assert!(why.contains(want), "{why}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_layouts_are_found() {
        check(&["a/model.onnx"], "a", Ok(&[1]));
        check(&["a/2/model.onnx", "a/10/model.onnx", "a/tokenizer.json"], "a", Ok(&[2, 10]));
        check(&["a/onnx/model.onnx", "a/config.json"], "a", Ok(&[1]));
    }

    #[test]
    fn what_is_ambiguous_or_empty_says_so() {
        check(&["a/model.onnx", "a/1/model.onnx"], "a", Err("two models have this name"));
        check(&["a/readme.txt"], "a", Err("there is no model.onnx"));
        check(&["ä/model.onnx"], "ä", Err("no name of a model"));
        check(&["a/1/model.onnx", "a/01/model.onnx"], "a", Err("two folders are version 1"));
        assert!(found(&[".hidden/model.onnx", "loose.onnx"]).is_empty());
    }

    #[test]
    fn two_roots_with_one_name_are_refused() {
        let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        [&one, &two].iter().for_each(|root| touch(root.path(), "same/model.onnx"));
        let all = scan(&[one.path().to_owned(), two.path().to_owned()]).expect("they are readable");
        assert!(all["same"].versions.as_ref().expect_err("two").contains("two models have this name"));
    }

    #[test]
    fn a_change_changes_the_stamp() {
        let root = tempfile::tempdir().expect("a folder");
        touch(root.path(), "a/model.onnx");
        let before = scan(&[root.path().to_owned()]).expect("it is readable");
        std::fs::write(root.path().join("a/model.onnx"), b"longer").expect("it is written");
        assert_ne!(before, scan(&[root.path().to_owned()]).expect("it is readable"));
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        for bad in ["", "..", ".", "a/b", "a\\b", "..%2f", "-x", "é", &"x".repeat(129)] {
            assert!(!is_name(bad), "{bad}");
        }
        for good in ["a", "all-MiniLM-L6-v2", "_x", "7", "a..b"] {
            assert!(is_name(good), "{good}");
        }
    }
}
