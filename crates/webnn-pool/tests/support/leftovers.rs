//! Counting what a pool holds and what it leaves.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// Processes that belong to the runs whose mark begins with this, with their command lines: browsers and drivers carry the
/// mark in their environment, and what else serves a run names its folder. The runs of one process of ours are
/// `webnn-pool-<its id>-`.
pub fn marked(prefix: &str) -> Vec<(i32, String)> {
    living(|environment, command| {
        let marked = |variable: &[u8]| {
            variable
                .strip_prefix(b"WEBNN_POOL_LAUNCH=")
                .is_some_and(|mark| mark.starts_with(prefix.as_bytes()))
        };
        environment.split(|&byte| byte == 0).any(marked) || command.contains(prefix)
    })
}

/// Processes of one browser of a run, with the driver that started it; its page's label names it. What they started
/// counts too: Chromium's children write their title over the environment that they were given.
pub fn of_browser(mark: &str, label: &str) -> Vec<(i32, String)> {
    let wanted = [format!("WEBNN_POOL_LAUNCH={mark}"), format!("WEBNN_POOL_BROWSER={label}")];
    let mut found = living(|environment, _| {
        let has = |wanted: &String| {
            environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        wanted.iter().all(has)
    });
    let others = living(|_, _| true);
    loop {
        let known: Vec<i32> = found.iter().map(|(id, _)| *id).collect();
        let child = |(id, _): &&(i32, String)| {
            !known.contains(id) && parent(*id).is_some_and(|parent| known.contains(&parent))
        };
        let before = found.len();
        found.extend(others.iter().filter(child).cloned());
        if found.len() == before {
            return found;
        }
    }
}

/// The process that started another one.
fn parent(id: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it may hold anything, a bracket too.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn living(wanted: impl Fn(&[u8], &str) -> bool) -> Vec<(i32, String)> {
    let processes = std::fs::read_dir("/proc").expect("a Linux /proc");
    let look = |entry: std::io::Result<std::fs::DirEntry>| {
        let process = entry.ok()?.path();
        let id: i32 = process.file_name()?.to_str()?.parse().ok()?;
        // A zombie has neither: it holds nothing any more.
        let environment = std::fs::read(process.join("environ")).ok().filter(|text| !text.is_empty())?;
        let command = std::fs::read(process.join("cmdline")).ok().filter(|text| !text.is_empty())?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        wanted(&environment, &command).then_some((id, command))
    };
    processes.filter_map(look).collect()
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
