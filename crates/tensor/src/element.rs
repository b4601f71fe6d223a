//! The Rust types that can be elements, and the one place that knows about byte order.

use bytemuck::{CheckedBitPattern, NoUninit};
use half::{bf16, f16};

use crate::DType;

mod sealed {
    #[expect(unnameable_types, reason = "a trait that cannot be named is what seals `Element`")]
    pub trait Sealed {}
}

/// A Rust type whose values are the elements of a tensor of one [`DType`].
///
/// Four-bit numbers and text have no such type: see [`Tensor::unpack_i4`](crate::Tensor::unpack_i4),
/// [`Tensor::unpack_u4`](crate::Tensor::unpack_u4) and [`Tensor::strings`](crate::Tensor::strings). The trait is
/// sealed, because the set of element types is closed.
pub trait Element: NoUninit + CheckedBitPattern + Send + Sync + sealed::Sealed + 'static {
    /// The element type that this Rust type stands for.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident,)+) => {
        $(
            impl sealed::Sealed for $rust {}
            impl Element for $rust {
                const DTYPE: DType = DType::$dtype;
            }
        )+
    };
}

elements! {
    bool => Bool,
    u8 => U8,
    u16 => U16,
    u32 => U32,
    u64 => U64,
    i8 => I8,
    i16 => I16,
    i32 => I32,
    i64 => I64,
    f16 => F16,
    bf16 => Bf16,
    f32 => F32,
    f64 => F64,
}

/// Whether memory and tensors have the same byte order for elements of this size.
pub(crate) const fn native_order<T>() -> bool {
    cfg!(target_endian = "little") || size_of::<T>() == 1
}

/// The little-endian bytes of the values.
pub(crate) fn to_le_bytes<T: Element>(values: &[T]) -> Vec<u8> {
    let mut bytes = bytemuck::cast_slice::<T, u8>(values).to_vec();
    if !native_order::<T>() {
        bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    bytes
}

/// Reads every element; `None` where a byte pattern is no value of the type, which only `bool` has.
pub(crate) fn from_le_bytes<T: Element>(bytes: &[u8]) -> Option<Vec<T>> {
    if native_order::<T>()
        && let Ok(values) = bytemuck::checked::try_cast_slice::<u8, T>(bytes)
    {
        return Some(values.to_vec());
    }
    let read = |chunk: &[u8]| {
        let mut buffer = [0_u8; 8];
        let element = &mut buffer[..size_of::<T>()];
        element.copy_from_slice(chunk);
        if !native_order::<T>() {
            element.reverse();
        }
        bytemuck::checked::try_pod_read_unaligned::<T>(element).ok()
    };
    bytes.chunks_exact(size_of::<T>()).map(read).collect()
}

/// A vector of elements seen as bytes, so that it can become shared bytes without a copy.
pub(crate) struct VecBytes<T>(pub(crate) Vec<T>);

impl<T: Element> AsRef<[u8]> for VecBytes<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}
