//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::test::Step;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build `webnn-pool` and let it install or find browsers, drivers and the page's runtime; install PostgreSQL for the
    /// tests.
    Setup(Setup),
    /// Build the fixture models with their native references.
    Fixtures(Fixtures),
    /// Set everything up, then embed sentences on every engine that this machine has.
    Demo,
    /// Everything: checks, unit, property and doc tests, the browser-backed tests, the tests on PostgreSQL.
    Test(Test),
    /// The browser-backed tests alone.
    E2e(E2e),
    /// The server before clients that others wrote: Triton's, OpenAI's, Prometheus' parser, OpenTelemetry's schema.
    Clients(Clients),
    /// Cut every model by every strategy and have onnxruntime show that the parts together are the whole.
    Shards(Shards),
    /// A benchmark of the pool, in release mode.
    Bench(Bench),
    /// Build the archive of a release with its sums, or see whether the crates could be published.
    Release(Release),
    /// Check layers, file conventions, documentation and lock files.
    Tidy,
    /// What `.ci/run` does, with the time of each step.
    Ci,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Setup {
    /// Comma-separated browser names; without it, whatever `webnn-pool setup` takes as its default.
    #[arg(long, value_name = "LIST")]
    pub(crate) browsers: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Fixtures {
    /// Comma-separated fixture names; without it, all of them.
    #[arg(long, value_name = "LIST")]
    pub(crate) only: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Test {
    /// Only these steps, comma-separated, one after the other.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) only: Vec<Step>,
    /// We are one of several that work at the same time: everything is built, and what is left over is looked for when all
    /// have ended.
    #[arg(long, hide = true)]
    pub(crate) beside: bool,
}

#[derive(Debug, Default, Args)]
pub(crate) struct E2e {
    /// Name the browser-backed test binaries and run none.
    #[arg(long)]
    pub(crate) list: bool,
    /// Run only the binaries whose name contains this text.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// The long form: every model in every browser on every backend. Takes half an hour without a GPU.
    #[arg(long)]
    pub(crate) full: bool,
    /// Instead of the tests, inflict faults at random on browsers under load, and print how the pool recovered.
    #[arg(long, conflicts_with_all = ["list", "only", "full"])]
    pub(crate) chaos: bool,
    /// What the faults of `--chaos` and the kills of `--shard-kills` are drawn with.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) seed: u64,
    /// For how long `--chaos` goes on.
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// Only these faults of `--chaos`, comma-separated; an unknown one is answered with the list.
    #[arg(long, value_name = "LIST", requires = "chaos")]
    pub(crate) fault: Option<String>,
    /// Only these browsers in `--chaos`, comma-separated.
    #[arg(long, value_name = "LIST", requires = "chaos")]
    pub(crate) browser: Option<String>,
    /// Instead of the tests, drive pages to the end of their memory, and load and unload models again and again with and
    /// without recycling; print how many pages were relieved, and how memory grew.
    #[arg(long, conflicts_with_all = ["list", "only", "full", "chaos"])]
    pub(crate) memory: bool,
    /// Instead of the tests, kill the browser of a component in the middle of so many sharded requests of each kind, and
    /// of as many texts; print how many were right.
    #[arg(long, value_name = "N", conflicts_with_all = ["list", "only", "full", "chaos", "memory"])]
    pub(crate) shard_kills: Option<u64>,
    /// Instead of the tests, kill so many workers before the eyes of the live page, feed it a day, and take the picture of
    /// the README; print how soon each loss was shown, and what the page holds after the day.
    #[arg(long, value_name = "N", conflicts_with_all = ["list", "only", "full", "chaos", "memory", "shard_kills"])]
    pub(crate) live: Option<u64>,
    /// Instead of the tests, compare a model in every browser so many times with the first time, then once with one browser
    /// slowed down; print every alarm.
    #[arg(long, value_name = "N", conflicts_with_all = ["list", "only", "full", "chaos", "memory", "shard_kills"])]
    pub(crate) compare: Option<u32>,
    /// Instead of the tests, have so many guests join one after the other, work, and leave, be killed or lie; print how many
    /// requests were right.
    #[arg(long, value_name = "N", conflicts_with_all = ["list", "only", "full", "chaos", "memory", "shard_kills"])]
    pub(crate) guests: Option<u64>,
    /// How many pages `--memory` drives to their end.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) trials: u64,
    /// How often `--memory` loads and unloads a model.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) cycles: usize,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Clients {
    /// The long form: all backends, browsers that are killed, thousands of connections more. Takes some minutes more.
    #[arg(long)]
    pub(crate) full: bool,
    /// Run only the tests whose names fit this expression, as pytest has them.
    #[arg(long, value_name = "EXPR")]
    pub(crate) only: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Shards {
    /// 2, 3 and 5 shards instead of 2 to 8.
    #[arg(long)]
    pub(crate) sample: bool,
    /// Comma-separated names of models; without it, all of them.
    #[arg(long, value_name = "LIST")]
    pub(crate) only: Option<String>,
    /// Leave the runtime's own rewriting of graphs on, which may change the last bits.
    #[arg(long)]
    pub(crate) optimised: bool,
    /// Write the rows as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<String>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct Release {
    /// Pack the binary that the tests compiled, instead of compiling one for a release.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) debug: bool,
    /// The folder for the archive. Default: `release-archive` in cargo's target folder.
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    pub(crate) out: Option<PathBuf>,
    /// Instead of the archive: name the order in which the crates are published, and pack each as for a registry.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Compile each crate from what `--dry-run` packed.
    #[arg(long, requires = "dry_run")]
    pub(crate) verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure.
    pub(crate) what: BenchName,
    /// Write the figures as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<String>,
    /// Everything after `--` goes to the benchmark as it is.
    #[arg(last = true)]
    pub(crate) rest: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchName {
    /// Echo of tensors through the bridge against a raw WebSocket echo in the same browser.
    Transport,
    /// One hop of a tensor between pages: through the bridge, over a BroadcastChannel, over WebRTC.
    Hops,
    /// End-to-end time against in-page time, and dispatch overhead.
    Overhead,
    /// What recovery, circuit breakers and checks cost where nothing is wrong.
    Recovery,
    /// What the store of observations takes and gives.
    History,
    /// Whether everything that is durable survives `kill -9`, again and again.
    HistoryKills,
    /// Batches against none, and telemetry against none, through the whole server.
    Service,
    /// Two shards in browsers against the whole model in one: latency, throughput, memory.
    Sharding,
    /// Planning time and peak memory for a model of more than 2 GB.
    Cutting,
    /// How far each policy stays behind the best choice, in made-up worlds and in what was recorded.
    Selection,
}

impl BenchName {
    /// The package, its example that measures it, and the features that this needs.
    pub(crate) const fn example(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Transport => ("webnn-pool", "bench_transport", ""),
            Self::Hops => ("webnn-pool", "bench_hops", ""),
            Self::Overhead => ("webnn-pool", "bench_overhead", ""),
            Self::Recovery => ("webnn-pool", "bench_recovery", ""),
            Self::History => ("perf-history", "bench_history", "postgres"),
            Self::HistoryKills => ("perf-history", "kill_history", ""),
            Self::Service => ("webnn-pool", "bench_service", ""),
            Self::Sharding => ("webnn-pool", "bench_sharded", ""),
            Self::Cutting => ("sharding", "bench_cutting", ""),
            Self::Selection => ("pool-core", "bench_selection", ""),
        }
    }
}
