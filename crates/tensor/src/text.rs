//! Text elements: each is four little-endian bytes of length and then UTF-8, one after the other.

use crate::{Shape, TensorError};

/// Appends one element.
pub(crate) fn push(bytes: &mut Vec<u8>, text: &str, index: u64) -> Result<(), TensorError> {
    let length = u32::try_from(text.len()).map_err(|_| TensorError::TextTooLong { index })?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Walks the elements and hands each to `visit`; checks that there are exactly as many as the shape holds.
pub(crate) fn walk<'a>(
    shape: &Shape,
    mut bytes: &'a [u8],
    mut visit: impl FnMut(&'a str),
) -> Result<(), TensorError> {
    let elements = shape.elements().ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
    for index in 0..elements {
        let cut = || TensorError::TextCut { index };
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        visit(std::str::from_utf8(text).map_err(|source| TensorError::TextNotUtf8 { index, source })?);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(()) } else { Err(TensorError::TextLeftOver { elements, bytes: bytes.len() }) }
}
