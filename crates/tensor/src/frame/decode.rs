//! Reading a frame: every length is checked against the bytes that are there before it is used.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{ENTRY_LEN, FrameError, HEADER_LEN, MAGIC};
use crate::{DType, NamedTensor, Shape, Tensor};

/// The largest frame that a reader accepts. The defaults suit a loopback connection to one browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole frame. Default: 256 MiB.
    pub max_frame_bytes: u64,
    /// Tensors in one frame. Default: 1024.
    pub max_tensors: usize,
    /// Dimensions of one tensor. Default: 32.
    pub max_rank: usize,
    /// Bytes of one tensor's name. Default: 4096.
    pub max_name_bytes: usize,
    /// Bytes of the meta part. Default: 1 MiB.
    pub max_meta_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 256 << 20,
            max_tensors: 1024,
            max_rank: 32,
            max_name_bytes: 4096,
            max_meta_bytes: 1 << 20,
        }
    }
}

/// A frame that was read. The meta part and every tensor's data are slices of the message, not copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the message is; its meaning belongs to the protocol that uses the frame.
    pub kind: u16,
    /// Which request it belongs to.
    pub id: u64,
    /// The JSON document; whether it is one has not been checked.
    pub meta: Bytes,
    /// The tensors in the order of the table; names may repeat.
    pub tensors: Vec<NamedTensor>,
}

/// Reads a frame without copying payloads. Allocates in proportion to bytes that have arrived, never to a claim.
///
/// # Errors
/// The bytes are no frame, or one beyond the limits.
pub fn decode(message: Bytes, limits: &Limits) -> Result<Frame, FrameError> {
    let got = message.len();
    at_most("frame length", got, limits.max_frame_bytes)?;
    let mut rest = message;
    if got < HEADER_LEN {
        return Err(FrameError::TooShort { got });
    }
    let mut magic = [0; 4];
    rest.copy_to_slice(&mut magic);
    if magic != MAGIC {
        return Err(FrameError::BadMagic { got: magic });
    }
    let kind = rest.get_u16_le();
    let count = usize::from(rest.get_u16_le());
    let id = rest.get_u64_le();
    let meta_len = rest.get_u32_le();
    let table_len = rest.get_u32_le();
    let claimed = rest.get_u64_le();
    if claimed != got as u64 {
        return Err(FrameError::WrongTotal { claimed, got: got as u64 });
    }
    at_most("tensor count", count, limits.max_tensors as u64)?;
    at_most("meta length", meta_len, limits.max_meta_bytes as u64)?;

    let meta = take_padded(&mut rest, meta_len.into(), "meta")?;
    let mut table = take(&mut rest, table_len.into(), "table")?;
    // Each tensor has an entry, so the table that arrived bounds how many there can be.
    if count.saturating_mul(ENTRY_LEN) > table.len() {
        return Err(FrameError::Truncated { what: "table" });
    }
    let mut tensors = Vec::with_capacity(count);
    for index in 0..count {
        tensors.push(take_tensor(&mut table, &mut rest, index, limits)?);
    }
    all_taken(&table, "the table's entries")?;
    all_taken(&rest, "the payloads")?;
    Ok(Frame { kind, id, meta, tensors })
}

fn take_tensor(
    table: &mut Bytes,
    payloads: &mut Bytes,
    index: usize,
    limits: &Limits,
) -> Result<NamedTensor, FrameError> {
    let mut entry = take(table, ENTRY_LEN as u64, "table entry")?;
    let code = entry.get_u8();
    let rank = entry.get_u8();
    let name_len = entry.get_u16_le();
    let reserved = entry.get_u32_le();
    let byte_len = entry.get_u64_le();
    if reserved != 0 {
        return Err(FrameError::NotZero { what: "reserved bytes of a table entry" });
    }
    at_most("rank", rank, limits.max_rank as u64)?;
    at_most("name length", name_len, limits.max_name_bytes as u64)?;
    let mut dims = take(table, 8 * u64::from(rank), "dimensions")?;
    let dims: Vec<u64> = (0..rank).map(|_| dims.get_u64_le()).collect();
    let name = take_padded(table, name_len.into(), "name")?;
    let name = std::str::from_utf8(&name).map_err(|source| FrameError::NameNotUtf8 { index, source })?;
    let Some(dtype) = DType::from_wire_code(code) else {
        return Err(FrameError::UnknownDType { name: name.to_owned(), code });
    };
    let payload = take_padded(payloads, byte_len, "payload")?;
    match Tensor::new(dtype, Shape::from(dims), payload) {
        Ok(tensor) => Ok(NamedTensor { name: Arc::from(name), tensor }),
        Err(source) => Err(FrameError::Tensor { name: name.to_owned(), source }),
    }
}

fn take(from: &mut Bytes, length: u64, what: &'static str) -> Result<Bytes, FrameError> {
    match usize::try_from(length) {
        Ok(length) if length <= from.len() => Ok(from.split_to(length)),
        _ => Err(FrameError::Truncated { what }),
    }
}

fn take_padded(from: &mut Bytes, length: u64, what: &'static str) -> Result<Bytes, FrameError> {
    let part = take(from, length, what)?;
    // The part is in memory, so its length is far from the end of u64.
    let padding = take(from, length.next_multiple_of(8) - length, what)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(FrameError::NotZero { what: "padding" });
    }
    Ok(part)
}

fn all_taken(rest: &Bytes, what: &'static str) -> Result<(), FrameError> {
    match rest.len() as u64 {
        0 => Ok(()),
        bytes => Err(FrameError::LeftOver { what, bytes }),
    }
}

fn at_most(what: &'static str, got: impl TryInto<u64>, limit: u64) -> Result<(), FrameError> {
    let got = got.try_into().unwrap_or(u64::MAX);
    if got > limit { Err(FrameError::OverLimit { what, got, limit }) } else { Ok(()) }
}
