//! Finds what a pool has started or made and that has outlived it: processes, and directories with profiles in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The variable that the pool gives to every browser and driver which it starts.
const MARKER: &[u8] = b"WEBNN_POOL_LAUNCH=";

/// How the names of the pool's directories for temporary files begin.
const RUN_DIR: &str = "webnn-pool-";

/// How often to look, a tenth of a second apart, before what is left counts as left over: five seconds.
const LOOKS: u32 = 50;

/// What there is at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Processes with the marker: id and start time, so that a recycled id is not mistaken, with their command.
    processes: BTreeMap<(u32, String), String>,
    run_dirs: BTreeSet<PathBuf>,
}

impl Snapshot {
    /// Everything with the marker that we may read, and every run's directory in the place for temporary files.
    pub(crate) fn take() -> Result<Self> {
        Ok(Self { processes: processes()?, run_dirs: run_dirs(&std::env::temp_dir())? })
    }

    /// What is there now and was not there then.
    fn grown(&self) -> Result<Self> {
        let mut now = Self::take()?;
        now.processes.retain(|process, _| !self.processes.contains_key(process));
        now.run_dirs.retain(|dir| !self.run_dirs.contains(dir));
        Ok(now)
    }

    /// Fails when something that was not there then is still there after a grace of five seconds.
    pub(crate) fn expect_nothing_more(&self) -> Result<()> {
        let mut left = self.grown()?;
        for _ in 0..LOOKS {
            if left.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
            left = self.grown()?;
        }
        if !left.is_empty() {
            bail!("left over:{left}");
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.run_dirs.is_empty()
    }
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.processes
            .iter()
            .try_for_each(|((pid, _), command)| write!(f, "\n  process {pid}: {command}"))?;
        self.run_dirs.iter().try_for_each(|dir| write!(f, "\n  directory {}", dir.display()))
    }
}

fn processes() -> Result<BTreeMap<(u32, String), String>> {
    let mut found = BTreeMap::new();
    if cfg!(not(target_os = "linux")) {
        eprintln!(
            "note: this system has no /proc, so nothing can be said about processes that are left over"
        );
        return Ok(found);
    }
    for entry in std::fs::read_dir("/proc").context("cannot look through /proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ends while we look, or that belongs to somebody else, is not ours to count.
        if let Some((start, command)) = inspect(&entry.path()) {
            found.insert((pid, start), command);
        }
    }
    Ok(found)
}

fn run_dirs(parent: &Path) -> Result<BTreeSet<PathBuf>> {
    let entries =
        std::fs::read_dir(parent).with_context(|| format!("cannot look through {}", parent.display()))?;
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(RUN_DIR))
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(ours).collect())
}

fn inspect(process: &Path) -> Option<(String, String)> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    if !environment.split(|&byte| byte == 0).any(|variable| variable.starts_with(MARKER)) {
        return None;
    }
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // The command's name may hold spaces and brackets; the fields after its last bracket do not. The start time is
    // the 22nd field, the 20th after the name.
    let start = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    let command = std::fs::read(process.join("cmdline")).ok()?;
    let words: Vec<_> = command.split(|&byte| byte == 0).take(3).map(String::from_utf8_lossy).collect();
    Some((start, words.join(" ").trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_marked_process_is_found_while_it_lives_and_only_then() {
        let before = Snapshot::take().expect("there is a /proc");
        // `cat` lives exactly as long as its standard input stays open.
        let mut command = Command::new("cat");
        command.env("WEBNN_POOL_LAUNCH", "test").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("cat starts");
        let found = before.grown().expect("there is a /proc");
        assert!(found.processes.keys().any(|(pid, _)| *pid == child.id()), "{found}");

        drop(child.stdin.take());
        child.wait().expect("cat ends");
        let found = before.grown().expect("there is a /proc");
        assert!(!found.processes.keys().any(|(pid, _)| *pid == child.id()), "{found}");
    }

    #[test]
    fn a_process_without_the_marker_is_not_ours() {
        let found = processes().expect("there is a /proc");
        assert!(!found.keys().any(|(pid, _)| *pid == std::process::id()));
    }

    #[test]
    fn only_the_directories_of_runs_are_ours() {
        let parent = tempfile::tempdir().expect("a folder");
        for name in ["webnn-pool-12-34ab", "other"] {
            std::fs::create_dir(parent.path().join(name)).expect("made");
        }
        let found = run_dirs(parent.path()).expect("it reads");
        assert_eq!(found, [parent.path().join("webnn-pool-12-34ab")].into());
    }
}
