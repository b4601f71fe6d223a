//! The response to an inference request.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::{TensorIn, TensorOut, read_tensors, split, to_json, write_tensors};
use super::{BinaryMessage, Limits, Object, OipError, Parameters};
use crate::NamedTensor;

/// The response to an inference request that succeeded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InferResponse {
    /// The name of the model that answered.
    pub model_name: String,
    /// Its version, if it has one.
    pub model_version: Option<String>,
    /// The id of the request, if it had one.
    pub id: Option<String>,
    /// What else there is to say about the answer.
    pub parameters: Parameters,
    /// The tensors.
    pub outputs: Vec<NamedTensor>,
}

#[derive(Deserialize)]
struct ResponseIn<'a> {
    model_name: String,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    outputs: Vec<Object<TensorIn<'a>>>,
}

#[derive(Serialize)]
struct ResponseOut<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: &'a Parameters,
    outputs: Vec<TensorOut<'a>>,
}

impl InferResponse {
    /// Reads a response that is JSON alone.
    ///
    /// # Errors
    /// It is no response of the protocol, or one beyond the limits.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self, OipError> {
        Self::read(json, Bytes::new(), limits)
    }

    /// Reads a response whose first `header_len` bytes are JSON and whose other bytes are binary data. The data of
    /// binary tensors is shared with the message, not copied.
    ///
    /// # Errors
    /// It is no response of the protocol, or one beyond the limits.
    pub fn from_binary(message: Bytes, header_len: u64, limits: &Limits) -> Result<Self, OipError> {
        let (header, binary) = split(message, header_len)?;
        Self::read(&header, binary, limits)
    }

    fn read(header: &[u8], binary: Bytes, limits: &Limits) -> Result<Self, OipError> {
        let Object(ResponseIn { model_name, model_version, id, parameters, outputs }) =
            serde_json::from_slice(header).map_err(OipError::Json)?;
        let outputs = read_tensors(outputs, binary, limits)?;
        Ok(Self { model_name, model_version, id, parameters, outputs })
    }

    /// Writes the response as JSON alone.
    ///
    /// # Errors
    /// The serializer fails, which it does not for any response that this crate can read.
    pub fn to_json(&self) -> Result<Bytes, OipError> {
        self.to_binary(|_| false).map(|message| message.header)
    }

    /// Writes the response with those outputs in binary form for whose name `binary` holds; see
    /// [`InferRequest::wants_binary`](super::InferRequest::wants_binary). If there is none, the message has no parts
    /// and is the same JSON as that of [`InferResponse::to_json`].
    ///
    /// # Errors
    /// As [`InferResponse::to_json`].
    pub fn to_binary(&self, binary: impl Fn(&str) -> bool) -> Result<BinaryMessage, OipError> {
        let Self { model_name, model_version, id, parameters, outputs } = self;
        let (outputs, parts) = write_tensors(outputs, binary);
        let (model_version, id) = (model_version.as_deref(), id.as_deref());
        let header = to_json(&ResponseOut { model_name, model_version, id, parameters, outputs })?;
        Ok(BinaryMessage { header, parts })
    }
}
