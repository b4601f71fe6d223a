//! What requests and responses have in common: tensors as they stand in the JSON header, and the bytes behind it.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::write::{JsonData, non_finite};
use super::{Limits, Object, OipError, data};
use crate::{DType, NamedTensor, Shape, Tensor};

/// Named settings of a message or a tensor: a JSON object.
pub type Parameters = serde_json::Map<String, Value>;

const BINARY_DATA_SIZE: &str = "binary_data_size";

/// A message in binary form: a JSON header, then the tensors' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryMessage {
    /// The JSON header. Its length travels beside the message, in HTTP as `Inference-Header-Content-Length`.
    pub header: Bytes,
    /// The bytes of each binary tensor, in order; shared with the tensors, not copied.
    pub parts: Vec<Bytes>,
}

impl BinaryMessage {
    /// Bytes of header and parts together.
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.header.len() + self.parts.iter().map(Bytes::len).sum::<usize>()
    }

    /// The whole message in one piece: one allocation and one copy. A transport that can write several pieces should
    /// write [`BinaryMessage::header`] and [`BinaryMessage::parts`] instead.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.total_len());
        whole.extend_from_slice(&self.header);
        self.parts.iter().for_each(|part| whole.extend_from_slice(part));
        whole.freeze()
    }
}

/// A tensor as it stands in the JSON of a message that is read. The data stays text until the datatype is known,
/// because members of an object come in any order.
#[derive(Deserialize)]
pub(super) struct TensorIn<'a> {
    name: String,
    shape: Vec<u64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Splits a message into its header and its binary data.
pub(super) fn split(mut message: Bytes, header_len: u64) -> Result<(Bytes, Bytes), OipError> {
    match usize::try_from(header_len) {
        Ok(at) if at <= message.len() => {
            let header = message.split_to(at);
            Ok((header, message))
        }
        _ => Err(OipError::HeaderLength { header: header_len, message: message.len() as u64 }),
    }
}

/// Reads the tensors of a message; `binary` is what stands behind the header.
pub(super) fn read_tensors(
    tensors: Vec<Object<TensorIn<'_>>>,
    mut binary: Bytes,
    limits: &Limits,
) -> Result<Vec<NamedTensor>, OipError> {
    at_most("tensor count", tensors.len() as u64, limits.max_tensors as u64)?;
    let mut budget = limits.max_elements;
    let mut read = Vec::with_capacity(tensors.len());
    for Object(tensor) in tensors {
        let (name, tensor) = read_tensor(tensor, &mut binary, &mut budget, limits)?;
        read.push(NamedTensor::new(name, tensor));
    }
    match binary.len() as u64 {
        0 => Ok(read),
        bytes => Err(OipError::BinaryLeftOver { bytes }),
    }
}

fn read_tensor(
    tensor: TensorIn<'_>,
    binary: &mut Bytes,
    budget: &mut u64,
    limits: &Limits,
) -> Result<(String, Tensor), OipError> {
    let TensorIn { name: tensor, shape, datatype, parameters, data } = tensor;
    at_most("name length", tensor.len() as u64, limits.max_name_bytes as u64)?;
    at_most("rank", shape.len() as u64, limits.max_rank as u64)?;
    let shape = Shape::from(shape);
    let elements = shape.elements().unwrap_or(u64::MAX);
    *budget = budget.checked_sub(elements).ok_or_else(|| OipError::OverLimit {
        what: "element count",
        got: (limits.max_elements - *budget).saturating_add(elements),
        limit: limits.max_elements,
    })?;
    let Some(dtype) = DType::from_oip_name(&datatype) else {
        return Err(OipError::UnknownDatatype { tensor, datatype: datatype.into_owned() });
    };
    if parameters.keys().any(|key| key.starts_with("shared_memory_")) {
        return Err(OipError::SharedMemory { tensor });
    }
    match (data, parameters.get(BINARY_DATA_SIZE)) {
        (Some(_), Some(_)) => Err(OipError::TwoData { tensor }),
        (None, None) => Err(OipError::NoData { tensor }),
        (Some(json), None) => match data::read(dtype, shape, json.get()) {
            Ok(read) => Ok((tensor, read)),
            Err(source) => Err(OipError::Data { tensor, source }),
        },
        (None, Some(size)) => {
            let Some(claimed) = size.as_u64() else {
                let expected = "a whole number of bytes";
                return Err(OipError::BadParameter { of: tensor, parameter: BINARY_DATA_SIZE, expected });
            };
            let left = binary.len() as u64;
            if claimed > left {
                return Err(OipError::BinaryCut { tensor, claimed, left });
            }
            // It is at most the length of something in memory, so it fits.
            match Tensor::new(dtype, shape, binary.split_to(claimed as usize)) {
                Ok(read) => Ok((tensor, read)),
                Err(source) => Err(OipError::Tensor { tensor, source }),
            }
        }
    }
}

/// A tensor as it is written into the JSON of a message.
#[derive(Serialize)]
pub(super) struct TensorOut<'a> {
    name: &'a str,
    shape: &'a Shape,
    datatype: &'static str,
    #[serde(skip_serializing_if = "Parameters::is_empty")]
    parameters: Parameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<JsonData<'a>>,
}

/// Prepares tensors for writing; those for which `binary` holds go behind the header.
pub(super) fn write_tensors<'a>(
    tensors: &'a [NamedTensor],
    binary: impl Fn(&str) -> bool,
) -> (Vec<TensorOut<'a>>, Vec<Bytes>) {
    let mut parts = Vec::new();
    let write = |NamedTensor { name, tensor }: &'a NamedTensor| {
        let mut parameters = Parameters::new();
        let data = if binary(name) {
            parameters.insert(BINARY_DATA_SIZE.to_owned(), tensor.data().len().into());
            parts.push(tensor.data().clone());
            None
        } else {
            match non_finite(tensor) {
                0 => {}
                several => _ = parameters.insert("non_finite".to_owned(), several.into()),
            }
            Some(JsonData(tensor))
        };
        TensorOut { name, shape: tensor.shape(), datatype: tensor.dtype().oip_name(), parameters, data }
    };
    let tensors = tensors.iter().map(write).collect();
    (tensors, parts)
}

pub(super) fn to_json(message: &impl Serialize) -> Result<Bytes, OipError> {
    serde_json::to_vec(message).map(Bytes::from).map_err(OipError::Json)
}

fn at_most(what: &'static str, got: u64, limit: u64) -> Result<(), OipError> {
    if got > limit { Err(OipError::OverLimit { what, got, limit }) } else { Ok(()) }
}
