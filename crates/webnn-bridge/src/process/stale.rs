//! The last net: what an earlier run left behind, because it and its watchdog were both killed.

use std::fs::File;
use std::path::Path;

use super::mark::Marked;
use super::run_dir::{OWNER, PREFIX, remove_tree};

/// Looks in `parent` for run directories whose owner is gone, kills what still carries their mark and deletes them.
/// Returns the marks of the runs that were cleaned up.
///
/// Directories of other users, and of runs whose owner still lives, are left alone.
pub fn reap_stale(parent: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut reaped = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(mark) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let path = entry.path();
        if let Some(_lock) = take_over(&path) {
            Marked { run: Some(mark), browser: None }.end();
            remove_tree(&path);
            reaped.push(mark.to_owned());
        }
    }
    reaped
}

/// Locks the directory of a run whose owner is gone. One that is being made this moment, or is not ours, stays.
fn take_over(run: &Path) -> Option<File> {
    let owner = File::open(run.join(OWNER)).ok()?;
    owner.try_lock().ok()?;
    let was_owned = owner.metadata().is_ok_and(|metadata| metadata.len() > 0);
    was_owned.then_some(owner)
}
