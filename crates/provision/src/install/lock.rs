//! The lock that keeps two installations apart.

use std::fs::{File, OpenOptions, TryLockError};

use super::error::InstallError;
use super::event::Event;
use crate::home::Home;

/// Held for as long as an installation goes on; the operating system lets go of it when the process ends, however it
/// ends.
#[derive(Debug)]
pub(super) struct InstallLock {
    _file: File,
}

impl InstallLock {
    /// Makes the home folder where it is missing, and takes the lock.
    pub(super) fn acquire(home: &Home, tell: &mut dyn FnMut(&Event<'_>)) -> Result<Self, InstallError> {
        let unusable = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| InstallError::HomeUnusable { path, source }
        };
        std::fs::create_dir_all(home.root()).map_err(unusable(home.root()))?;
        let path = home.lock_file();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(unusable(&path))?;
        let failed = |source| InstallError::LockFailed { path: path.clone(), source };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tell(&Event::Waiting { lock: &path });
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Self { _file: file })
    }
}
