//! Finds processes that a pool has started and that have outlived it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The variable that the pool gives to every browser and driver which it starts.
const MARKER: &[u8] = b"WEBNN_POOL_LAUNCH=";

/// How often to look, a tenth of a second apart, before what is left counts as left over: five seconds.
const LOOKS: u32 = 50;

/// The processes with the marker: id and start time, so that a recycled id is not mistaken, with their command.
pub(crate) type Marked = BTreeMap<(u32, String), String>;

/// Every process with the marker that we may read. Systems without `/proc` cannot be looked through.
pub(crate) fn marked() -> Result<Marked> {
    let mut found = Marked::new();
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

/// Fails when a marked process that was not there `before` is still there after a grace of five seconds.
pub(crate) fn expect_none(before: &Marked) -> Result<()> {
    let mut left = new_ones(before)?;
    for _ in 0..LOOKS {
        if left.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
        left = new_ones(before)?;
    }
    if left.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = left.iter().map(|((pid, _), command)| format!("  {pid}  {command}")).collect();
    bail!("{} process(es) of ours are left over:\n{}", left.len(), list.join("\n"))
}

fn new_ones(before: &Marked) -> Result<Marked> {
    let mut now = marked()?;
    now.retain(|process, _| !before.contains_key(process));
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_marked_process_is_found_while_it_lives_and_only_then() {
        let before = marked().expect("there is a /proc");
        // `cat` lives exactly as long as its standard input stays open.
        let mut command = Command::new("cat");
        command.env("WEBNN_POOL_LAUNCH", "test").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("cat starts");
        let found = new_ones(&before).expect("there is a /proc");
        assert!(found.keys().any(|(pid, _)| *pid == child.id()), "{found:?}");

        drop(child.stdin.take());
        child.wait().expect("cat ends");
        expect_none(&before).expect("nothing is left");
    }

    #[test]
    fn a_process_without_the_marker_is_not_ours() {
        let found = marked().expect("there is a /proc");
        assert!(!found.keys().any(|(pid, _)| *pid == std::process::id()));
    }
}
