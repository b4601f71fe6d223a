//! The Open Inference Protocol v2: requests and responses as JSON, and with binary tensor data behind the JSON.
//!
//! In JSON form the elements of a tensor stand in `data`, flat in row-major order or nested as the shape says. In
//! binary form the message is a JSON header, whose length travels beside it (in HTTP as
//! `Inference-Header-Content-Length`), and then the bytes of each tensor that has `parameters.binary_data_size`, in
//! the order of the header and without gaps. The two mix freely within one message.
//!
//! What the protocol leaves open is decided like this:
//!
//! - **Integers** are exact over the whole range of their type. A number with a fraction or an exponent is no integer.
//! - **Floats** are written with the fewest digits that read back to the same value. `FP32` and `FP64` are read with
//!   one rounding; `FP16` and `BF16`, which are plain numbers in JSON too, are read by way of a double. A finite
//!   number that would become infinite is refused.
//! - **NaN and the infinities** do not exist in JSON. In a response they are written as `null`, and the tensor's
//!   `parameters.non_finite` says how many there are; a client that must tell them apart asks for binary data. In a
//!   request, `null` in a float tensor reads as NaN. (Of the servers that speak the protocol, some write bare `NaN`,
//!   which is no JSON, and some `null`.)
//! - **`BOOL`** is `true` or `false`. **`BYTES`** is a string in JSON, and must be UTF-8 in binary form too.
//! - **`INT4` and `UINT4`** are an extension, see [`DType::oip_name`](crate::DType::oip_name).
//! - Members that this module does not know are ignored. Shared memory is refused, because there is none to share.

mod data;
mod error;
mod limits;
mod message;
mod object;
mod request;
mod response;
mod scan;
mod write;

pub use error::{DataError, OipError};
pub use limits::Limits;
pub use message::{BinaryMessage, Parameters};
pub use object::Object;
pub use request::{InferRequest, RequestedOutput};
pub use response::InferResponse;
