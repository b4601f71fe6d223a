//! One tensor: element type, shape and shared bytes that agree with each other.

use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};

use crate::element::{VecBytes, from_le_bytes, native_order, to_le_bytes};
use crate::{DType, Element, Shape, TensorError, nibble, text};

/// A tensor: element type, shape, and its elements as little-endian bytes in row-major order.
///
/// Whoever holds one may rely on the data having exactly the length that type and shape say. Cloning shares the
/// bytes. Equality is that of the bytes, so a NaN equals the same NaN.
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    data: Bytes,
}

impl Tensor {
    /// Takes bytes as they are, without a copy.
    ///
    /// Text elements are four little-endian bytes of length and then UTF-8, which is the form of `BYTES` in the Open
    /// Inference Protocol.
    ///
    /// # Errors
    /// The data has the wrong length, a `bool` is neither 0 nor 1, or text is cut short or not UTF-8.
    pub fn new(dtype: DType, shape: impl Into<Shape>, data: Bytes) -> Result<Self, TensorError> {
        let shape = shape.into();
        if dtype == DType::String {
            text::walk(&shape, &data, |_| ())?;
            return Ok(Self { dtype, shape, data });
        }
        let expected = shape.elements().and_then(|elements| dtype.byte_len(elements));
        let expected = expected.ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
        let got = data.len() as u64;
        if expected != got {
            return Err(TensorError::WrongLength { dtype, shape, expected, got });
        }
        if dtype == DType::Bool
            && let Some(index) = data.iter().position(|&byte| byte > 1)
        {
            return Err(TensorError::BadBool { index: index as u64, value: data[index] });
        }
        Ok(Self { dtype, shape, data })
    }

