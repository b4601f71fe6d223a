//! The process table, as far as it is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process as signal, kill_process_group};

use super::mark::{BROWSER_MARK, MARK};

/// A living process of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkedProcess {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks after the machine did: an id that is given out again has another start.
    pub started: u64,
    /// Its process group; the process with that id leads it.
    pub group: u32,
    /// The label of the browser that it belongs to; `None` for what serves the whole run, such as a display.
    pub browser: Option<String>,
}

impl MarkedProcess {
    /// Whether it leads its group.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.pid == self.group
    }
}

/// What `/proc` tells of a living process.
struct Row {
    pid: u32,
    parent: u32,
    group: u32,
    started: u64,
    /// The browser's label, where it carries the run's mark.
    mark: Option<Option<String>>,
}

/// The living processes that carry the mark of `run`, those in their process groups, and what all of them started:
/// Chromium's children write their title over the mark.
///
/// Reads all of `/proc` and blocks meanwhile, for some milliseconds. Finds nothing on systems without it.
#[must_use]
pub fn process_table(run: &str) -> Vec<MarkedProcess> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let rows: Vec<Row> = entries.filter_map(|entry| row(&entry.ok()?.path(), run)).collect();
    assign(&rows, u32::try_from(rustix::process::getpgrp().as_raw_nonzero().get()).unwrap_or_default())
}

/// Kills a process if it is still the one that started then, and the group that it leads. Answers whether it was there.
///
/// A process may end and its id be given out again between the look and the kill; that moment cannot be closed with
/// process ids, only made short.
#[must_use]
pub fn kill_process(process: &MarkedProcess) -> bool {
    let path = Path::new("/proc").join(process.pid.to_string());
    let same = stat(&path).is_some_and(|(.., started)| started == process.started);
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let (true, Some(pid)) = (same, pid) else { return false };
    // It may end by itself meanwhile, which is what we want.
    let _ = if process.leads() { kill_process_group(pid, Signal::KILL) } else { signal(pid, Signal::KILL) };
    true
}

fn row(process: &Path, run: &str) -> Option<Row> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let (parent, group, started) = stat(process)?;
    Some(Row { pid, parent, group, started, mark: mark(process, run) })
}

/// Parent, group and start; nothing for a zombie, which holds nothing any more and only waits for its parent to ask how it
/// ended.
pub(super) fn stat(process: &Path) -> Option<(u32, u32, u64)> {
    parse_stat(&std::fs::read_to_string(process.join("stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<(u32, u32, u64)> {
    // The name before it may hold anything, a bracket too.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    // Fields 3, 4, 5 and 22 of proc_pid_stat(5).
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    if *fields.first()? == "Z" {
        return None;
    }
    Some((u32::try_from(number(4)?).ok()?, u32::try_from(number(5)?).ok()?, number(22)?))
}

/// A variable of an environment as `/proc` has it.
pub(super) fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environment
        .split(|&byte| byte == 0)
        .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn mark(process: &Path, run: &str) -> Option<Option<String>> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    let ours = variable(&environment, MARK)? == run.as_bytes();
    ours.then(|| {
        variable(&environment, BROWSER_MARK).map(|label| String::from_utf8_lossy(label).into_owned())
    })
}

/// Gives each process that is ours its browser: by its own mark, its group's, or its parent's. Our own group is nobody's.
fn assign(rows: &[Row], own_group: u32) -> Vec<MarkedProcess> {
    let mut labels: BTreeMap<u32, Option<String>> = BTreeMap::new();
    let mut groups: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for row in rows {
        if let Some(label) = &row.mark {
            labels.insert(row.pid, label.clone());
            if row.group != own_group {
                groups.entry(row.group).or_insert_with(|| label.clone());
            }
        }
    }
    for row in rows {
        if let Some(label) = groups.get(&row.group) {
            labels.entry(row.pid).or_insert_with(|| label.clone());
        }
    }
    let known: BTreeSet<u32> = rows.iter().map(|row| row.pid).collect();
    loop {
        let mut found = Vec::new();
        for row in rows.iter().filter(|row| !labels.contains_key(&row.pid) && known.contains(&row.parent)) {
            if let Some(label) = labels.get(&row.parent) {
                found.push((row.pid, label.clone()));
            }
        }
        if found.is_empty() {
            break;
        }
        labels.extend(found);
    }
    let ours = rows.iter().filter_map(|row| {
        let browser = labels.get(&row.pid)?.clone();
        Some(MarkedProcess { pid: row.pid, started: row.started, group: row.group, browser })
    });
    ours.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_name() {
        let text = "77 (a) b) S 12 34 34 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 98765 1 1 1";
        assert_eq!(parse_stat(text), Some((12, 34, 98_765)));
        assert_eq!(parse_stat(&text.replace(") S ", ") Z ")), None);
        assert_eq!(parse_stat("77 (a) S 12"), None);
    }

    /// Each process as id, parent, group and mark; each that is ours as id and label.
    #[track_caller]
    fn check(rows: &[(u32, u32, u32, Option<Option<&str>>)], expected: &[(u32, Option<&str>)]) {
        let rows: Vec<Row> = rows
            .iter()
            .map(|&(pid, parent, group, mark)| Row {
                pid,
                parent,
                group,
                started: 1,
                mark: mark.map(|label| label.map(str::to_owned)),
            })
            .collect();
        let found = assign(&rows, 1);
        let found: Vec<_> = found.iter().map(|one| (one.pid, one.browser.as_deref())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_has_lost_its_mark_is_known_by_its_group_or_its_parent() {
        let driver = (10, 1, 10, Some(Some("chromium-1")));
        let browser = (11, 10, 11, Some(Some("chromium-1")));
        let renderer = (12, 11, 11, None);
        let far = (13, 12, 13, None);
        let other = (20, 1, 20, None);
        let a = Some("chromium-1");
        check(&[driver, browser, renderer, far, other], &[(10, a), (11, a), (12, a), (13, a)]);
    }

    #[test]
    fn a_display_has_no_browser_and_our_own_group_is_nobodys() {
        let display = (10, 1, 10, Some(None));
        let helper = (11, 1, 1, Some(Some("firefox-2")));
        let ourselves = (2, 0, 1, None);
        check(&[display, helper, ourselves], &[(10, None), (11, Some("firefox-2"))]);
    }
}
