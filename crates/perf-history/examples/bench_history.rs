//! What a store of observations takes and gives: `cargo xtask bench history` runs it.
//!
//! First, how many observations a second are durable while two readers never pause; then, how long the roll-ups take
//! to read when there have been very many, and how long it takes to analyse them.
//!
//! Flags: `--observations N` (default 10 million, for the second part), `--ingest N` (default 1 million, for the
//! first), `--batch N` (default 2 048), `--folder DIR` for the files (default: the system's for temporary ones),
//! `--postgres ADDRESS` for another database than an SQLite file, which must have no history yet, `--json FILE`.

#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/measure.rs"]
mod measure;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use made_up::MadeUp;
use measure::{Failure, Table, flag, number, quantile, timed};
use perf_history::analysis::{AnalysisSettings, Analyzer};
use perf_history::store::{open, open_read_only};
use perf_history::{HistoryStore, Location, Query, Retention, UnixMillis};

fn main() -> Result<(), Failure> {
    let batch = number("--batch", 2_048)?;
    let (ingest_count, count) = (number("--ingest", 1_000_000)?, number("--observations", 10_000_000)?);
    let mut table = Table::default();
    match flag("--postgres") {
        Some(address) => {
            let location = address.parse()?;
            ingest(&location, ingest_count, batch, &mut table)?;
            large(&location, count, batch, &mut table)?;
        }
        None => {
            let folder = match flag("--folder") {
                Some(folder) => tempfile::tempdir_in(folder)?,
                None => tempfile::tempdir()?,
            };
            for (name, part) in [("ingest.db", ingest as Part), ("large.db", large)] {
                let path = folder.path().join(name);
                let many = if name == "ingest.db" { ingest_count } else { count };
                part(&Location::Sqlite(path.clone()), many, batch, &mut table)?;
                table.row(&format!("size of {name}"), size(&path)? as f64 / f64::from(1 << 20), "MiB");
            }
        }
    }
    table.finish("history")
}

type Part = fn(&Location, usize, usize, &mut Table) -> Result<(), Failure>;

fn size(path: &Path) -> Result<u64, Failure> {
    Ok(path.metadata()?.len())
}

/// Appends to 1 000 series while one reader reads all roll-ups again and again, and another the latest observations.
fn ingest(location: &Location, count: usize, batch: usize, table: &mut Table) -> Result<(), Failure> {
    let mut store = open(location)?;
    let mut source = MadeUp::new(10, 2, 50, 1);
    let done = AtomicBool::new(false);
    let read = |latest: bool| -> Result<Vec<f64>, Failure> {
        let mut reader = open_read_only(location)?;
        let mut times = Vec::new();
        while !done.load(Relaxed) && flag("--no-readers").is_none() {
            let (read, ms) = timed(|| match latest {
                true => reader.observations(&Query::Latest { each: 100, since: None }).map(|rows| rows.len()),
                false => reader.rollups(None).map(|rows| rows.len()),
            });
            read?;
            times.push(ms);
        }
        Ok(times)
    };
    let mut times = Vec::new();
    let (rollups, latest, appended) = std::thread::scope(|scope| {
        let read = &read;
        let readers = [false, true].map(|latest| scope.spawn(move || read(latest)));
        let mut append = || -> Result<f64, Failure> {
            let (added, ms) = timed(|| -> Result<(), Failure> {
                for _ in 0..count.div_ceil(batch) {
                    let observations = source.next(batch);
                    let (added, ms) = timed(|| store.append(&observations));
                    added?;
                    times.push(ms);
                }
                Ok(())
            });
            added.map(|()| ms)
        };
        let appended = append();
        done.store(true, Relaxed);
        let [rollups, latest] = readers.map(|reader| reader.join());
        (rollups, latest, appended)
    });
    let ms = appended?;
    let reader = |joined: std::thread::Result<Result<Vec<f64>, Failure>>| {
        joined.map_err(|_| Failure::from("a reader panicked")).and_then(|times| times)
    };
    let (rollups, latest) = (reader(rollups)?, reader(latest)?);
    table.row("durable observations a second, two readers", (times.len() * batch) as f64 / ms * 1e3, "1/s");
    table.row("a batch, median", quantile(&times, 0.5), "ms");
    table.row("a batch, 99th of 100", quantile(&times, 0.99), "ms");
    table.row("  roll-ups read meanwhile", rollups.len() as f64, "times");
    table.row("  latest observations read meanwhile", latest.len() as f64, "times");
    Ok(())
}

