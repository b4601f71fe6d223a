//! The stamp that makes a folder of ours count as installed.
//!
//! The stamp is written last, into a folder that is then renamed into place. So a folder without a stamp, or whose
//! files differ from it, is a broken or half-made one and never counts.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The stamp's file name in the folder that it vouches for.
const FILE: &str = "stamp.json";

/// What was installed into a folder: a version, and every file with its length and SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    version: String,
    files: Vec<StampedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StampedFile {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Why a folder does not count as installed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StampError {
    /// The stamp is missing or cannot be read.
    #[error("its stamp {} cannot be read", path.display())]
    Unreadable {
        /// Where the stamp should be.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The stamp is not one of ours.
    #[error("its stamp {} is damaged", path.display())]
    Damaged {
        /// Where the stamp is.
        path: PathBuf,
        /// What is wrong with its JSON.
        #[source]
        source: serde_json::Error,
    },
    /// The stamp is for another version than the folder's name says.
    #[error("its stamp is for version {found}, not {expected}")]
    OtherVersion {
        /// What the stamp says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A file is missing, or cannot be read.
    #[error("its file {name} cannot be read")]
    FileUnreadable {
        /// The file's name.
        name: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file differs from what was installed.
    #[error("its file {name} was changed since it was installed")]
    FileChanged {
        /// The file's name.
        name: String,
    },
}

impl Stamp {
    /// Describes every file that lies in the folder now.
    pub(crate) fn describe(folder: &Path, version: &str) -> std::io::Result<Self> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != FILE {
                files.push(StampedFile {
                    name,
                    bytes: entry.metadata()?.len(),
                    sha256: sha256_of(&entry.path())?,
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { version: version.to_owned(), files })
    }

    /// Writes the stamp into the folder, down to the disk.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let file = File::create(folder.join(FILE))?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()
    }

    /// Checks the stamp's version and every file's length; quick enough for every start.
    pub(crate) fn check(folder: &Path, version: &str) -> Result<Self, StampError> {
        let stamp = Self::read(folder, version)?;
        for file in &stamp.files {
            let unreadable = |source| StampError::FileUnreadable { name: file.name.clone(), source };
            let metadata = std::fs::metadata(folder.join(&file.name)).map_err(unreadable)?;
            if metadata.len() != file.bytes {
                return Err(StampError::FileChanged { name: file.name.clone() });
            }
        }
        Ok(stamp)
    }

    /// Checks every file's contents too.
    pub(crate) fn verify(folder: &Path, version: &str) -> Result<Self, StampError> {
        let stamp = Self::check(folder, version)?;
        for file in &stamp.files {
            let unreadable = |source| StampError::FileUnreadable { name: file.name.clone(), source };
            if sha256_of(&folder.join(&file.name)).map_err(unreadable)? != file.sha256 {
                return Err(StampError::FileChanged { name: file.name.clone() });
            }
        }
        Ok(stamp)
    }

    fn read(folder: &Path, version: &str) -> Result<Self, StampError> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(StampError::Unreadable { path, source }),
        };
        let stamp: Self = match serde_json::from_str(&text) {
            Ok(stamp) => stamp,
            Err(source) => return Err(StampError::Damaged { path, source }),
        };
        if stamp.version != version {
            return Err(StampError::OtherVersion { found: stamp.version, expected: version.to_owned() });
        }
        Ok(stamp)
    }

    /// The names of the files, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
