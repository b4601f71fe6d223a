//! Kills a process that ingests, again and again, and checks after each kill that everything is there which it was told
//! is durable: `cargo xtask bench history-kills` runs it.
//!
//! First on one file that keeps everything; then on one from which old observations are dropped all the time; then on
//! files that are just being made.
//!
//! Flags: `--kills N` (default 100, for the first part; the others are a quarter of it each), `--seed N` (default 1),
//! `--json FILE`.

#[path = "support/kills.rs"]
mod kills;
#[path = "support/measure.rs"]
#[allow(dead_code, reason = "each example uses a part of it")]
mod measure;

use std::process::Command;

use kills::{Failure, Figures, Order, Victim};
use measure::{Table, number, timed};

fn main() -> Result<(), Failure> {
    if let Some(order) = Order::given()? {
        return order.ingest();
    }
    let (kills, seed) = (number("--kills", 100)?, number("--seed", 1)? as u64);
    let folder = tempfile::tempdir()?;
    let again = || Ok(Command::new(std::env::current_exe()?));
    let mut table = Table::default();
    for (name, compact, kills) in [("one file", false, kills), ("one file, dropping", true, kills / 4)] {
        let path = folder.path().join(if compact { "dropping.db" } else { "history.db" });
        let mut victim = Victim::new(&again, path, compact, seed);
        let (done, ms) = timed(|| (0..kills).try_for_each(|_| victim.kill_at_random()));
        done?;
        show(name, victim.figures, &mut table);
        table.row("  time", ms / 1e3, "s");
    }
    let mut figures = Figures::default();
    for file in 0..kills / 4 {
        let path = folder.path().join(format!("new-{file}.db"));
        let mut victim = Victim::new(&again, path, false, seed + file as u64);
        victim.kill(None)?;
        figures.kills += 1;
        figures.opening += victim.figures.opening;
        victim.kill(Some(1))?;
    }
    table.row("new files, kills while they were made", figures.kills as f64, "");
    table.row("  before they were open", figures.opening as f64, "");
    table.finish("history-kills")
}

fn show(name: &str, figures: Figures, table: &mut Table) {
    let Figures { kills, opening, acknowledgements, written, unsaid } = figures;
    table.row(&format!("{name}, kills"), kills as f64, "");
    table.row("  before it was open", opening as f64, "");
    table.row("  acknowledgements", acknowledgements as f64, "");
    table.row("  observations, each there once and in order", written as f64, "");
    table.row("  of which nobody was told yet", unsaid as f64, "");
}
