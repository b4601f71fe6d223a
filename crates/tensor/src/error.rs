//! What can be wrong with the data of one tensor.

use crate::{DType, Shape};

/// Data that is not what its element type and shape say, or that was asked for as something it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The data has another length than the shape needs.
    #[error("a {dtype} tensor of shape {shape} takes {expected} bytes, but {got} were given")]
    WrongLength {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Shape,
        /// Bytes that type and shape need.
        expected: u64,
        /// Bytes that were given.
        got: u64,
    },
    /// Another number of values was given than the shape has elements.
    #[error("shape {shape} has {expected} elements, but {got} values were given")]
    WrongCount {
        /// The shape.
        shape: Shape,
        /// Elements of the shape.
        expected: u64,
        /// Values that were given.
        got: u64,
    },
    /// The shape has more elements than can be counted.
    #[error("shape {shape} has more elements than fit into 64 bits")]
    TooLarge {
        /// The shape.
        shape: Shape,
    },
    /// The tensor holds another element type than the one asked for.
    #[error("the tensor holds {got}, but {expected} was asked for")]
    WrongDType {
        /// What was asked for.
        expected: DType,
        /// What the tensor holds.
        got: DType,
    },
    /// Text was asked for as numbers.
    #[error("a string tensor has no numeric values")]
    NotNumeric,
    /// A byte of a `bool` tensor is neither 0 nor 1.
    #[error("element {index} of a bool tensor is the byte {value}, expected 0 or 1")]
    BadBool {
        /// Which element, counted from 0.
        index: u64,
        /// The byte.
        value: u8,
    },
    /// A value does not fit into four bits.
    #[error("value {value} at index {index} does not fit into {dtype}")]
    NibbleRange {
        /// `U4` or `I4`.
        dtype: DType,
        /// Which element, counted from 0.
        index: u64,
        /// The value.
        value: i16,
    },
    /// The data ends within a text element.
    #[error("string data ends within element {index}")]
    TextCut {
        /// Which element, counted from 0.
        index: u64,
    },
    /// Bytes are left after the last text element.
    #[error("{bytes} bytes are left over after {elements} string elements")]
    TextLeftOver {
        /// Elements of the shape.
        elements: u64,
        /// Bytes behind the last of them.
        bytes: usize,
    },
    /// A text element is not UTF-8.
    #[error("string element {index} is not UTF-8")]
    TextNotUtf8 {
        /// Which element, counted from 0.
        index: u64,
        /// Where the encoding breaks.
        #[source]
        source: std::str::Utf8Error,
    },
    /// A text element is longer than its four bytes of length can say.
    #[error("string element {index} is longer than 4 GiB")]
    TextTooLong {
        /// Which element, counted from 0.
        index: u64,
    },
}
