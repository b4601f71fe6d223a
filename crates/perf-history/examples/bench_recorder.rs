//! What recording costs whoever observes, how much is written, and how long a table takes:
//! `cargo run --release -p perf-history --features csv,parquet --example bench_recorder`.
//!
//! Flags: `--observations N` (default 1 million), `--json FILE`.

#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/measure.rs"]
#[allow(dead_code, reason = "each example uses a part of it")]
mod measure;

use std::fs::File;

use made_up::MadeUp;
use measure::{Failure, Table, number, quantile, timed};
use perf_history::export::{export_csv, export_parquet};
use perf_history::store::{open, open_read_only};
use perf_history::{Location, Observation, Recorder, RecorderSettings};

/// How many are recorded between two flushes: fewer than there is room for.
const ROUND: usize = 32_768;

fn main() -> Result<(), Failure> {
    let count = number("--observations", 1_000_000)?;
    let folder = tempfile::tempdir()?;
    let location = Location::Sqlite(folder.path().join("history.db"));
    let mut table = Table::default();
    table.row("an observation in memory", size_of::<Observation>() as f64, "bytes");
    record(&location, count, &mut table)?;

    let mut store = open_read_only(&location)?;
    for (name, parquet) in [("csv", false), ("parquet", true)] {
        let path = folder.path().join(name);
        let file = File::create(&path)?;
        let (rows, ms) = timed(|| match parquet {
            true => export_parquet(&mut *store, file),
            false => export_csv(&mut *store, file),
        });
        table.row(&format!("{name}, rows a second"), rows? as f64 / ms * 1e3, "1/s");
        table.row(&format!("{name}, size"), path.metadata()?.len() as f64 / f64::from(1 << 20), "MiB");
    }
    table.finish("recorder")
}

/// Records in rounds, so that nothing is lost.
fn record(location: &Location, count: usize, table: &mut Table) -> Result<(), Failure> {
    let recorder = Recorder::start(open(location)?, RecorderSettings::default())?;
    let mut source = MadeUp::new(10, 2, 50, 1);
    let (mut calls, mut total) = (Vec::new(), 0.0);
    for _ in 0..count.div_ceil(ROUND) {
        let observations = source.next(ROUND);
        let handle = recorder.handle();
        let (flushed, ms) = timed(|| {
            for few in observations.chunks(64) {
                let few = few.to_vec();
                let ((), ms) = timed(|| few.into_iter().for_each(|observation| handle.record(observation)));
                calls.push(ms * 1e6 / 64.0);
            }
            handle.flush().wait()
        });
        flushed?;
        total += ms;
    }
    let stats = recorder.shutdown()?;
    table.row("recorded and durable, a second", stats.written as f64 / total * 1e3, "1/s");
    table.row("a call, median of means of 64", quantile(&calls, 0.5), "ns");
    table.row("a call, 99th of 100 means of 64", quantile(&calls, 0.99), "ns");
    table.row("lost", stats.lost as f64, "");
    Ok(())
}
