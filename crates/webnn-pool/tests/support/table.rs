//! What runs of chaos showed: written down, added up, and printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ends::Ends;
use super::faults::{ChaosFault, Heals};
use super::suffer::Went;

/// One run, or several that were added up.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Run {
    pub seeds: Vec<u64>,
    pub minutes: f64,
    pub went: Vec<Went>,
    pub sent: u64,
    pub right: u64,
    pub wrong: u64,
    /// Answers that were altered on purpose and got through.
    pub lied: u64,
    pub errors: BTreeMap<String, u64>,
    /// Our own memory at the start, in the middle and at the end of each part, in MiB.
    pub rss_mib: Vec<f64>,
}

/// Our own resident memory in MiB.
pub fn rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
}

/// Where runs are kept: one file a seed, until somebody deletes the folder.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos")
}

/// The value below which a share of the values lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

impl Run {
    /// Takes in how the requests of one part ended.
    pub fn requests(&mut self, ends: &Ends) {
        self.sent += ends.sent;
        self.right += ends.right;
        self.wrong += ends.wrong.len() as u64;
        self.lied += ends.lied;
        for (kind, count) in &ends.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }

    /// Keeps this run, and adds up all that are kept.
    pub fn keep(&self) -> Self {
        std::fs::create_dir_all(folder()).expect("a folder");
        let name = self.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join("-");
        let path = folder().join(format!("{name}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(self).expect("JSON")).expect("a file");
        println!("\nwritten to {}", path.display());
        let mut sum = Self::default();
        for entry in std::fs::read_dir(folder()).expect("the folder").flatten() {
            let text = std::fs::read(entry.path()).expect("a run");
            // One of another version has other columns.
            if let Ok(run) = serde_json::from_slice(&text) {
                sum.add(run);
            }
        }
        sum
    }

    fn add(&mut self, other: Self) {
        let Self { seeds, minutes, went, sent, right, wrong, lied, errors, rss_mib } = other;
        self.seeds.extend(seeds);
        self.minutes += minutes;
        self.went.extend(went);
        self.sent += sent;
        self.right += right;
        self.wrong += wrong;
        self.lied += lied;
        for (kind, count) in errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.rss_mib.extend(rss_mib);
    }

    /// How many faults came to a good end, of how many.
    pub fn recovered(&self) -> (usize, usize) {
        (self.went.iter().filter(|went| went.failed.is_none()).count(), self.went.len())
    }

    /// The table and the sums.
    pub fn print(&self) {
        println!("\n{} faults, seeds {:?}, {:.1} min. Seconds:", self.went.len(), self.seeds, self.minutes);
        println!(
            "| fault | engine | recovered | found, p50 | answer, p50 | p99 | models, p50 | rungs | bare, p50 | ratio, p50 |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        for fault in ChaosFault::ALL {
            let engines: BTreeSet<_> =
                self.went.iter().filter(|went| went.fault == fault).map(|went| went.browser).collect();
            for engine in engines {
                let all = self.went.iter().filter(|went| went.fault == fault && went.browser == engine);
                self.row(&format!("{} | {engine}", fault.name()), &all.collect::<Vec<_>>());
            }
        }
        let (good, all) = self.recovered();
        println!("\nrecovered: {good} of {all} ({:.2} %)", 100.0 * good as f64 / all as f64);
        let ratio = |name: &str, fits: &dyn Fn(&Went) -> bool| {
            let chosen = self.went.iter().filter(|went| fits(went));
            let ratios: Vec<f64> = chosen.filter_map(Went::ratio).collect();
            let median = quantile(&ratios, 0.5);
            println!("time over that of the bare deed, {name}: median {median:.2} of {}", ratios.len());
        };
        ratio("all", &|_| true);
        ratio("what tells of itself", &|went| went.fault.tells());
        ratio("what only silence tells of", &|went| !went.fault.tells());
        let failed: u64 = self.errors.values().sum();
        println!(
            "requests: {} sent, {} right ({:.3} %), {} wrong, {} altered on purpose, {failed} errors {:?}",
            self.sent,
            self.right,
            100.0 * self.right as f64 / self.sent as f64,
            self.wrong,
            self.lied,
            self.errors,
        );
        let rss = self.rss_mib.iter().map(|mib| format!("{mib:.0}")).collect::<Vec<_>>().join(", ");
        println!("our own memory, MiB: {rss}");
    }

    fn row(&self, name: &str, all: &[&Went]) {
        let times = |of: fn(&Went) -> Option<f64>| all.iter().filter_map(|went| of(went)).collect::<Vec<_>>();
        let text = |values: &[f64], share| match quantile(values, share) {
            value if value.is_nan() => "-".to_owned(),
            value => format!("{value:.2}"),
        };
        let mut rungs: BTreeMap<&str, usize> = BTreeMap::new();
        for went in all {
            *rungs.entry(&went.rung).or_default() += 1;
        }
        let answers = times(|went| went.answer);
        println!(
            "| {name} | {} of {} | {} | {} | {} | {} | {} | {} | {} |",
            all.iter().filter(|went| went.failed.is_none()).count(),
            all.len(),
            text(&times(|went| went.detected), 0.5),
            text(&answers, 0.5),
            text(&answers, 0.99),
            text(&times(|went| went.whole), 0.5),
            rungs.iter().map(|(rung, count)| format!("{rung} {count}")).collect::<Vec<_>>().join(", "),
            text(&times(|went| Some(went.answer? / went.ratio()?)), 0.5),
            text(&times(Went::ratio), 0.5),
        );
    }
}

impl ChaosFault {
    /// Whether somebody says at once that something is wrong: a socket that closes, a process that ends, a page that
    /// knows. Of the others only their silence tells.
    fn tells(self) -> bool {
        !matches!(self, Self::Stop | Self::LoopPage | Self::LoopEngine | Self::Lie)
            && self.heals() != Heals::Untouched
    }
}
