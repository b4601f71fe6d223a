//! The directory that holds everything a run leaves on disk.

use std::io;
use std::path::{Path, PathBuf};

use super::mark::kill_marked;
use super::watchdog::Watchdog;

/// Run directories begin with this; the rest is the owner's process id and a random number.
pub(super) const PREFIX: &str = "webnn-pool-";

/// The file in a run directory that says who owns it: a process id and that process's start time.
pub(super) const OWNER: &str = "owner";

/// One run's directory for profiles and other temporary files, watched over by a watchdog. Its name is the run's mark.
///
/// Dropping it kills what still carries the mark and deletes the directory.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    mark: String,
    watchdog: Option<Watchdog>,
}

impl RunDir {
    /// Makes a run directory below `parent` and starts its watchdog.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        let owner = std::process::id();
        let mark = format!("{PREFIX}{owner}-{:08x}", rand::random::<u32>());
        let path = parent.join(&mark);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        std::fs::write(path.join(OWNER), format!("{owner} {}", start_time(owner).unwrap_or_default()))?;
        let watchdog = Watchdog::start(&path, &mark)?;
        Ok(Self { path, mark, watchdog: Some(watchdog) })
    }

    /// The value of the mark that this run's processes carry.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// Makes a new directory in this one.
    pub(crate) fn subdir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        kill_marked(&self.mark, 50);
        remove_tree(&self.path);
        drop(self.watchdog.take());
    }
}

/// Deletes a tree, also when a process that is just dying still writes into it.
pub(super) fn remove_tree(path: &Path) {
    for _ in 0..20 {
        match std::fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    tracing::warn!(path = %path.display(), "could not delete a run directory; the next start tries again");
}

/// When the process started, in the kernel's ticks: together with the id it names a process for good.
pub(super) fn start_time(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // Field 22 of the whole line; `rest` begins with field 3.
    rest.split(' ').nth(19).map(str::to_owned)
}
