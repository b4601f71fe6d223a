//! The mark that our processes carry.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::table::{stat, variable};

/// The environment variable whose value names the run that a process belongs to.
pub const MARK: &str = "WEBNN_POOL_LAUNCH";

/// The environment variable whose value names the browser, within the run, that a process belongs to.
pub(super) const BROWSER_MARK: &str = "WEBNN_POOL_BROWSER";

/// How long processes that were asked to end may take.
const GRACE: Duration = Duration::from_millis(300);
/// Between two looks at the process table.
const PAUSE: Duration = Duration::from_millis(20);
/// How often those that do not end are killed anew: a browser that is dying can still start a child.
const ROUNDS: u32 = 50;

/// Which processes are meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marked<'a> {
    /// Those of this run, or of any.
    pub(super) run: Option<&'a str>,
    /// Of those, the ones of this browser, or all.
    pub(super) browser: Option<&'a str>,
}

/// The ids of the living processes that carry the mark of `run`, or of any run if it is `None`, and of those in their
/// process groups.
///
/// Reads `/proc`, so it finds nothing on systems without it.
#[must_use]
pub fn marked_processes(run: Option<&str>) -> Vec<i32> {
    Marked { run, browser: None }.alive()
}

impl Marked<'_> {
    /// Those that carry the mark, and those that share a process group with one that does: what Chromium forks writes its
    /// title over its environment, and the mark with it.
    fn alive(self) -> Vec<i32> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let living: Vec<(i32, i32, bool)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let id: i32 = entry.file_name().to_str()?.parse().ok()?;
                let (_, group, _) = stat(&entry.path())?;
                let group = i32::try_from(group).ok()?;
                Some((id, group, self.fits(&entry.path())))
            })
            .collect();
        let own = rustix::process::getpgrp().as_raw_nonzero().get();
        let groups: BTreeSet<i32> = living
            .iter()
            .filter(|(_, group, fits)| *fits && *group != own)
            .map(|(_, group, _)| *group)
            .collect();
        living
            .iter()
            .filter(|(_, group, fits)| *fits || groups.contains(group))
            .map(|(id, _, _)| *id)
            .collect()
    }

    fn fits(self, process: &Path) -> bool {
        let Ok(environment) = std::fs::read(process.join("environ")) else { return false };
        let value = |name: &str| variable(&environment, name);
        let is = |found: Option<&[u8]>, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| found == Some(wanted.as_bytes()))
        };
        let run = value(MARK);
        run.is_some()
            && is(run, self.run)
            && (self.browser.is_none() || is(value(BROWSER_MARK), self.browser))
    }

    /// Ends these processes: asks first, because a display server that is killed leaves its lock behind, and kills what
    /// is left, until nothing is. Blocks for less than two seconds, and hardly at all if there are none.
    pub(super) fn end(self) {
        self.signal(Signal::TERM);
        let mut waited = Duration::ZERO;
        while waited < GRACE && !self.alive().is_empty() {
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        self.kill();
    }

    /// Kills these processes, until there are none.
    pub(super) fn kill(self) {
        for _ in 0..ROUNDS {
            // All that are seen in one look are killed in one go: once the marked ones are gone, the others are not known.
            if self.signal(Signal::KILL) == 0 {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Signals each, and says how many there were.
    fn signal(self, signal: Signal) -> usize {
        let alive = self.alive();
        for pid in alive.iter().filter_map(|&id| Pid::from_raw(id)) {
            // It may have ended meanwhile, which is what we want.
            let _ = kill_process(pid, signal);
        }
        alive.len()
    }
}
