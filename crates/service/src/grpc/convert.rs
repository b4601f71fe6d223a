//! Between the messages of gRPC and what the rest of the crate works with.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::Value;
use tensor::oip::{InferRequest, InferResponse, Limits, OipError, Parameters, RequestedOutput};
use tensor::{DType, NamedTensor, Shape, Tensor, TensorSpec};

use super::messages as wire;
use super::messages::ParameterChoice;
use crate::error::{ServiceError, shortened};
use crate::repository::Served;
use crate::stats::{self, StatisticDuration};
use crate::words;

pub(super) fn request(message: wire::ModelInferRequest) -> Result<InferRequest, ServiceError> {
    let wire::ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents, .. } = message;
    let limits = Limits::default();
    let over = |what, got: usize, limit: usize| {
        ServiceError::Message(OipError::OverLimit { what, got: got as u64, limit: limit as u64 })
    };
    if inputs.len() > limits.max_tensors {
        return Err(over("tensor count", inputs.len(), limits.max_tensors));
    }
    let bare = inputs.iter().filter(|input| input.contents.is_none()).count();
    let raws = raw_input_contents.len();
    if raws > 0 && (raws != inputs.len() || bare != inputs.len()) {
        let why = format!(
            "{} inputs, and {raws} raw_input_contents: give one for each, and no contents",
            inputs.len()
        );
        return Err(ServiceError::BadRequest(why));
    }
    let mut raw = raw_input_contents.into_iter();
    let mut read = Vec::with_capacity(inputs.len());
    for input in inputs {
        if input.shape.len() > limits.max_rank {
            return Err(over("rank", input.shape.len(), limits.max_rank));
        }
        read.push(tensor(input, raw.next())?);
    }
    let asked = |output: wire::InferRequestedOutput| RequestedOutput {
        name: output.name,
        parameters: from_parameters(output.parameters),
    };
    Ok(InferRequest {
        id: Some(id).filter(|id| !id.is_empty()),
        parameters: from_parameters(parameters),
        inputs: read,
        outputs: outputs.into_iter().map(asked).collect(),
    })
}

fn tensor(input: wire::InferTensor, raw: Option<Bytes>) -> Result<NamedTensor, ServiceError> {
    let wire::InferTensor { name, datatype, shape, parameters, contents } = input;
    let tensor = shortened(&name);
    if parameters.keys().any(|key| key.starts_with("shared_memory_")) {
        return Err(OipError::SharedMemory { tensor }.into());
    }
    let Some(dtype) = DType::from_oip_name(&datatype) else {
        return Err(OipError::UnknownDatatype { tensor, datatype: shortened(&datatype) }.into());
    };
    let sizes: Result<Vec<u64>, _> = shape.into_iter().map(u64::try_from).collect();
    let sizes =
        sizes.map_err(|_| ServiceError::BadRequest(format!("tensor {tensor:?} has a negative size")))?;
    let shape = Shape::from(sizes);
    let data = match (raw, contents) {
        (Some(raw), _) => raw,
        (None, Some(contents)) => packed(dtype, contents)?,
        // A message without raw contents and without elements may mean that there are none.
        (None, None) if shape.elements() == Some(0) => Bytes::new(),
        (None, None) => return Err(OipError::NoData { tensor }.into()),
    };
    let read = Tensor::new(dtype, shape, data).map_err(|source| OipError::Tensor { tensor, source })?;
    Ok(NamedTensor::new(name, read))
}

/// Values as little-endian bytes, unless one does not fit.
fn bytes_of<T, const N: usize>(values: &[T], one: impl Fn(&T) -> Option<[u8; N]>) -> Option<Bytes> {
    let mut out = Vec::with_capacity(values.len() * N);
    for value in values {
        out.extend_from_slice(&one(value)?);
    }
    Some(out.into())
}

