//! The command line: one module a verb.
//!
//! With `--json`, standard output holds that JSON alone; progress and logs go to standard error. Exit status: 0 worked;
//! 1 the work failed, with one message on standard error; 2 the command line was wrong.

mod ask;
mod browsers;
mod compare;
mod completions;
#[cfg(test)]
mod documented;
mod invite;
mod man;
mod out;
mod read;
mod run;
mod serve;
mod setup;
mod shard;
mod summary;
mod telemetry;
mod trends;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use vocab::DeviceKind;

/// A pool of real browsers used as machine-learning workers.
#[derive(Debug, Parser)]
#[command(name = "webnn-pool", version, long_version = version::long(), about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install or find browsers, drivers and the page's runtime; says what it does.
    Setup(setup::Args),
    /// What is installed, what was executed successfully in each browser, and why not.
    Browsers(browsers::Args),
    /// Run a model once, or several times, and print where it ran and what it gave.
    Run(run::Args),
    /// Run a model on every browser and backend of this machine: numbers, times, memory, as a table, JSON, JUnit and a page.
    Compare(Box<compare::Args>),
    /// Cut a model into parts that hold only their own weights, and say what that costs. Needs no browser.
    Shard(shard::Args),
    /// Serve models over HTTP and gRPC: the Open Inference Protocol and OpenAI's routes.
    Serve(serve::Args),
    /// Give out a code that lets a browser join a server's pool as a guest.
    Invite(invite::Args),
    /// What a server has there and what happened in it.
    Telemetry(telemetry::Args),
    /// What follows from the history: the best browser for each type of model, trends, regressions, recommendations.
    Trends(trends::Args),
    /// Write the completions of a shell to standard output.
    Completions(completions::Args),
    /// Write the manual: the page of the command to standard output, or every page into a folder.
    Man(man::Args),
}

/// Why a verb failed: one message for the user.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    // Errors are shown, and a history that could not be kept; more on request. Standard error, so that standard output
    // stays what was asked for.
    let filter = EnvFilter::try_from_env("WEBNN_POOL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("error,webnn_pool::history=warn,webnn_pool::service=info"));
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let done = runtime.block_on(async {
        // A server goes down in order when it is told to.
        if let Verb::Serve(args) = cli.verb {
            return serve::run(args).await;
        }
        let work = async {
            match cli.verb {
                Verb::Serve(args) => serve::run(args).await,
                Verb::Invite(args) => invite::run(args).await,
                Verb::Telemetry(args) => telemetry::run(args).await,
                Verb::Setup(args) => setup::run(args).await,
                Verb::Browsers(args) => browsers::run(args).await,
                Verb::Run(args) => run::run(args).await,
                Verb::Compare(args) => compare::run(*args).await,
                Verb::Shard(args) => shard::run(args).await,
                Verb::Trends(args) => trends::run(args).await,
                Verb::Completions(args) => completions::run(&args),
                Verb::Man(args) => man::run(&args),
            }
        };
        // An interrupt drops the work, which kills what it had started.
        tokio::select! {
            done = work => done,
            signal = interrupted() => Err(signal),
        }
    });
    // Whatever blocking work is still going on belongs to a verb that has been given up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.as_ref()),
    }
}

fn parse_device(text: &str) -> Result<DeviceKind, String> {
    match DeviceKind::from(text) {
        DeviceKind::Unknown(_) => Err("expected cpu, gpu or npu".to_owned()),
        known => Ok(known),
    }
}

/// Resolves when the user or the system asks us to stop.
async fn interrupted() -> Failure {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => "interrupted".into(),
            _ = terminate.recv() => "terminated".into(),
            _ = hangup.recv() => "hung up".into(),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
        "interrupted".into()
    }
}

/// Prints an error with its causes on one line.
fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    // A page passes on what its runtime said, which may go over several lines.
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    out::note(&format!("error: {}", lines.join(" ")));
    ExitCode::FAILURE
}
