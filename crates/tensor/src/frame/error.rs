//! What can be wrong with a frame.

use crate::TensorError;

/// Bytes that are no frame, a frame beyond the limits, or content that no frame can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is shorter than a header.
    #[error("a frame has at least {} bytes, but {got} arrived", super::HEADER_LEN)]
    TooShort {
        /// Bytes that arrived.
        got: usize,
    },
    /// The message does not start like a frame.
    #[error("the message starts with {got:02x?}, which is no frame")]
    BadMagic {
        /// The first four bytes.
        got: [u8; 4],
    },
    /// The length in the header is not that of the message.
    #[error("the header claims {claimed} bytes, but {got} arrived")]
    WrongTotal {
        /// The length in the header.
        claimed: u64,
        /// Bytes that arrived.
        got: u64,
    },
    /// A part is larger than a limit allows.
    #[error("{what} is {got}, above the limit of {limit}")]
    OverLimit {
        /// What is too large, for example `tensor count`.
        what: &'static str,
        /// Its size.
        got: u64,
        /// The largest size allowed.
        limit: u64,
    },
    /// A part ends outside of the message.
    #[error("{what} does not fit into the frame")]
    Truncated {
        /// Which part.
        what: &'static str,
    },
    /// Bytes that must be zero are not.
    #[error("{what} must be zero")]
    NotZero {
        /// Which bytes.
        what: &'static str,
    },
    /// The table or the message is longer than its parts.
    #[error("{bytes} bytes are left over after {what}")]
    LeftOver {
        /// After what.
        what: &'static str,
        /// How many bytes.
        bytes: u64,
    },
    /// The name of a tensor is not UTF-8.
    #[error("the name of tensor {index} is not UTF-8")]
    NameNotUtf8 {
        /// Which tensor, counted from 0.
        index: usize,
        /// Where the encoding breaks.
        #[source]
        source: std::str::Utf8Error,
    },
    /// No element type has this code.
    #[error("tensor {name:?} has the element type code {code}, which is not assigned")]
    UnknownDType {
        /// The name of the tensor.
        name: String,
        /// The code.
        code: u8,
    },
    /// The payload is not what element type and shape say.
    #[error("tensor {name:?} is malformed")]
    Tensor {
        /// The name of the tensor.
        name: String,
        /// What is wrong.
        #[source]
        source: TensorError,
    },
}
