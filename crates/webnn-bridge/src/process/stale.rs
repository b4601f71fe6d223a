//! The last net: what an earlier run left behind, because it and its watchdog were both killed.

use std::path::Path;

use super::mark::kill_marked;
use super::run_dir::{OWNER, PREFIX, remove_tree, start_time};

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
        if owner_is_gone(&path) {
            kill_marked(mark, 50);
            remove_tree(&path);
            reaped.push(mark.to_owned());
        }
    }
    reaped
}

/// A directory without a readable owner file is either being made this moment or not ours: it is not touched.
fn owner_is_gone(run: &Path) -> bool {
    let Ok(owner) = std::fs::read_to_string(run.join(OWNER)) else { return false };
    let Some((id, started)) = owner.split_once(' ') else { return false };
    let Ok(id) = id.parse() else { return false };
    if !Path::new("/proc/self").exists() {
        return false;
    }
    start_time(id).is_none_or(|now| now != started)
}
