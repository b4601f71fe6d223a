//! The mark that our processes carry.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable whose value names the run (see [`RunDir`](super::RunDir)) that a process belongs to.
pub const MARK: &str = "WEBNN_POOL_LAUNCH";

/// The ids of the living processes that carry the mark of `run`, or of any run if it is `None`.
///
/// Reads `/proc`, so it finds nothing on systems without it. Processes whose environment we may not read (a sandboxed
/// renderer) are not listed; they end with the browser that is.
#[must_use]
pub fn marked_processes(run: Option<&str>) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            (carries_mark(&entry.path(), run) && !is_zombie(&entry.path())).then_some(id)
        })
        .collect()
}

/// Kills every process that carries the mark of `run`, again and again until none is left or `rounds` are over,
/// because a browser that is dying can still start a child. Returns how many were killed.
pub(super) fn kill_marked(run: &str, rounds: u32) -> usize {
    let mut killed = 0;
    for _ in 0..rounds {
        let alive = marked_processes(Some(run));
        if alive.is_empty() {
            break;
        }
        for id in alive {
            if let Some(pid) = Pid::from_raw(id)
                && kill_process(pid, Signal::KILL).is_ok()
            {
                killed += 1;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    killed
}

fn carries_mark(process: &Path, run: Option<&str>) -> bool {
    let Ok(environment) = std::fs::read(process.join("environ")) else { return false };
    environment.split(|&byte| byte == 0).any(|variable| {
        variable
            .strip_prefix(MARK.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|value| run.is_none_or(|run| value == run.as_bytes()))
    })
}

/// A zombie holds nothing any more; it only waits for its parent to ask how it ended.
fn is_zombie(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z')))
        .unwrap_or(false)
}
