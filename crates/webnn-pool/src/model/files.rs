//! Where a model's files are, and what they hash to.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pool_core::{ModelFile, ModelSource};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use vocab::{ModelHash, ModelType};

use super::family::family_by_name;
use crate::error::ModelError;

/// Where a directory may hold its model, in the order in which it is looked for.
const CANDIDATES: &[&str] = &["model.onnx", "onnx/model.onnx", "1/model.onnx"];

/// Bytes of a `config.json` that are read at most.
const CONFIG_LIMIT: u64 = 1 << 20;

/// What a Hugging Face `config.json` says that we use.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HubConfig {
    pub(super) model_type: Option<String>,
    #[serde(default)]
    pub(super) architectures: Vec<String>,
}

impl HubConfig {
    /// Reads the `config.json` of a directory; without one, or with an unreadable one, nothing is known.
    pub(super) fn beside(directory: &Path) -> Self {
        let path = directory.join("config.json");
        // Anything else than a small plain file is no configuration, and might never end.
        let plain =
            std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= CONFIG_LIMIT);
        plain
            .then(|| std::fs::read(path).ok())
            .flatten()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default()
    }

    /// The family that the configuration names. An encoder without a head may embed or classify: the graph knows better.
    pub(super) fn family(&self) -> Option<ModelType> {
        let named = self.model_type.iter().chain(&self.architectures);
        named.filter_map(|name| family_by_name(name)).find(|family| *family != ModelType::Text)
    }
}

/// A place on disk: the ONNX file, and the directory that names and describes it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) onnx: PathBuf,
    pub(super) described_in: PathBuf,
    pub(super) stem: String,
}

/// A model on disk that is not read as a whole.
#[derive(Debug)]
pub(crate) struct Located {
    /// The ONNX file.
    pub(crate) onnx: PathBuf,
    /// What the model is called.
    pub(crate) name: String,
}

impl Located {
    /// Finds the model in a path that may be a file or a directory.
    pub(crate) fn find(path: &Path) -> Result<Self, ModelError> {
        let Place { onnx, stem, .. } = locate(path)?;
        Ok(Self { onnx, name: stem })
    }
}

/// The ONNX file of a model in a path that may be that file, or a directory that holds it: `model.onnx`, or the Hugging
/// Face layout.
///
/// # Errors
/// There is none.
pub fn locate_model(path: &Path) -> Result<PathBuf, ModelError> {
    Ok(Located::find(path)?.onnx)
}

/// Finds the model in a path that may be a file or a directory.
pub(super) fn locate(path: &Path) -> Result<Place, ModelError> {
    let metadata =
        std::fs::metadata(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    if !metadata.is_dir() {
        let described_in = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let stem = name_of(path.file_stem());
        // `minilm/model.onnx` is called minilm.
        let stem = if stem == "model" { name_of(described_in.file_name()) } else { stem };
        let stem = if stem.is_empty() { "model".to_owned() } else { stem };
        return Ok(Place { onnx: path.to_owned(), described_in, stem });
    }
    let onnx = CANDIDATES.iter().map(|name| path.join(name)).find(|candidate| candidate.is_file());
    let Some(onnx) = onnx else {
        return Err(ModelError::NoModelIn { path: path.to_owned(), looked_for: CANDIDATES.join(", ") });
    };
    // `.` and `..` have no name of their own.
    let named = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Ok(Place { onnx, described_in: path.to_owned(), stem: name_of(named.file_name()) })
}

fn name_of(part: Option<&std::ffi::OsStr>) -> String {
    part.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The SHA-256 of some bytes.
pub(super) fn hash_bytes(bytes: &[u8]) -> ModelHash {
    ModelHash(Sha256::digest(bytes).into())
}

/// Hashes a file piece by piece, whatever its length.
pub(super) fn hash_file(path: &Path) -> io::Result<(ModelHash, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((ModelHash(hasher.finalize().into()), length));
        }
        hasher.update(&piece[..read]);
        length += read as u64;
    }
}

/// The files that a model keeps weights in: first all are looked at, then hashed, so that a missing one is found before
/// gigabytes are read.
pub(super) fn external_files(
    name: &str,
    directory: &Path,
    wanted: &[onnx_graph::ExternalFile],
    budget: u64,
) -> Result<Vec<ModelFile>, ModelError> {
    let mut whole = 0_u64;
    for file in wanted {
        let path = directory.join(&file.path);
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ModelError::ExternalMissing { name: name.to_owned(), path });
            }
            Err(source) => return Err(ModelError::Read { path, source }),
            Ok(metadata) if metadata.len() < file.min_bytes => {
                let (got, needed) = (metadata.len(), file.min_bytes);
                return Err(ModelError::ExternalShort { name: name.to_owned(), path, got, needed });
            }
            Ok(metadata) => whole = whole.saturating_add(metadata.len()),
        }
    }
    // A page fetches whole files, whatever the model uses of them.
    if whole > budget {
        return Err(ModelError::TooLarge { name: name.to_owned(), needs: whole, largest: budget });
    }
    let read = |file: &onnx_graph::ExternalFile| {
        let path = directory.join(&file.path);
        let (hash, bytes) =
            hash_file(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
        Ok(ModelFile { path: file.path.clone(), hash, bytes, source: ModelSource::Path(path) })
    };
    wanted.iter().map(read).collect()
}
