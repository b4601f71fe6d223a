//! Named tensors over shared bytes, the binary frame, and the Open Inference Protocol v2 forms.
//!
//! A [`Tensor`] is an element type, a shape and [`bytes::Bytes`] that agree with each other; cloning and slicing share
//! the bytes. [`Signature::bind`] says whether tensors fit a model. [`mod@frame`] is the message that travels between
//! host and browser, [`oip`] the one that travels between a client and the host.
//!
//! This crate does **not** compute with tensors, convert between element types, read models, or do any I/O. It knows
//! no browser, no socket and no HTTP: a caller hands it whole messages and gets whole messages back.
//!
//! Everything that reads bytes from outside is bounded, allocates in proportion to what has arrived rather than to what
//! is claimed, and answers with a typed error instead of panicking.
//!
//! ```
//! use tensor::{NamedTensor, Tensor, frame};
//!
//! let ids = Tensor::from_vec([1, 4], vec![101_i64, 7592, 2088, 102])?;
//! let message = frame::encode(1, 42, br#"{"model":"m"}"#, &[NamedTensor::new("input_ids", ids)])?;
//!
//! let read = frame::decode(message, &frame::Limits::default())?;
//! assert_eq!(read.id, 42);
//! assert_eq!(read.tensors[0].tensor.to_vec::<i64>()?, [101, 7592, 2088, 102]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod frame;
pub mod oip;

mod bind;
mod dtype;
mod element;
mod error;
mod nearest;
mod nibble;
mod shape;
mod signature;
mod tensor;
mod text;

pub use bind::{Bindings, DimAt, InputError};
pub use dtype::{DType, UnknownDType};
pub use element::Element;
pub use error::TensorError;
pub use shape::Shape;
pub use signature::{Dim, Signature, TensorSpec};
pub use tensor::{NamedTensor, Tensor};

/// The two-byte floating-point types, so that users need not name the same version of `half` themselves.
pub use half::{bf16, f16};
