//! The elements of a tensor as a JSON array, written without building a tree.

use half::{bf16, f16};
use serde::{Serialize, Serializer};

use crate::{DType, Tensor, nibble};

/// Serializes as the flat array of the tensor's elements.
pub(super) struct JsonData<'a>(pub(super) &'a Tensor);

/// The elements of fixed width, each as its little-endian bytes.
fn chunks<const N: usize>(tensor: &Tensor) -> impl Iterator<Item = [u8; N]> + '_ {
    tensor.data().as_chunks::<N>().0.iter().copied()
}

impl Serialize for JsonData<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let tensor = self.0;
        match tensor.dtype() {
            DType::Bool => to.collect_seq(tensor.data().iter().map(|&byte| byte != 0)),
            DType::U8 => to.collect_seq(tensor.data().iter()),
            DType::U16 => to.collect_seq(chunks(tensor).map(u16::from_le_bytes)),
            DType::U32 => to.collect_seq(chunks(tensor).map(u32::from_le_bytes)),
            DType::U64 => to.collect_seq(chunks(tensor).map(u64::from_le_bytes)),
            DType::I8 => to.collect_seq(chunks(tensor).map(i8::from_le_bytes)),
            DType::I16 => to.collect_seq(chunks(tensor).map(i16::from_le_bytes)),
            DType::I32 => to.collect_seq(chunks(tensor).map(i32::from_le_bytes)),
            DType::I64 => to.collect_seq(chunks(tensor).map(i64::from_le_bytes)),
            DType::U4 => to.collect_seq(tensor.nibbles()),
            DType::I4 => to.collect_seq(tensor.nibbles().map(nibble::sign_extend)),
            // A value of two bytes is exact as `f32`, and what reads back to that reads back to the value.
            DType::F16 => to.collect_seq(chunks(tensor).map(|bytes| f16::from_le_bytes(bytes).to_f32())),
            DType::Bf16 => to.collect_seq(chunks(tensor).map(|bytes| bf16::from_le_bytes(bytes).to_f32())),
            DType::F32 => to.collect_seq(chunks(tensor).map(f32::from_le_bytes)),
            DType::F64 => to.collect_seq(chunks(tensor).map(f64::from_le_bytes)),
            DType::String => to.collect_seq(tensor.strings().map_err(serde::ser::Error::custom)?),
        }
    }
}

/// How many elements are NaN or infinite, which JSON cannot say.
pub(super) fn non_finite(tensor: &Tensor) -> u64 {
    let count = match tensor.dtype() {
        DType::F16 => chunks(tensor).filter(|&bytes| !f16::from_le_bytes(bytes).is_finite()).count(),
        DType::Bf16 => chunks(tensor).filter(|&bytes| !bf16::from_le_bytes(bytes).is_finite()).count(),
        DType::F32 => chunks(tensor).filter(|&bytes| !f32::from_le_bytes(bytes).is_finite()).count(),
        DType::F64 => chunks(tensor).filter(|&bytes| !f64::from_le_bytes(bytes).is_finite()).count(),
        _ => 0,
    };
    count as u64
}
