//! An inference request.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::{TensorIn, TensorOut, read_tensors, split, to_json, write_tensors};
use super::{BinaryMessage, Limits, Object, OipError, Parameters};
use crate::NamedTensor;

/// An output that a request asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestedOutput {
    /// The name of the output.
    pub name: String,
    /// Its settings, of which the protocol defines `binary_data`.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// An inference request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InferRequest {
    /// The client's own name for the request, which the response repeats.
    pub id: Option<String>,
    /// Settings, of which the protocol defines `binary_data_output`.
    pub parameters: Parameters,
    /// The tensors; names may repeat, see [`Signature::bind`](crate::Signature::bind).
    pub inputs: Vec<NamedTensor>,
    /// The outputs that are asked for; empty for all.
    pub outputs: Vec<RequestedOutput>,
}

#[derive(Deserialize)]
struct RequestIn<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<Object<TensorIn<'a>>>,
    #[serde(default)]
    outputs: Vec<Object<RequestedOutput>>,
}

#[derive(Serialize)]
struct RequestOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: &'a Parameters,
    inputs: Vec<TensorOut<'a>>,
    #[serde(skip_serializing_if = "<[RequestedOutput]>::is_empty")]
    outputs: &'a [RequestedOutput],
}

impl InferRequest {
    /// Reads a request that is JSON alone.
    ///
    /// # Errors
    /// It is no request of the protocol, or one beyond the limits.
    pub fn from_json(json: &[u8], limits: &Limits) -> Result<Self, OipError> {
        Self::read(json, Bytes::new(), limits)
    }

    /// Reads a request whose first `header_len` bytes are JSON and whose other bytes are binary data. The data of
    /// binary tensors is shared with the message, not copied.
    ///
    /// # Errors
    /// It is no request of the protocol, or one beyond the limits.
    pub fn from_binary(message: Bytes, header_len: u64, limits: &Limits) -> Result<Self, OipError> {
        let (header, binary) = split(message, header_len)?;
        Self::read(&header, binary, limits)
    }

    fn read(header: &[u8], binary: Bytes, limits: &Limits) -> Result<Self, OipError> {
        let Object(RequestIn { id, parameters, inputs, outputs }) =
            serde_json::from_slice(header).map_err(OipError::Json)?;
        let inputs = read_tensors(inputs, binary, limits)?;
        let outputs = outputs.into_iter().map(|Object(output)| output).collect();
        let request = Self { id, parameters, inputs, outputs };
        let wrong = |of: &str, parameter| {
            let (of, expected) = (of.to_owned(), "true or false");
            Err(OipError::BadParameter { of, parameter, expected })
        };
        if flag(&request.parameters, BINARY_DATA_OUTPUT).is_err() {
            return wrong("the request", BINARY_DATA_OUTPUT);
        }
        match request.outputs.iter().find(|output| flag(&output.parameters, BINARY_DATA).is_err()) {
            Some(output) => wrong(&output.name, BINARY_DATA),
            None => Ok(request),
        }
    }

    /// Whether the client wants this output in binary form: as the output itself asks, else as the request asks for
    /// all outputs, else no.
    #[must_use]
    pub fn wants_binary(&self, output: &str) -> bool {
        let own = self.outputs.iter().find(|asked| asked.name == output);
        let own = own.and_then(|asked| flag(&asked.parameters, BINARY_DATA).ok().flatten());
        let all = || flag(&self.parameters, BINARY_DATA_OUTPUT).ok().flatten();
        own.or_else(all).unwrap_or(false)
    }

    /// Writes the request as JSON alone.
    ///
    /// # Errors
    /// The serializer fails, which it does not for any request that this crate can read.
    pub fn to_json(&self) -> Result<Bytes, OipError> {
        self.write(|_| false).map(|message| message.header)
    }

    /// Writes the request with every input in binary form.
    ///
    /// # Errors
    /// As [`InferRequest::to_json`].
    pub fn to_binary(&self) -> Result<BinaryMessage, OipError> {
        self.write(|_| true)
    }

    fn write(&self, binary: impl Fn(&str) -> bool) -> Result<BinaryMessage, OipError> {
        let Self { id, parameters, inputs, outputs } = self;
        let (inputs, parts) = write_tensors(inputs, binary);
        let header = to_json(&RequestOut { id: id.as_deref(), parameters, inputs, outputs })?;
        Ok(BinaryMessage { header, parts })
    }
}

const BINARY_DATA: &str = "binary_data";
const BINARY_DATA_OUTPUT: &str = "binary_data_output";

/// A parameter that must be a Boolean if it is there.
fn flag(parameters: &Parameters, name: &str) -> Result<Option<bool>, ()> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(()),
    }
}
