//! Putting a finished folder into its place, all at once.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Work;
use super::error::PartError;
use crate::stamp::Stamp;

/// Turns an I/O error into one that names the file.
pub(super) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> PartError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => PartError::NoSpaceFor { path, source },
        _ => PartError::File { path, source },
    }
}

impl Work<'_> {
    /// An empty folder in which something is put together; it lies on the same file system as its final place.
    pub(super) fn staging(&self, name: &str) -> Result<PathBuf, PartError> {
        let folder = self.scratch.folder().join(format!("staging-{name}"));
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(folder)
    }

    /// Stamps the folder and moves it to its place; what was there before goes away.
    ///
    /// A folder is renamed as a whole, so that no reader ever sees half of one. Between the two renames there is
    /// nothing at the place, which reads as "not installed".
    pub(super) fn publish(&self, staging: &Path, place: &Path, version: &str) -> Result<(), PartError> {
        let stamp = Stamp::describe(staging, version).map_err(at(staging))?;
        stamp.write(staging).map_err(at(staging))?;
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        if place.exists() {
            let old = staging.with_extension("replaced");
            std::fs::rename(place, &old).map_err(at(place))?;
        }
        std::fs::rename(staging, place).map_err(at(place))
    }
}
