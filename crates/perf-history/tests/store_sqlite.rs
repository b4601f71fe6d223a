//! The SQLite store keeps what every store promises.

#[macro_use]
mod contract;
mod support;

use perf_history::Location;

fn fresh() -> (contract::Guard, Location) {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::Sqlite(folder.path().join("history.db"));
    (Box::new(folder), location)
}

contract!(fresh);