/// Typed elements as the bytes of a tensor.
fn packed(dtype: DType, contents: wire::InferTensorContents) -> Result<Bytes, ServiceError> {
    let wire::InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let wide =
        || ServiceError::BadRequest(format!("a value is outside of the range of {}", dtype.oip_name()));
    let packed = match dtype {
        DType::Bool => bytes_of(&bool_contents, |value| Some([u8::from(*value)])),
        DType::I8 => bytes_of(&int_contents, |value| i8::try_from(*value).ok().map(i8::to_le_bytes)),
        DType::I16 => bytes_of(&int_contents, |value| i16::try_from(*value).ok().map(i16::to_le_bytes)),
        DType::I32 => bytes_of(&int_contents, |value| Some(value.to_le_bytes())),
        DType::I64 => bytes_of(&int64_contents, |value| Some(value.to_le_bytes())),
        DType::U8 => bytes_of(&uint_contents, |value| u8::try_from(*value).ok().map(u8::to_le_bytes)),
        DType::U16 => bytes_of(&uint_contents, |value| u16::try_from(*value).ok().map(u16::to_le_bytes)),
        DType::U32 => bytes_of(&uint_contents, |value| Some(value.to_le_bytes())),
        DType::U64 => bytes_of(&uint64_contents, |value| Some(value.to_le_bytes())),
        DType::F32 => bytes_of(&fp32_contents, |value| Some(value.to_le_bytes())),
        DType::F64 => bytes_of(&fp64_contents, |value| Some(value.to_le_bytes())),
        DType::String => {
            let mut out = Vec::new();
            for text in &bytes_contents {
                let length = u32::try_from(text.len()).map_err(|_| wide())?;
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(text);
            }
            Some(out.into())
        }
        // The protocol has no typed form for the others.
        other => {
            let why = format!("{} has no typed contents: send raw_input_contents", other.oip_name());
            return Err(ServiceError::BadRequest(why));
        }
    };
    packed.ok_or_else(wide)
}

fn from_parameters(parameters: HashMap<String, wire::InferParameter>) -> Parameters {
    let value = |parameter: wire::InferParameter| match parameter.parameter_choice {
        None => Value::Null,
        Some(ParameterChoice::Bool(value)) => value.into(),
        Some(ParameterChoice::Int64(value)) => value.into(),
        Some(ParameterChoice::Uint64(value)) => value.into(),
        Some(ParameterChoice::Double(value)) => value.into(),
        Some(ParameterChoice::String(value)) => value.into(),
    };
    parameters.into_iter().map(|(key, parameter)| (key, value(parameter))).collect()
}

/// Whole numbers, numbers, texts and flags as such; what has parts as its JSON; null is left out.
fn to_parameters(parameters: Parameters) -> HashMap<String, wire::InferParameter> {
    let choice = |value: Value| match value {
        Value::Null => None,
        Value::Bool(value) => Some(ParameterChoice::Bool(value)),
        Value::String(value) => Some(ParameterChoice::String(value)),
        Value::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => ParameterChoice::Int64(whole),
            (None, Some(whole)) => ParameterChoice::Uint64(whole),
            (None, None) => ParameterChoice::Double(number.as_f64().unwrap_or(f64::NAN)),
        }),
        other => Some(ParameterChoice::String(other.to_string())),
    };
    let one = |(key, value)| {
        choice(value).map(|choice| (key, wire::InferParameter { parameter_choice: Some(choice) }))
    };
    parameters.into_iter().filter_map(one).collect()
}

pub(super) fn response(response: InferResponse) -> wire::ModelInferResponse {
    let InferResponse { model_name, model_version, id, parameters, outputs } = response;
    let raw_output_contents = outputs.iter().map(|output| output.tensor.data().clone()).collect();
    let described = |output: &NamedTensor| wire::InferTensor {
        name: output.name.to_string(),
        datatype: output.tensor.dtype().oip_name().to_owned(),
        shape: output
            .tensor
            .shape()
            .dims()
            .iter()
            .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
            .collect(),
        parameters: HashMap::new(),
        contents: None,
    };
    wire::ModelInferResponse {
        model_name,
        model_version: model_version.unwrap_or_default(),
        id: id.unwrap_or_default(),
        parameters: to_parameters(parameters),
        outputs: outputs.iter().map(described).collect(),
        raw_output_contents,
    }
}