/// Appends observations of 90 days on 500 series, and reads the roll-ups.
fn large(location: &Location, count: usize, batch: usize, table: &mut Table) -> Result<(), Failure> {
    const DAYS: i64 = 90;
    let mut store = open(location)?;
    let step = (DAYS * 86_400_000 / count.max(1) as i64).max(1);
    let mut source = MadeUp::new(10, 1, 50, step);
    let (filled, ms) = timed(|| -> Result<(), Failure> {
        for _ in 0..count.div_ceil(batch) {
            store.append(&source.next(batch))?;
        }
        Ok(())
    });
    filled?;
    let count = count.div_ceil(batch) * batch;
    table.row(&format!("{count} observations in 90 days, a second"), count as f64 / ms * 1e3, "1/s");
    read_rollups(location, "before a compaction", None, table)?;
    read_rollups(location, "of 30 days", Some(UnixMillis(source.at - 30 * 86_400_000)), table)?;
    read_rollups(location, "of the last week", Some(UnixMillis(source.at - 7 * 86_400_000)), table)?;
    let (rows, ms) =
        timed(|| open_read_only(location)?.observations(&Query::Latest { each: 100, since: None }));
    table.row(&format!("{} latest observations", rows?.len()), ms, "ms");

    let (dropped, ms) = timed(|| compact(&mut *store, UnixMillis(source.at)));
    let (dropped, slowest) = dropped?;
    table.row(&format!("dropping {dropped} rows"), ms, "ms");
    table.row("  slowest call of that", slowest, "ms");
    read_rollups(location, "after it", None, table)
}

fn read_rollups(
    location: &Location,
    when: &str,
    since: Option<UnixMillis>,
    table: &mut Table,
) -> Result<(), Failure> {
    let mut reader = open_read_only(location)?;
    let (rows, ms) = timed(|| reader.rollups(since));
    table.row(&format!("{} roll-ups {when}", rows?.len()), ms, "ms");
    analyze(location, when, since, table)
}

/// A query for trends and recommendations, from the file to the answer; the median of five.
fn analyze(
    location: &Location,
    when: &str,
    since: Option<UnixMillis>,
    table: &mut Table,
) -> Result<(), Failure> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        let mut reader = open_read_only(location)?;
        let mut analyzer = Analyzer::new(AnalysisSettings::default());
        let (read, reading) = timed(|| reader.visit_rollups(since, &mut |rollup| analyzer.add(rollup)));
        read?;
        let (analysis, concluding) = timed(|| analyzer.finish(UnixMillis::default()));
        if analysis.trends.tested == 0 {
            return Err("there was nothing to analyse".into());
        }
        times[0].push(reading + concluding);
        times[1].push(concluding);
    }
    table.row(&format!("  analysed {when}, reading included"), quantile(&times[0], 0.5), "ms");
    table.row("    of that, drawing conclusions", quantile(&times[1], 0.5), "ms");
    Ok(())
}

fn compact(store: &mut dyn HistoryStore, now: UnixMillis) -> Result<(u64, f64), Failure> {
    let (mut rows, mut slowest) = (0, 0_f64);
    loop {
        let (dropped, ms) = timed(|| store.compact(now, &Retention::default()));
        let dropped = dropped?;
        rows += dropped.observations + dropped.hours + dropped.days;
        slowest = slowest.max(ms);
        if !dropped.more {
            return Ok((rows, slowest));
        }
    }
}
