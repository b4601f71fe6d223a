//! Models on disk, of which only the structure is held in memory.
//!
//! Weights are read at the place where they lie and when they are written somewhere else. Mapping the file would do
//! the same job, but needs `unsafe`, and a file that is cut off while it is mapped kills the process instead of giving
//! an error.

pub(crate) mod skim;
pub(crate) mod wire;

mod error;
mod inline;

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use onnx_graph::proto::{DataLocation, TensorProto};
use onnx_graph::{Model, OnnxError};

pub use error::ReadError;
use skim::{SELF, SkimError, skim};

/// A file that is no model is read whole, to say what is wrong with it, up to this size.
const EXPLAIN: u64 = 64 << 20;

/// Nodes that a model may have: some ten times what the largest exports have. Planning looks at pairs of places in some cases, so that
/// more would take minutes.
const MAX_NODES: usize = 100_000;

/// An ONNX model on disk: its structure in memory, its weights where they are.
#[derive(Debug, Clone)]
pub struct ModelFile {
    path: PathBuf,
    model: Model,
}

impl ModelFile {
    /// Reads the structure of a model and checks it, as [`Model::parse`] does; also that each file of weights beside it
    /// is there and long enough. Takes memory for the structure, for weights of at most 1 KiB and for constants within
    /// nodes and functions, whatever the size of the model.
    ///
    /// # Errors
    /// A file that cannot be read, is no model, or has too few weights.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ReadError> {
        let path = path.into();
        let io = |path: &Path, source| ReadError::Io { path: path.to_owned(), source };
        let file = File::open(&path).map_err(|error| io(&path, error))?;
        let bytes = file.metadata().map_err(|error| io(&path, error))?.len();
        let structure = match skim(&file) {
            Ok(structure) => structure,
            Err(SkimError::Io(error)) => return Err(io(&path, error)),
            Err(SkimError::TooLarge) => return Err(ReadError::TooLarge { path, limit: skim::MAX_STRUCTURE }),
            Err(SkimError::Reserved) => return Err(ReadError::ReservedLocation { path }),
            Err(SkimError::Malformed) if bytes <= EXPLAIN => {
                let whole = std::fs::read(&path).map_err(|error| io(&path, error))?;
                let truncated = OnnxError::Truncated { needed: bytes + 1, got: bytes };
                let source = Model::parse(whole.into()).err().unwrap_or(truncated);
                return Err(ReadError::Model { path, source });
            }
            Err(SkimError::Malformed) => {
                let source = OnnxError::Truncated { needed: bytes + 1, got: bytes };
                return Err(ReadError::Model { path, source });
            }
        };
        let held = structure.len() as u64;
        let model = match Model::parse(Bytes::from(structure)) {
            Ok(model) => model,
            Err(source) => return Err(ReadError::Model { path, source }),
        };
        let nodes = model.proto().graph.as_ref().map_or(0, |graph| graph.node.len());
        if nodes > MAX_NODES {
            return Err(ReadError::TooManyNodes { path, nodes, limit: MAX_NODES });
        }
        let mut found = Self { path, model };
        for external in found.model.external_files() {
            let path = found.locate(&external.path);
            let got = std::fs::metadata(&path).map_err(|error| io(&path, error))?.len();
            if got < external.min_bytes {
                return Err(ReadError::ShortWeights { path, needed: external.min_bytes, got });
            }
        }
        if !found.model.external_files().is_empty() {
            let mut proto = found.model.proto().clone();
            if inline::inline(&found, &mut proto, held)? {
                found.model = Model::from_proto(proto)
                    .map_err(|source| ReadError::Model { path: found.path.clone(), source })?;
            }
        }
        Ok(found)
    }

    /// Where the model lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its structure. Large weights are external here, wherever they lie: those within the model's own file have the
    /// location `#self`.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The file that a location of external data means.
    pub(crate) fn locate(&self, location: &str) -> PathBuf {
        if location == SELF {
            return self.path.clone();
        }
        self.path.parent().unwrap_or_else(|| Path::new("")).join(location)
    }

    /// Where the data of a weight lies; `None` where it is in memory.
    pub(crate) fn place_of(&self, weight: &TensorProto) -> Option<Place> {
        if weight.data_location() != DataLocation::External {
            return None;
        }
        let entry = |key: &str| weight.external_data.iter().find(|entry| entry.key() == key);
        let location = entry("location").map_or("", |entry| entry.value());
        let number = |key| entry(key).and_then(|entry| entry.value().parse::<u64>().ok());
        // Both were checked when the model was parsed: an absent length means all that the type and shape say.
        let length = number("length").unwrap_or_else(|| crate::graph::weight_bytes(weight));
        let location = location.strip_prefix("./").unwrap_or(location);
        Some(Place { file: self.locate(location), offset: number("offset").unwrap_or(0), length })
    }
}

/// A weight without its data, also what was left over of such, and without where that was.
pub(crate) fn bare(weight: &TensorProto) -> TensorProto {
    TensorProto {
        name: weight.name.clone(),
        dims: weight.dims.clone(),
        data_type: weight.data_type,
        doc_string: weight.doc_string.clone(),
        metadata_props: weight.metadata_props.clone(),
        ..TensorProto::default()
    }
}

/// A stretch of a file that holds one weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}