    /// Copies the values.
    ///
    /// # Errors
    /// The shape has another number of elements than there are values.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Result<Self, TensorError> {
        let shape = count(shape.into(), values.len())?;
        Ok(Self { dtype: T::DTYPE, shape, data: to_le_bytes(values).into() })
    }

    /// Takes the values over without a copy.
    ///
    /// # Errors
    /// The shape has another number of elements than there are values.
    pub fn from_vec<T: Element>(shape: impl Into<Shape>, values: Vec<T>) -> Result<Self, TensorError> {
        if !native_order::<T>() {
            return Self::from_slice(shape, &values);
        }
        let shape = count(shape.into(), values.len())?;
        Ok(Self { dtype: T::DTYPE, shape, data: Bytes::from_owner(VecBytes(values)) })
    }

    /// A tensor of no dimensions that holds one value.
    #[must_use]
    pub fn scalar<T: Element>(value: T) -> Self {
        Self { dtype: T::DTYPE, shape: Shape::scalar(), data: to_le_bytes(&[value]).into() }
    }

    /// A text tensor.
    ///
    /// # Errors
    /// The shape has another number of elements than there are texts, or one is longer than 4 GiB.
    pub fn from_strings<S: AsRef<str>>(shape: impl Into<Shape>, texts: &[S]) -> Result<Self, TensorError> {
        let shape = count(shape.into(), texts.len())?;
        let mut bytes = Vec::with_capacity(texts.iter().map(|text| 4 + text.as_ref().len()).sum());
        for (index, text) in texts.iter().enumerate() {
            text::push(&mut bytes, text.as_ref(), index as u64)?;
        }
        Ok(Self { dtype: DType::String, shape, data: bytes.into() })
    }

    /// An `int4` tensor from one value an element, each −8 to 7.
    ///
    /// # Errors
    /// A value is out of range, or the shape has another number of elements than there are values.
    pub fn pack_i4(shape: impl Into<Shape>, values: &[i8]) -> Result<Self, TensorError> {
        Self::pack(DType::I4, shape.into(), values, -8..=7)
    }

    /// A `uint4` tensor from one value an element, each 0 to 15.
    ///
    /// # Errors
    /// A value is out of range, or the shape has another number of elements than there are values.
    pub fn pack_u4(shape: impl Into<Shape>, values: &[u8]) -> Result<Self, TensorError> {
        Self::pack(DType::U4, shape.into(), values, 0..=15)
    }

    fn pack<T: Copy + Into<i16>>(
        dtype: DType,
        shape: Shape,
        values: &[T],
        range: std::ops::RangeInclusive<i16>,
    ) -> Result<Self, TensorError> {
        let shape = count(shape, values.len())?;
        if let Some(index) = values.iter().position(|&value| !range.contains(&value.into())) {
            return Err(TensorError::NibbleRange { dtype, index: index as u64, value: values[index].into() });
        }
        let nibbles = values.iter().map(|&value| value.into().to_le_bytes()[0]);
        Ok(Self { dtype, shape, data: nibble::pack(nibbles).into() })
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements: little-endian, row-major, as [`Tensor::new`] takes them.
    #[must_use]
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// How many elements there are.
    #[must_use]
    pub fn elements(&self) -> u64 {
        // A tensor whose elements cannot be counted was refused when it was made.
        self.shape.elements().unwrap_or(u64::MAX)
    }

    /// The same data under another shape, without a copy.
    ///
    /// # Errors
    /// The new shape has another number of elements.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self, TensorError> {
        let shape = shape.into();
        let expected = shape.elements().ok_or_else(|| TensorError::TooLarge { shape: shape.clone() })?;
        let got = self.elements();
        if expected != got {
            return Err(TensorError::WrongCount { shape, expected, got });
        }
        Ok(Self { dtype: self.dtype, shape, data: self.data.clone() })
    }

    /// The values, copied.
    ///
    /// # Errors
    /// The tensor holds another element type; nothing is converted.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, TensorError> {
        self.expect(T::DTYPE)?;
        // Only a `bool` has invalid bytes, and they were refused when the tensor was made.
        Ok(from_le_bytes(&self.data).unwrap_or_default())
    }

    /// The values where they lie, without a copy: `None` if the element type is another, the bytes are not aligned
    /// for it, or the machine's byte order differs. [`Tensor::to_vec`] always works.
    #[must_use]
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        if self.dtype != T::DTYPE || !native_order::<T>() {
            return None;
        }
        bytemuck::checked::try_cast_slice(&self.data).ok()
    }

    /// The texts of a string tensor, borrowed.
    ///
    /// # Errors
    /// The tensor holds another element type.
    pub fn strings(&self) -> Result<Vec<&str>, TensorError> {
        self.expect(DType::String)?;
        let mut texts = Vec::new();
        text::walk(&self.shape, &self.data, |text| texts.push(text))?;
        Ok(texts)
    }

    /// The values of an `int4` tensor, one an element.
    ///
    /// # Errors
    /// The tensor holds another element type.
    pub fn unpack_i4(&self) -> Result<Vec<i8>, TensorError> {
        self.expect(DType::I4)?;
        Ok(self.nibbles().map(nibble::sign_extend).collect())
    }

    /// The values of a `uint4` tensor, one an element.
    ///
    /// # Errors
    /// The tensor holds another element type.
    pub fn unpack_u4(&self) -> Result<Vec<u8>, TensorError> {
        self.expect(DType::U4)?;
        Ok(self.nibbles().collect())
    }

    /// Every value as `f64`, for comparing numbers of any type: `false` is 0 and `true` is 1. 64-bit integers beyond
    /// 2⁵³ are rounded.
    ///
    /// # Errors
    /// The tensor holds text.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>, TensorError> {
        fn wide<T: Element>(data: &[u8], widen: impl Fn(T) -> f64) -> Vec<f64> {
            from_le_bytes(data).unwrap_or_default().into_iter().map(widen).collect()
        }
        let data = &self.data;
        Ok(match self.dtype {
            DType::Bool => wide(data, |value: bool| f64::from(u8::from(value))),
            DType::U8 => wide(data, <f64 as From<u8>>::from),
            DType::U16 => wide(data, <f64 as From<u16>>::from),
            DType::U32 => wide(data, <f64 as From<u32>>::from),
            DType::U64 => wide(data, |value: u64| value as f64),
            DType::I8 => wide(data, <f64 as From<i8>>::from),
            DType::I16 => wide(data, <f64 as From<i16>>::from),
            DType::I32 => wide(data, <f64 as From<i32>>::from),
            DType::I64 => wide(data, |value: i64| value as f64),
            DType::U4 => self.nibbles().map(f64::from).collect(),
            DType::I4 => self.nibbles().map(nibble::sign_extend).map(f64::from).collect(),
            DType::F16 => wide(data, f16::to_f64),
            DType::Bf16 => wide(data, bf16::to_f64),
            DType::F32 => wide(data, <f64 as From<f32>>::from),
            DType::F64 => wide(data, |value: f64| value),
            DType::String => return Err(TensorError::NotNumeric),
        })
    }

    pub(crate) fn nibbles(&self) -> impl Iterator<Item = u8> + '_ {
        nibble::unpack(&self.data, usize::try_from(self.elements()).unwrap_or(usize::MAX))
    }

    fn expect(&self, expected: DType) -> Result<(), TensorError> {
        if self.dtype == expected {
            Ok(())
        } else {
            Err(TensorError::WrongDType { expected, got: self.dtype })
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({}{}, {} bytes)", self.dtype, self.shape, self.data.len())
    }
}

/// A tensor with the name of the input or output that it belongs to. Cloning shares both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// The name of the input or output.
    pub name: Arc<str>,
    /// The tensor.
    pub tensor: Tensor,
}

impl NamedTensor {
    /// Puts a name to a tensor.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor }
    }
}

fn count(shape: Shape, values: usize) -> Result<Shape, TensorError> {
    let Some(expected) = shape.elements() else { return Err(TensorError::TooLarge { shape }) };
    let got = values as u64;
    if expected == got { Ok(shape) } else { Err(TensorError::WrongCount { shape, expected, got }) }
}
