//! The few pieces of the protobuf wire format that skimming and streaming need.

use std::io::{self, Read};

pub(crate) const VARINT: u64 = 0;
pub(crate) const FIXED64: u64 = 1;
pub(crate) const LENGTH: u64 = 2;
pub(crate) const FIXED32: u64 = 5;

/// Appends a variable-length number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the head of a field.
pub(crate) fn put_key(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    put_varint(out, field << 3 | wire_type);
}

/// Appends a field that holds bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(out, field, LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that a variable-length number takes.
pub(crate) const fn varint_len(value: u64) -> u64 {
    let bits = 64 - (value | 1).leading_zeros() as u64;
    bits.div_ceil(7)
}

/// Reads a variable-length number, and says how many bytes it took.
pub(crate) fn read_varint(from: &mut impl Read) -> io::Result<(u64, u64)> {
    let mut value = 0_u64;
    for taken in 0..10 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f).checked_shl(taken * 7).unwrap_or(0);
        if byte[0] < 0x80 {
            return Ok((value, u64::from(taken) + 1));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "a number has more than ten bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_are_as_long_as_promised() {
        for value in [0, 1, 127, 128, 300, 1 << 21, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len() as u64, varint_len(value));
            assert_eq!(read_varint(&mut bytes.as_slice()).expect("it is whole"), (value, bytes.len() as u64));
        }
    }
}
