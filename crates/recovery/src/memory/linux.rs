//! Reads the kernel's files. It only reads, and a file that is not there is no error.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::parse::{parse_bytes, parse_cgroup_path, parse_counter, parse_kilobytes, parse_stall};
use super::{MemoryReading, ParseError, Use};

/// Why memory could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A file is there but could not be read.
    #[error("could not read {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else than expected.
    #[error("could not understand {}", path.display())]
    Parse {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
}

/// Where the kernel's files about memory are.
///
/// Reading takes some tens of microseconds and may block for as long as the kernel makes it, so it belongs on a thread
/// that may block. Elsewhere than on Linux the files do not exist, and a reading is empty.
#[derive(Debug, Clone)]
pub struct LinuxMemory {
    proc: PathBuf,
    cgroup: PathBuf,
}

impl Default for LinuxMemory {
    fn default() -> Self {
        Self::new("/proc", "/sys/fs/cgroup")
    }
}

impl LinuxMemory {
    /// Reads below these two folders, which are `/proc` and `/sys/fs/cgroup` on a real system.
    pub fn new(proc: impl Into<PathBuf>, cgroup: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into(), cgroup: cgroup.into() }
    }

    /// What the kernel tells of the machine and of our control group. Pages and processes are the caller's to add.
    ///
    /// # Errors
    /// [`ReadError`] if a file is there and cannot be read or understood.
    pub fn read(&self) -> Result<MemoryReading, ReadError> {
        let stall = parsed(&self.proc.join("pressure/memory"), parse_stall)?;
        Ok(MemoryReading {
            stall_some: stall.map(|stall| stall.some),
            stall_full: stall.and_then(|stall| stall.full),
            cgroup: self.cgroup()?,
            system: self.system()?,
            ..MemoryReading::default()
        })
    }

    /// The resident memory of these processes in bytes; those that are gone count nothing.
    ///
    /// Pages that they share count once for each, so it is an upper bound.
    ///
    /// # Errors
    /// [`ReadError`] if a file is there and cannot be read or understood.
    pub fn resident(&self, pids: &[u32]) -> Result<u64, ReadError> {
        let mut sum = 0_u64;
        for pid in pids {
            let path = self.proc.join(pid.to_string()).join("status");
            let bytes = parsed(&path, |text| parse_kilobytes(text, "VmRSS"))?.flatten();
            sum = sum.saturating_add(bytes.unwrap_or(0));
        }
        Ok(sum)
    }

    fn system(&self) -> Result<Option<Use>, ReadError> {
        let fields =
            |text: &str| Ok((parse_kilobytes(text, "MemTotal")?, parse_kilobytes(text, "MemAvailable")?));
        let fields = parsed(&self.proc.join("meminfo"), fields)?;
        let Some((Some(limit), Some(available))) = fields else { return Ok(None) };
        Ok(Some(Use { used: limit.saturating_sub(available), limit }))
    }

    /// Our control group, or the nearest one above it that has a limit.
    fn cgroup(&self) -> Result<Option<Use>, ReadError> {
        let Some(text) = text(&self.proc.join("self/cgroup"))? else { return Ok(None) };
        let Some((path, second)) = parse_cgroup_path(&text) else { return Ok(None) };
        let (root, used, limit, cache) = if second {
            (self.cgroup.clone(), "memory.current", "memory.max", "inactive_file")
        } else {
            let root = self.cgroup.join("memory");
            (root, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
        };
        let mut below = Path::new(path.trim_start_matches('/'));
        if below.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            // A group outside of what this container sees; its own root is the nearest one.
            below = Path::new("");
        }
        loop {
            let group = root.join(below);
            let found = (parsed(&group.join(used), parse_bytes)?, parsed(&group.join(limit), parse_bytes)?);
            if let (Some(Some(used)), Some(Some(limit))) = found {
                let cache = parsed(&group.join("memory.stat"), |text| parse_counter(text, cache))?;
                let cache = cache.flatten().unwrap_or(0);
                return Ok(Some(Use { used: used.saturating_sub(cache), limit }));
            }
            match below.parent() {
                Some(parent) => below = parent,
                None => return Ok(None),
            }
        }
    }
}

/// The text of a file; `None` where there is none, or none any more.
fn text(path: &Path) -> Result<Option<String>, ReadError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        // A kernel that can tell pressure but was told not to answers that the operation is not supported.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::Unsupported
            ) =>
        {
            Ok(None)
        }
        // The process ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(3) => Ok(None),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
    }
}

fn parsed<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, ParseError>) -> Result<Option<T>, ReadError> {
    let Some(text) = text(path)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|source| ReadError::Parse { path: path.to_owned(), source })
}
