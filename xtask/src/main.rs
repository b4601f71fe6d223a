//! The project's own commands, `cargo xtask <verb>`: one file a verb, and this `main` is a match over them.
//!
//! It uses nothing of ours, so that it compiles first and can say what is missing when nothing else compiles.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the developer's terminal is what it is for"
)]

mod bench;
mod checks;
mod ci;
mod clients;
mod compile;
mod demo;
mod e2e;
mod examples;
mod fixtures;
mod flags;
mod home;
mod leftovers;
mod metadata;
mod page_check;
mod postgres;
mod python;
mod release;
mod setup;
mod sh;
mod shards;
mod system;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser as _;
use flags::{Flags, Verb};

fn main() -> ExitCode {
    let done = match Flags::parse().verb {
        Verb::Setup(flags) => setup::all(&flags),
        Verb::Fixtures(flags) => fixtures::run(&flags),
        Verb::Demo => demo::run(),
        Verb::Test(flags) => test::run(&flags),
        Verb::E2e(flags) => e2e::run(&flags),
        Verb::Clients(flags) => clients::run(&flags),
        Verb::Shards(flags) => shards::run(&flags),
        Verb::Bench(flags) => bench::run(&flags),
        Verb::Release(flags) => release::run(&flags),
        Verb::Tidy => tidy::run(),
        Verb::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<sh::Reported>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
