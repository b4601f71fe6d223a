//! What can be wrong with a message of the protocol.

use crate::{DType, Shape, TensorError};

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OipError {
    /// The message, or its header, is not the JSON that the protocol asks for.
    #[error("the message is not valid Open Inference Protocol JSON")]
    Json(#[source] serde_json::Error),
    /// The header is longer than the message.
    #[error("the header length is {header}, but the message has {message} bytes")]
    HeaderLength {
        /// The length that the caller gave.
        header: u64,
        /// Bytes of the message.
        message: u64,
    },
    /// The message is beyond a limit.
    #[error("{what} is {got}, above the limit of {limit}")]
    OverLimit {
        /// What is too large, for example `tensor count`.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// A tensor has a datatype that the protocol does not know.
    #[error(
        "tensor {tensor:?} has the unknown datatype {datatype:?}: use one of BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, FP32, FP64, BYTES"
    )]
    UnknownDatatype {
        /// The name of the tensor.
        tensor: String,
        /// What stands there.
        datatype: String,
    },
    /// A tensor has neither `data` nor `binary_data_size`.
    #[error(
        "tensor {tensor:?} has no data: give \"data\", or \"parameters\": {{\"binary_data_size\": …}} and the bytes"
    )]
    NoData {
        /// The name of the tensor.
        tensor: String,
    },
    /// A tensor has both `data` and `binary_data_size`.
    #[error("tensor {tensor:?} has data twice, in JSON and in binary: give it once")]
    TwoData {
        /// The name of the tensor.
        tensor: String,
    },
    /// A parameter has a value of the wrong kind.
    #[error("{parameter} of {of:?} must be {expected}")]
    BadParameter {
        /// Whose parameter, by tensor name; empty for the message's own.
        of: String,
        /// Which parameter.
        parameter: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A tensor lies in shared memory.
    #[error("tensor {tensor:?} is in shared memory, which is not supported: send its data")]
    SharedMemory {
        /// The name of the tensor.
        tensor: String,
    },
    /// The binary data ends before the tensors do.
    #[error("tensor {tensor:?} claims {claimed} bytes of binary data, but only {left} are left")]
    BinaryCut {
        /// The name of the tensor.
        tensor: String,
        /// The claimed `binary_data_size`.
        claimed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// Binary data is left after the last tensor.
    #[error("{bytes} bytes of binary data belong to no tensor")]
    BinaryLeftOver {
        /// How many bytes.
        bytes: u64,
    },
    /// The binary data of a tensor is not what datatype and shape say.
    #[error("the binary data of tensor {tensor:?} is malformed")]
    Tensor {
        /// The name of the tensor.
        tensor: String,
        /// What is wrong.
        #[source]
        source: TensorError,
    },
    /// The JSON data of a tensor is not what datatype and shape say.
    #[error("the data of tensor {tensor:?} is malformed")]
    Data {
        /// The name of the tensor.
        tensor: String,
        /// What is wrong.
        #[source]
        source: DataError,
    },
}

/// JSON data that is not what a tensor's datatype and shape say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A value is not one of the datatype: a fraction, null or text where an integer belongs, for example.
    #[error("element {index} is {value}, expected {}", describe(*.dtype))]
    WrongKind {
        /// Which element, counted from 0 in row-major order.
        index: u64,
        /// The value as it was written, shortened.
        value: String,
        /// The datatype.
        dtype: DType,
    },
    /// A number is outside of the datatype's range.
    #[error("element {index} is {value}, outside of the range of {}", dtype.oip_name())]
    OutOfRange {
        /// Which element, counted from 0 in row-major order.
        index: u64,
        /// The value as it was written, shortened.
        value: String,
        /// The datatype.
        dtype: DType,
    },
    /// There are more or fewer elements than the shape has.
    #[error("shape {shape} has {expected} elements, but \"data\" has {got}{}", if got > expected { " or more" } else { "" })]
    WrongCount {
        /// The shape.
        shape: Shape,
        /// Elements of the shape.
        expected: u64,
        /// Elements that stand in `data`, counted no further than one too many.
        got: u64,
    },
    /// Nested data is nested otherwise than the shape.
    #[error(
        "\"data\" is nested otherwise than shape {shape}, near element {index}: nest it like the shape or not at all"
    )]
    WrongNesting {
        /// The shape.
        shape: Shape,
        /// How many elements were read before.
        index: u64,
    },
    /// The data is not an array.
    #[error("\"data\" must be an array")]
    NotAnArray,
    /// The shape has more elements than can be counted.
    #[error("shape {shape} has more elements than fit into 64 bits")]
    TooLarge {
        /// The shape.
        shape: Shape,
    },
    /// A text element is longer than 4 GiB.
    #[error("element {index} is longer than 4 GiB")]
    TextTooLong {
        /// Which element, counted from 0.
        index: u64,
    },
}

fn describe(dtype: DType) -> String {
    match dtype {
        DType::Bool => "true or false".to_owned(),
        DType::String => "a string".to_owned(),
        float if float.is_float() => format!("a number, for {}", float.oip_name()),
        integer => format!("an integer without fraction or exponent, for {}", integer.oip_name()),
    }
}
