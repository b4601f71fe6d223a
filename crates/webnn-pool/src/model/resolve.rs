//! Reading and checking a model before any browser sees it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pool_core::{Model, ModelFile, ModelSource};
use sha2::{Digest as _, Sha256};
use tensor::Signature;
use tensor::frame::Limits;
use vocab::ModelHash;

use super::family::family_by_name;
use super::fetch::download;
use super::files::{HubConfig, Place, external_files, hash_bytes, locate};
use super::spec::{ModelSpec, Source};
use crate::error::ModelError;

/// A model that was read, checked and hashed, and needs no browser: see
/// [`Accelerator::accelerate_model`](crate::Accelerator::accelerate_model) for what runs it.
#[derive(Debug, Clone)]
pub struct ResolvedModel {
    pub(crate) model: Arc<Model>,
}

impl ResolvedModel {
    /// Reads the model that `spec` names.
    ///
    /// `memory_budget_bytes` is what one worker may take: a model that is estimated to need more is refused before its
    /// weights are read.
    ///
    /// # Errors
    /// [`ModelError`] says which file and what is wrong with it.
    pub async fn read(spec: ModelSpec, memory_budget_bytes: u64) -> Result<Self, ModelError> {
        Ok(Self { model: resolve(spec, memory_budget_bytes).await? })
    }

    /// The inputs and outputs.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.model.signature
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// The version; empty where none was given.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.model.version
    }

    /// What the model is for, where it is known.
    #[must_use]
    pub fn model_type(&self) -> Option<vocab::ModelType> {
        self.model.model_type
    }

    /// The element type that most of its weights have, for example `FP32`; empty where there are none.
    #[must_use]
    pub fn precision(&self) -> &str {
        &self.model.precision
    }

    /// The identity of the model's contents: of its file, and of the files that hold its weights.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.model.hash
    }

    /// Bytes that a worker needs to load it, as an estimate.
    #[must_use]
    pub fn memory_estimate_bytes(&self) -> u64 {
        self.model.memory_estimate_bytes
    }
}

async fn resolve(spec: ModelSpec, budget: u64) -> Result<Arc<Model>, ModelError> {
    let ModelSpec { source, name, version, model_type } = spec;
    let (contents, wanted) = match &source {
        Source::Path(_) => (None, None),
        Source::Memory(contents) => (Some(contents.clone()), None),
        Source::Url { url, hash } => (Some(download(url).await?), Some(*hash)),
    };
    let fallback_name = match &source {
        Source::Url { url, .. } => {
            url.path_segments().and_then(|mut parts| parts.next_back()).map(str::to_owned)
        }
        Source::Path(_) | Source::Memory(_) => None,
    };
    // Reading, parsing and hashing keep a core busy for as long as a large model takes: not on the runtime's threads.
    let read = tokio::task::spawn_blocking(move || {
        let place = match &source {
            Source::Path(path) => Some(locate(path)?),
            Source::Memory(_) | Source::Url { .. } => None,
        };
        let hub = place.as_ref().map(|place| HubConfig::beside(&place.described_in)).unwrap_or_default();
        let name = name
            .or_else(|| place.as_ref().map(|place| place.stem.clone()))
            .or(fallback_name)
            .unwrap_or_else(|| "model".to_owned());
        if let (Some(wanted), Some(contents)) = (wanted, &contents) {
            // Before anything is made of it: whatever else came is not even looked at.
            let got = hash_bytes(contents);
            if got != wanted {
                return Err(ModelError::WrongHash { name, got, wanted });
            }
        }
        let parts = read_parts(&name, place.as_ref(), contents, budget)?;
        let model_type =
            model_type.or_else(|| hub.family()).or(parts.family).or_else(|| family_by_name(&name));
        Ok(Arc::new(Model {
            hash: identity(&parts.files),
            name,
            version: version.unwrap_or_default(),
            model_type,
            precision: parts.precision,
            signature: parts.signature,
            files: parts.files,
            memory_estimate_bytes: parts.memory_estimate_bytes,
            caches: Arc::default(),
        }))
    });
    read.await.unwrap_or(Err(ModelError::TaskLost))
}

