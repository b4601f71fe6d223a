//! Counting what a pool holds and what it leaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

/// The environment variable that browsers and drivers of a run carry.
const MARK: &[u8] = b"WEBNN_POOL_LAUNCH=";

/// Processes whose mark begins with this, with their command lines: those of one process of ours are
/// `webnn-pool-<its id>-`.
pub fn marked(prefix: &str) -> Vec<(i32, String)> {
    webnn_bridge::marked_processes(None)
        .into_iter()
        .filter_map(|id| {
            let process = PathBuf::from(format!("/proc/{id}"));
            let environment = std::fs::read(process.join("environ")).ok()?;
            let mut variables = environment.split(|&byte| byte == 0);
            let mark = variables.find_map(|variable| variable.strip_prefix(MARK))?;
            let command = std::fs::read(process.join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            mark.starts_with(prefix.as_bytes()).then_some((id, command))
        })
        .collect()
}

/// Network sockets that this process holds.
pub fn sockets() -> usize {
    let inodes: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6", "/proc/self/net/udp"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let inode = |line: &str| line.split_whitespace().nth(9).map(|inode| format!("socket:[{inode}]"));
            table.lines().skip(1).filter_map(inode).collect::<Vec<_>>()
        })
        .collect();
    let open = std::fs::read_dir("/proc/self/fd").expect("our files");
    open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter(|target| inodes.iter().any(|inode| target == Path::new(inode)))
        .count()
}

/// What is in a folder for temporary files.
#[derive(Debug)]
pub struct Kept(pub tempfile::TempDir);

impl Kept {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The names of what lies there.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("the folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

/// Waits until `done`, and says how long that took.
#[track_caller]
pub fn until<D: FnMut() -> bool>(
    what: &str,
    limit: Duration,
    mut done: D,
) -> impl Future<Output = Duration> + use<'_, D> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if done() {
                return started.elapsed();
            }
            assert!(started.elapsed() < limit, "{caller}: not within {limit:?}: {what}");
        }
    }
}

/// The same for a test without a runtime of its own.
#[track_caller]
pub fn until_now(what: &str, limit: Duration, done: impl FnMut() -> bool) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { until(what, limit, done).await })
}
