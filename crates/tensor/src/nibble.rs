//! Four-bit elements: two a byte, the first one in the low nibble.

/// Packs the low nibbles of the values; an odd last one shares its byte with zero bits.
pub(crate) fn pack(nibbles: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nibbles.size_hint().0.div_ceil(2));
    for (index, nibble) in nibbles.enumerate() {
        match bytes.last_mut() {
            Some(last) if index % 2 == 1 => *last |= nibble << 4,
            _ => bytes.push(nibble & 0x0f),
        }
    }
    bytes
}

/// The first `count` nibbles, each 0 to 15.
pub(crate) fn unpack(bytes: &[u8], count: usize) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(|byte| [byte & 0x0f, byte >> 4]).take(count)
}

/// Reads a nibble as a two's-complement number, −8 to 7.
pub(crate) const fn sign_extend(nibble: u8) -> i8 {
    ((nibble << 4) as i8) >> 4
}
