//! What a recorder says is durable survives `kill -9`: a sample of what `cargo xtask bench history-kills` does at length.
//!
//! The process that is killed is this binary, running the same test with an order in its environment.

#[path = "../examples/support/kills.rs"]
mod kills;

use std::process::Command;

use kills::{Order, Victim};

#[track_caller]
fn check(name: &str, compact: bool, kills: usize) {
    if let Some(order) = Order::given().expect("it makes sense") {
        let error = order.ingest().expect_err("it does not end");
        panic!("{error}");
    }
    let again = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        Ok(command)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut victim = Victim::new(&again, folder.path().join("history.db"), compact, 7);
    victim.kill(None).expect("it is whole after a kill while it was made");
    for _ in 0..kills {
        victim.kill_at_random().expect("everything is there");
    }
    victim.kill(Some(3)).expect("everything is there");
    let figures = victim.figures;
    assert!(
        figures.kills == kills as u64 + 2 && figures.written > 0 && figures.acknowledgements >= 3,
        "{figures:?}"
    );
}

#[test]
fn what_is_durable_survives_kills() {
    check("what_is_durable_survives_kills", false, 8);
}

#[test]
fn kills_while_old_ones_are_dropped_cost_nothing() {
    check("kills_while_old_ones_are_dropped_cost_nothing", true, 4);
}