struct Parts {
    files: Vec<ModelFile>,
    signature: Signature,
    family: Option<vocab::ModelType>,
    memory_estimate_bytes: u64,
    precision: String,
}

fn read_parts(
    name: &str,
    place: Option<&Place>,
    contents: Option<Bytes>,
    budget: u64,
) -> Result<Parts, ModelError> {
    let (bytes, source, file_name) = match (contents, place) {
        (Some(bytes), _) => (bytes.clone(), ModelSource::Memory(bytes), "model.onnx".to_owned()),
        (None, Some(place)) => {
            let path = &place.onnx;
            let bytes = read_file(name, path, budget)?;
            let file_name =
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (bytes, ModelSource::Path(path.clone()), file_name)
        }
        (None, None) => (Bytes::new(), ModelSource::Memory(Bytes::new()), String::new()),
    };
    let graph = onnx_graph::Model::parse(bytes.clone())
        .map_err(|source| ModelError::Onnx { name: name.to_owned(), source })?;
    let needs = graph.peak_load_bytes().max(bytes.len() as u64);
    if needs > budget {
        return Err(ModelError::TooLarge { name: name.to_owned(), needs, largest: budget });
    }
    check_interface(name, graph.signature())?;
    let external = match (
        place.map(|place| place.onnx.parent().unwrap_or_else(|| Path::new(""))),
        graph.external_files(),
    ) {
        (Some(directory), wanted) => external_files(name, directory, wanted, budget)?,
        (None, []) => Vec::new(),
        // Without a folder of its own it must not get files of whatever folder we happen to run in.
        (None, [first, ..]) => {
            return Err(ModelError::ExternalWithoutFolder {
                name: name.to_owned(),
                path: first.path.clone(),
            });
        }
    };
    let main = ModelFile { path: file_name, hash: hash_bytes(&bytes), bytes: bytes.len() as u64, source };
    let mut files = vec![main];
    files.extend(external);
    Ok(Parts {
        files,
        family: graph.family(),
        memory_estimate_bytes: needs,
        precision: graph.precision().map(|dtype| dtype.to_string()).unwrap_or_default(),
        signature: graph.signature().clone(),
    })
}

/// Reads a model's own file, if it can fit any worker at all.
fn read_file(name: &str, path: &Path, budget: u64) -> Result<Bytes, ModelError> {
    let unreadable = |source| ModelError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        // A device or a pipe may have no end.
        let what = "it is neither a file nor a directory";
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, what)));
    }
    if metadata.len() > budget {
        return Err(ModelError::TooLarge { name: name.to_owned(), needs: metadata.len(), largest: budget });
    }
    Ok(std::fs::read(path).map_err(unreadable)?.into())
}

/// Refuses inputs and outputs that the frames between host and page could not carry.
fn check_interface(name: &str, signature: &Signature) -> Result<(), ModelError> {
    let limits = Limits::default();
    let refused = |what: String| Err(ModelError::Interface { name: name.to_owned(), what });
    for (side, specs) in [("inputs", &signature.inputs), ("outputs", &signature.outputs)] {
        if specs.len() > limits.max_tensors {
            return refused(format!("{} {side}, and {} are the most", specs.len(), limits.max_tensors));
        }
        // All names of a side stand in one message.
        let names: usize = specs.iter().map(|spec| spec.name.len()).sum();
        if names > limits.max_meta_bytes / 4
            || specs.iter().any(|spec| spec.name.len() > limits.max_name_bytes)
        {
            return refused(format!("names of {side} that are too long"));
        }
        let ranks = specs.iter().filter_map(|spec| spec.dims.as_ref().map(Vec::len));
        if let Some(rank) = ranks.max().filter(|rank| *rank > limits.max_rank) {
            return refused(format!("{side} of rank {rank}, and {} is the most", limits.max_rank));
        }
    }
    Ok(())
}

/// A model of one file is that file; with external data it is all of them.
fn identity(files: &[ModelFile]) -> ModelHash {
    match files {
        [only] => only.hash,
        several => {
            let mut hasher = Sha256::new();
            for file in several {
                hasher.update(file.hash.0);
            }
            ModelHash(hasher.finalize().into())
        }
    }
}
