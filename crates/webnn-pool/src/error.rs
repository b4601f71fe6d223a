//! How building a pool or reading a model can fail.

use std::io;
use std::path::PathBuf;

use vocab::{BrowserName, ModelHash};

/// Why an accelerator could not be built. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The directory for our own files cannot be named.
    #[error("the directory for webnn-pool's own files cannot be used")]
    Home(#[from] provision::HomeError),
    /// The page's runtime is missing or damaged.
    #[error("the page's runtime is not ready")]
    Runtime(#[from] provision::RuntimeError),
    /// A setting of the pool is wrong.
    #[error("a setting of the pool is wrong")]
    Config(#[from] pool_core::ConfigError),
    /// A setting of recovery is wrong.
    #[error("a setting of recovery is wrong")]
    Recovery(#[from] recovery::ConfigError),
    /// The bridge could not start.
    #[error("the page server could not start")]
    Bridge(#[from] webnn_bridge::BridgeError),
    /// A browser that was asked for is not there.
    #[error("{reason}: {hint}")]
    BrowserMissing {
        /// Which.
        name: BrowserName,
        /// Why not.
        reason: String,
        /// What helps.
        hint: String,
    },
    /// No browser was asked for and none was found.
    #[error("no browser was found on this machine: run webnn-pool setup")]
    NoBrowser,
    /// A browser that was asked for did not start.
    #[error("{name} could not be launched")]
    Launch {
        /// Which.
        name: BrowserName,
        /// Why not.
        #[source]
        source: webnn_bridge::LaunchError,
    },
    /// A browser started but offers none of the backends that were asked for.
    #[error("{name} offers none of the backends asked for: {reasons}")]
    NoBackend {
        /// Which.
        name: BrowserName,
        /// What each backend's probe said.
        reasons: String,
    },
    /// The model that guests prove themselves by cannot be read: the program is damaged.
    #[error("the model that guests prove themselves by cannot be read: {0}")]
    Golden(String),
    /// The history cannot be used.
    #[error("the history cannot be used")]
    History(#[from] HistoryError),
    /// Building was given up from inside.
    #[error("the task that launched a browser ended before it was done")]
    TaskLost,
}

/// Why a history cannot be read, written or analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The database failed or is none of ours; it was not changed.
    #[error(transparent)]
    Store(#[from] perf_history::StoreError),
    /// What was observed could not be written.
    #[error("what was observed could not be written")]
    Flush(#[from] perf_history::recorder::FlushError),
    /// The recorder could not start.
    #[error("the recorder could not start")]
    Recorder(#[from] perf_history::recorder::StartError),
    /// Reading was given up from inside.
    #[error("the task that read the history ended before it was done")]
    TaskLost,
}

/// Why a model cannot be used. No browser was bothered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A directory holds no model.
    #[error("{} holds no model: looked for {looked_for}", path.display())]
    NoModelIn {
        /// The directory.
        path: PathBuf,
        /// The names that were tried.
        looked_for: String,
    },
    /// The file is not a model that a browser could run.
    #[error("{name} is not a usable ONNX model")]
    Onnx {
        /// The model.
        name: String,
        /// What is wrong with it.
        #[source]
        source: onnx_graph::OnnxError,
    },
    /// A file that the model keeps its weights in is missing.
    #[error("{name} keeps weights in {}, which is missing", path.display())]
    ExternalMissing {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A file that the model keeps its weights in is too short.
    #[error("{name} keeps weights in {}, which has {got} bytes instead of at least {needed}", path.display())]
    ExternalShort {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its length.
        got: u64,
        /// The length that the model needs.
        needed: u64,
    },
    /// The model keeps weights in other files, but it was given as bytes or an address and so has no folder.
    #[error(
        "{name} keeps weights in {path}, which bytes and addresses have no place for: give the model as a path"
    )]
    ExternalWithoutFolder {
        /// The model.
        name: String,
        /// The first of the files.
        path: String,
    },
    /// The model has inputs or outputs that cannot be sent to a page.
    #[error("{name} has {what}")]
    Interface {
        /// The model.
        name: String,
        /// What is wrong with them.
        what: String,
    },
    /// The model cannot fit any worker.
    #[error(
        "{name} needs about {needs} bytes to load, and a worker may take {largest}: shard it, or raise the memory budget"
    )]
    TooLarge {
        /// The model.
        name: String,
        /// The estimate.
        needs: u64,
        /// The largest budget of a worker.
        largest: u64,
    },
    /// The contents do not have the hash that was asked for.
    #[error("{name} has hash {got}, not {wanted}")]
    WrongHash {
        /// The model.
        name: String,
        /// The hash that it has.
        got: ModelHash,
        /// The hash that it should have.
        wanted: ModelHash,
    },
    /// A download failed.
    #[error("could not download {url}")]
    Download {
        /// From where.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// A download is longer than a model may be.
    #[error("{url} is longer than {limit} bytes")]
    DownloadTooLong {
        /// From where.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The reading task was lost.
    #[error("the task that read the model ended before it was done")]
    TaskLost,
}
