//! The folder for work in progress of one installation.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::InstallError;
use crate::home::Home;

/// A folder of this installation's own below the home's `tmp/`; removed when dropped.
///
/// The name is new every time: a program that a killed installation had started may still be writing under the old one.
#[derive(Debug)]
pub(super) struct Scratch {
    all: PathBuf,
    own: PathBuf,
}

impl Scratch {
    /// Makes the folder, and removes what killed installations have left behind. The caller holds the lock.
    pub(super) fn make(home: &Home) -> Result<Self, InstallError> {
        let all = home.scratch();
        let unusable = |source| InstallError::HomeUnusable { path: home.scratch(), source };
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            // What cannot be removed because somebody is still writing there is removed the next time.
            let _ = std::fs::remove_dir_all(entry.path());
        }
        std::fs::create_dir_all(&all).map_err(unusable)?;
        for number in 0_u32.. {
            let own = all.join(format!("{}-{number}", std::process::id()));
            match std::fs::create_dir(&own) {
                Ok(()) => return Ok(Self { all, own }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unusable(error)),
            }
        }
        Err(unusable(ErrorKind::AlreadyExists.into()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.own
    }

    /// Removes what one item has left; the packages as they were fetched are large, and of no use to the next one.
    pub(super) fn clear(&self) {
        // What cannot be removed now is removed by the next installation.
        let _ = std::fs::remove_dir_all(&self.own);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
        // This fails where a killed installation's folder is still there, which is fine.
        let _ = std::fs::remove_dir(&self.all);
    }
}