pub(super) fn metadata(served: &Served, versions: Vec<String>) -> wire::ModelMetadata {
    let tensors = |specs: &[TensorSpec]| {
        let one = |spec: &TensorSpec| wire::TensorMetadata {
            name: spec.name.to_string(),
            datatype: spec.dtype.oip_name().to_owned(),
            shape: words::sizes(spec),
        };
        specs.iter().map(one).collect()
    };
    wire::ModelMetadata {
        name: served.name.clone(),
        versions,
        platform: words::PLATFORM.to_owned(),
        inputs: tensors(&served.model.signature.inputs),
        outputs: tensors(&served.model.signature.outputs),
    }
}

/// The number of an element type in a model's configuration.
const fn type_number(dtype: DType) -> i32 {
    match dtype {
        DType::Bool => 1,
        DType::U8 => 2,
        DType::U16 => 3,
        DType::U32 => 4,
        DType::U64 => 5,
        DType::I8 => 6,
        DType::I16 => 7,
        DType::I32 => 8,
        DType::I64 => 9,
        DType::F16 => 10,
        DType::F32 => 11,
        DType::F64 => 12,
        DType::String => 13,
        DType::Bf16 => 14,
        // The protocol has no number for four bits.
        DType::I4 | DType::U4 => 0,
    }
}

pub(super) fn config(served: &Served) -> wire::ModelConfig {
    let skip = usize::from(served.batching.is_some());
    let dims = |spec: &TensorSpec| words::sizes(spec).into_iter().skip(skip).collect::<Vec<i64>>();
    let input = |spec: &TensorSpec| wire::ConfigInput {
        name: spec.name.to_string(),
        data_type: type_number(spec.dtype),
        dims: dims(spec),
        optional: spec.optional,
    };
    let output = |spec: &TensorSpec| wire::ConfigOutput {
        name: spec.name.to_string(),
        data_type: type_number(spec.dtype),
        dims: dims(spec),
    };
    let small = |size: u32| i32::try_from(size).unwrap_or(i32::MAX);
    let batching = served.batching.as_ref();
    let dynamic = |batching: &crate::Batching| wire::ConfigBatching {
        preferred_batch_size: batching.preferred.iter().copied().map(small).collect(),
        max_queue_delay_microseconds: u64::try_from(batching.max_delay.as_micros()).unwrap_or(u64::MAX),
    };
    wire::ModelConfig {
        name: served.name.clone(),
        platform: words::PLATFORM.to_owned(),
        backend: words::PLATFORM.to_owned(),
        max_batch_size: batching.map_or(0, |batching| small(batching.max_batch)),
        input: served.model.signature.inputs.iter().map(input).collect(),
        output: served.model.signature.outputs.iter().map(output).collect(),
        dynamic_batching: batching.map(dynamic),
    }
}

pub(super) fn statistics(model: stats::ModelStatistics) -> wire::ModelStatistics {
    let of = |duration: StatisticDuration| Some(wire::Duration { count: duration.count, ns: duration.ns });
    let times = model.inference_stats;
    let size = |of_size: stats::BatchStatistics| wire::BatchStatistics {
        batch_size: of_size.batch_size,
        compute_input: of(of_size.compute_input),
        compute_infer: of(of_size.compute_infer),
        compute_output: of(of_size.compute_output),
    };
    wire::ModelStatistics {
        name: model.name,
        version: model.version,
        last_inference: model.last_inference,
        inference_count: model.inference_count,
        execution_count: model.execution_count,
        inference_stats: Some(wire::InferStatistics {
            success: of(times.success),
            fail: of(times.fail),
            queue: of(times.queue),
            compute_input: of(times.compute_input),
            compute_infer: of(times.compute_infer),
            compute_output: of(times.compute_output),
            cache_hit: of(times.cache_hit),
            cache_miss: of(times.cache_miss),
        }),
        batch_stats: model.batch_stats.into_iter().map(size).collect(),
    }
}
