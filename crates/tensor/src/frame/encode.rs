//! Writing a frame.

use bytes::Bytes;

use super::{ENTRY_LEN, FrameError, HEADER_LEN, MAGIC, padded};
use crate::NamedTensor;

/// Writes a frame: one allocation of the exact size, into which every part is copied once.
///
/// `kind`, `id` and `meta` travel as they are. Nothing but the frame's own number widths bounds the content: the
/// reader's [`Limits`](super::Limits) decide what it accepts.
///
/// # Errors
/// More than 65 535 tensors or bytes of a name, a rank above 255, or 4 GiB of meta or table.
pub fn encode(kind: u16, id: u64, meta: &[u8], tensors: &[NamedTensor]) -> Result<Bytes, FrameError> {
    let count = narrow::<u16>("tensor count", tensors.len(), u16::MAX.into())?;
    let meta_len = narrow::<u32>("meta length", meta.len(), u32::MAX.into())?;
    let mut table_len = 0_u64;
    let mut total = add(HEADER_LEN as u64, meta.len())?;
    for NamedTensor { name, tensor } in tensors {
        narrow::<u8>("rank", tensor.shape().rank(), u8::MAX.into())?;
        narrow::<u16>("name length", name.len(), u16::MAX.into())?;
        table_len += (ENTRY_LEN + 8 * tensor.shape().rank() + name.len().next_multiple_of(8)) as u64;
        total = add(total, tensor.data().len())?;
    }
    let table_len = narrow::<u32>("table length", table_len, u32::MAX.into())?;
    total = add(total, table_len as usize)?;

    let capacity = narrow::<usize>("frame length", total, usize::MAX as u64)?;
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&meta_len.to_le_bytes());
    out.extend_from_slice(&table_len.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
    put_padded(&mut out, meta);
    for NamedTensor { name, tensor } in tensors {
        let dims = tensor.shape().dims();
        // Both were found to fit above.
        out.push(tensor.dtype().wire_code());
        out.push(dims.len() as u8);
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(tensor.data().len() as u64).to_le_bytes());
        dims.iter().for_each(|dim| out.extend_from_slice(&dim.to_le_bytes()));
        put_padded(&mut out, name.as_bytes());
    }
    for NamedTensor { name: _, tensor } in tensors {
        put_padded(&mut out, tensor.data());
    }
    debug_assert_eq!(out.len(), capacity, "the length was computed before anything was written");
    Ok(out.into())
}

/// Every part starts at a multiple of 8 in the frame, so padding the vector's length pads the part.
fn put_padded(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(part);
    out.resize(out.len().next_multiple_of(8), 0);
}

fn narrow<T: TryFrom<u64>>(what: &'static str, got: impl TryInto<u64>, limit: u64) -> Result<T, FrameError> {
    let got = got.try_into().unwrap_or(u64::MAX);
    T::try_from(got).map_err(|_| FrameError::OverLimit { what, got, limit })
}

fn add(total: u64, part: usize) -> Result<u64, FrameError> {
    let sum = padded(part as u64).and_then(|part| total.checked_add(part));
    sum.ok_or(FrameError::OverLimit { what: "frame length", got: u64::MAX, limit: usize::MAX as u64 })
}
