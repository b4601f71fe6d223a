//! The directory that holds everything a run leaves on disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::mark::{BROWSER_MARK, MARK, Marked};
use super::watchdog::Watchdog;

/// Run directories begin with this; the rest is the owner's process id and a random number.
pub(super) const PREFIX: &str = "webnn-pool-";

/// The file in a run directory that its owner keeps locked. The kernel lets go of the lock when the owner ends, however
/// it ends, and shows it to every container that shares the directory, which a process id would not.
pub(super) const OWNER: &str = "owner";

/// One run's directory for profiles and other temporary files, watched over by a watchdog. Its name is the run's mark.
///
/// Dropping it kills what still carries the mark and deletes the directory.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    mark: String,
    watchdog: Option<Watchdog>,
    /// Held, not read: see [`OWNER`].
    _owner: File,
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
        let mut lock = File::create_new(path.join(OWNER))?;
        lock.lock()?;
        // A directory whose owner file is still empty is only just being made, and nobody reaps it.
        lock.write_all(owner.to_string().as_bytes())?;
        let watchdog = Watchdog::start(&path, &mark)?;
        Ok(Self { path, mark, watchdog: Some(watchdog), _owner: lock })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of the mark that this run's processes carry.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The environment by which the run's processes are known.
    pub(crate) fn marks(&self) -> [(&'static str, &str); 1] {
        [(MARK, &self.mark)]
    }

    /// Makes the place of one browser: a directory of its own, and a name that its processes carry besides the mark.
    pub(crate) fn browser(&self, label: &str) -> io::Result<BrowserPlace> {
        let path = self.subdir(label)?;
        Ok(BrowserPlace { run: self.mark.clone(), label: label.to_owned(), path: Some(path) })
    }

    /// Makes a new directory in this one.
    fn subdir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        Marked { run: Some(&self.mark), browser: None }.end();
        remove_tree(&self.path);
        drop(self.watchdog.take());
    }
}

/// Where one browser lives: its directory, and its share of the run's processes.
///
/// Dropping it kills what is left of the browser (some processes leave their driver's group) and deletes the directory,
/// on a thread of its own, because both take a moment.
#[derive(Debug)]
pub(crate) struct BrowserPlace {
    run: String,
    label: String,
    path: Option<PathBuf>,
}

impl BrowserPlace {
    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or_else(|| Path::new(""))
    }

    /// The environment by which the browser's processes are known.
    pub(crate) fn marks(&self) -> [(&'static str, &str); 2] {
        [(MARK, &self.run), (BROWSER_MARK, &self.label)]
    }

    /// Does what dropping does, and waits until it is done.
    pub(crate) async fn clear(mut self) {
        if let Some(path) = self.path.take() {
            let (run, label) = (self.run.clone(), self.label.clone());
            let _ = tokio::task::spawn_blocking(move || clear(&run, &label, &path)).await;
        }
    }
}

impl Drop for BrowserPlace {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let (run, label) = (std::mem::take(&mut self.run), std::mem::take(&mut self.label));
            std::thread::spawn(move || clear(&run, &label, &path));
        }
    }
}

fn clear(run: &str, label: &str, path: &Path) {
    Marked { run: Some(run), browser: Some(label) }.kill();
    remove_tree(path);
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
