//! The PostgreSQL store keeps what every store promises, on a real server.

#[macro_use]
mod contract;
#[path = "support/cluster.rs"]
mod cluster;
mod support;

use perf_history::Location;

fn fresh() -> (contract::Guard, Location) {
    let database = cluster::Cluster::shared().database();
    let location = database.location();
    (Box::new(database), location)
}

contract!(fresh);
