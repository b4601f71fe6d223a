//! The binary frame: one message that carries a small JSON document and any number of named tensors.
//!
//! Both directions of a browser's data connection use it. All numbers are little-endian, and every part starts at a
//! multiple of 8, so that a page can lay typed arrays over the payloads where they arrived.
//!
//! ```text
//!  0  u32  magic, the bytes "WNF1"
//!  4  u16  kind           what the message is; opaque here
//!  6  u16  tensor count
//!  8  u64  id             which request it belongs to; opaque here
//! 16  u32  meta length    UTF-8 JSON; opaque here
//! 20  u32  table length
//! 24  u64  total length   equals the length of the message
//! 32  meta, zero padded to a multiple of 8
//!     table, one entry a tensor:
//!       u8   element type, see `DType::wire_code`
//!       u8   rank
//!       u16  name length
//!       u32  zero
//!       u64  payload length
//!       u64  dimensions, one each
//!       name, UTF-8, zero padded to a multiple of 8
//!     payloads in the order of the table, each zero padded to a multiple of 8
//! ```
//!
//! There is exactly one frame for a given content: padding and reserved bytes must be zero.

mod decode;
mod encode;
mod error;

pub use decode::{Frame, Limits, decode};
pub use encode::encode;
pub use error::FrameError;

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"WNF1";

/// Bytes before the meta part.
pub const HEADER_LEN: usize = 32;

/// Bytes of a table entry before its dimensions.
const ENTRY_LEN: usize = 16;

/// The next multiple of 8; `None` above `u64::MAX`.
const fn padded(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(8)
}
