//! What a caller says about a model.

use std::path::PathBuf;

use bytes::Bytes;
use url::Url;
use vocab::{ModelHash, ModelType};

/// A model to accelerate: where it is and what is known about it.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    pub(super) source: Source,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) model_type: Option<ModelType>,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Path(PathBuf),
    Memory(Bytes),
    Url { url: Url, hash: ModelHash },
}

impl ModelSpec {
    fn new(source: Source) -> Self {
        Self { source, name: None, version: None, model_type: None }
    }

    /// An ONNX file, or a directory: `model.onnx` in it, or the Hugging Face layout (`onnx/model.onnx` beside
    /// `config.json`). External data is looked for beside the ONNX file.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::Path(path.into()))
    }

    /// The contents of an ONNX file without external data.
    pub fn bytes(contents: impl Into<Bytes>) -> Self {
        Self::new(Source::Memory(contents.into()))
    }

    /// An ONNX file at an address, whose SHA-256 must be known beforehand: what comes with another hash is refused.
    #[must_use]
    pub fn url(url: Url, hash: ModelHash) -> Self {
        Self::new(Source::Url { url, hash })
    }

    /// The name in responses and reports. Default: the directory's or file's.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The version in responses and reports. Default: none.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// What the model is for. Default: what `config.json`, the graph, or the name say, in this order.
    #[must_use]
    pub fn model_type(mut self, model_type: ModelType) -> Self {
        self.model_type = Some(model_type);
        self
    }
}
