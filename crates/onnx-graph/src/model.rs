//! A model that was read and found sound.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use tensor::{DType, Signature};
use vocab::ModelType;

use crate::operators::{STANDARD, full_name, qualified};
use crate::proto::{ModelProto, NodeProto};
use crate::walk::{Visitor, walk};
use crate::weights::{Weights, weigh};
use crate::{ExternalFile, OnnxError, check, family, interface, wire};

/// How many times the weights' bytes a browser needs at the worst moment of loading a model: the download, its copy
/// in the runtime's own memory, the weights decoded from that, and the layout that the kernels want.
pub const LOAD_FACTOR: u64 = 4;

/// An ONNX model: its file in full, and the answers to what must be known before it is run.
///
/// Cloning copies the structure and shares the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    proto: ModelProto,
    signature: Signature,
    weights: Weights,
}

impl Model {
    /// Reads a model from the bytes of its file, which the weights go on sharing, and checks it.
    ///
    /// What is checked: the file is whole; it has a graph and known operator sets; every operator exists, in `ai.onnx`
    /// and `ai.onnx.ml` by name, in `com.microsoft` whatever its name, elsewhere only if the model defines it; every
    /// node takes only what stands before it; constants have the data that they claim and lie in no file outside of
    /// the model's folder; inputs and outputs are tensors that a browser can be sent. Shapes are not inferred.
    ///
    /// # Errors
    /// The first thing that is not so.
    pub fn parse(file: Bytes) -> Result<Self, OnnxError> {
        wire::check(&file)?;
        Self::from_proto(ModelProto::decode(file).map_err(OnnxError::Decode)?)
    }

    /// Checks a model that was put together from its messages.
    ///
    /// # Errors
    /// As [`Model::parse`].
    pub fn from_proto(proto: ModelProto) -> Result<Self, OnnxError> {
        let graph = proto.graph.as_ref().ok_or(OnnxError::NoGraph)?;
        check::check(&proto, graph)?;
        let signature = interface::signature(graph)?;
        let weights = weigh(&proto)?;
        Ok(Self { proto, signature, weights })
    }

    /// The model's messages.
    #[must_use]
    pub const fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The model's messages, to make another model of.
    #[must_use]
    pub fn into_proto(self) -> ModelProto {
        self.proto
    }

    /// The model as a file.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.proto.encode_to_vec().into()
    }

    /// What the model takes and gives. Inputs with an initializer are left out: they are weights in older files, and
    /// the browser runtime lets nobody override them.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Bytes of all constants, those in other files included.
    #[must_use]
    pub const fn weight_bytes(&self) -> u64 {
        self.weights.bytes
    }

    /// The element type that most of the weights' bytes have: what people mean by a model's precision. `None` for a model
    /// without weights, or with weights of a type that no tensor here can have.
    #[must_use]
    pub fn precision(&self) -> Option<DType> {
        self.weights.dominant.and_then(DType::from_onnx_code)
    }

    /// The files beside the model that hold constants, by path. Whether they exist is for the caller to find out.
    #[must_use]
    pub fn external_files(&self) -> &[ExternalFile] {
        &self.weights.external
    }

    /// An estimate of the memory in bytes that a browser needs at the worst moment of loading: [`LOAD_FACTOR`] times
    /// the weights. What running takes depends on shapes and is not in it.
    #[must_use]
    pub const fn peak_load_bytes(&self) -> u64 {
        self.weights.bytes.saturating_mul(LOAD_FACTOR)
    }

    /// How often each operator occurs, subgraphs and functions included: `Add`, or `com.microsoft:FusedMatMul` outside
    /// of the standard domain.
    #[must_use]
    pub fn operators(&self) -> BTreeMap<String, u64> {
        struct Count(BTreeMap<String, u64>);
        impl<'a> Visitor<'a> for Count {
            fn node(&mut self, node: &'a NodeProto) {
                *self.0.entry(qualified(node)).or_default() += 1;
            }
        }
        let mut count = Count(BTreeMap::new());
        walk(&self.proto, &mut count);
        count.0
    }

    /// The version of the standard operator set; `None` if the model uses other domains only.
    #[must_use]
    pub fn opset(&self) -> Option<i64> {
        self.opset_of(STANDARD)
    }

    /// The version of a domain's operator set, if the model imports it.
    #[must_use]
    pub fn opset_of(&self, domain: &str) -> Option<i64> {
        let imports = &self.proto.opset_import;
        let import = imports.iter().rev().find(|import| full_name(import.domain()) == full_name(domain));
        import.map(|import| import.version())
    }

    /// What the model is for, guessed from names and shapes of its inputs and outputs; `None` where nothing fits.
    #[must_use]
    pub fn family(&self) -> Option<ModelType> {
        family::guess(&self.signature)
    }
}
