//! The memory of a browser's processes, as the kernel tells it.

use webnn_bridge::process_table;

use super::report::MemoryReading;

/// What the processes of one browser of a run take, its driver included; `None` where the system does not tell.
///
/// Blocks for some milliseconds: the kernel walks through all their pages.
pub(super) fn of_browser(mark: &str, label: &str) -> Option<MemoryReading> {
    let mut sum = MemoryReading::default();
    for process in process_table(mark).iter().filter(|process| process.browser.as_deref() == Some(label)) {
        // One that has just ended takes nothing any more.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)) else {
            continue;
        };
        let Some((rss, pss)) = parse(&text) else { continue };
        sum.rss_bytes += rss;
        sum.pss_bytes += pss;
        sum.processes += 1;
    }
    (sum.processes > 0).then_some(sum)
}

/// Resident and proportional memory in bytes, from a `smaps_rollup` (proc_pid_smaps(5)).
fn parse(text: &str) -> Option<(u64, u64)> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
    };
    Some((bytes("Rss:")?, bytes("Pss:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_read() {
        let text = "55a-7ff ---p 00000000 00:00 0    [rollup]\nRss:      884 kB\nPss:      385 kB\nPss_Dirty:  80 kB\n";
        assert_eq!(parse(text), Some((884 * 1_024, 385 * 1_024)));
        assert_eq!(parse("Rss: 1 kB\n"), None);
        assert_eq!(parse("Rss: x kB\nPss: 1 kB\n"), None);
    }

    #[test]
    fn a_browser_that_is_not_there_takes_nothing() {
        assert_eq!(of_browser("webnn-pool-0-none", "firefox-1"), None);
    }
}
