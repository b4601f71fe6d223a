//! Tensors of this project to tensors of tract and back, made-up inputs, and differences.

use std::error::Error;

use tensor::{DType, Dim, Element, NamedTensor, Tensor, TensorError, TensorSpec, f16};
use tract_onnx::prelude::{Datum, DatumType, Tensor as TractTensor};

use crate::failure::Failure;

/// Does the same for every element type that both sides have.
macro_rules! for_each_type {
    ($do:ident) => {
        $do!(
            Bool bool, U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F16 f16, F32 f32,
            F64 f64
        )
    };
}

/// The type under which tract knows elements of this one.
pub(crate) fn datum_type(dtype: DType) -> Result<DatumType, Failure> {
    macro_rules! choose {
        ($($name:ident $rust:ty),*) => {
            match dtype {
                $(DType::$name => Ok(<$rust>::datum_type()),)*
                other => Err(Failure::NotForTract(other)),
            }
        };
    }
    for_each_type!(choose)
}

pub(crate) fn to_tract(tensor: &Tensor) -> Result<TractTensor, Failure> {
    fn copy<T: Element + Datum>(tensor: &Tensor) -> Result<TractTensor, Failure> {
        let values = tensor.to_vec::<T>().map_err(Failure::Tensor)?;
        TractTensor::from_shape(&dims(tensor), &values)
            .map_err(|source| Failure::Tract { doing: "take a tensor for", source })
    }
    macro_rules! choose {
        ($($name:ident $rust:ty),*) => {
            match tensor.dtype() {
                $(DType::$name => copy::<$rust>(tensor),)*
                other => Err(Failure::NotForTract(other)),
            }
        };
    }
    for_each_type!(choose)
}

pub(crate) fn from_tract(tensor: &TractTensor) -> Result<Tensor, Failure> {
    fn copy<T: Element + Datum>(tensor: &TractTensor) -> Result<Tensor, Failure> {
        let failed = |source| Failure::Tract { doing: "give a tensor of", source };
        let values = tensor.to_plain_array_view::<T>().map_err(failed)?.iter().copied().collect();
        let dims: Vec<u64> = tensor.shape().iter().map(|&dim| dim as u64).collect();
        Tensor::from_vec(dims.as_slice(), values).map_err(Failure::Tensor)
    }
    macro_rules! choose {
        ($($name:ident $rust:ty),*) => {
            match tensor.datum_type() {
                $(other if other == <$rust>::datum_type() => copy::<$rust>(tensor),)*
                // Sizes that were computed from shapes; in ONNX they are numbers like others.
                DatumType::TDim => {
                    let failed = |source| Failure::Tract { doing: "give the sizes of", source };
                    copy::<i64>(&*tensor.cast_to::<i64>().map_err(failed)?)
                }
                other => Err(Failure::NotFromTract(other)),
            }
        };
    }
    for_each_type!(choose)
}

pub(crate) fn dims(tensor: &Tensor) -> Vec<usize> {
    tensor.shape().dims().iter().map(|&dim| dim as usize).collect()
}

/// A tensor that fits an input: fractions between −1 and 1, or zeros and ones, which are indices and masks for every
/// model. `size` says how large an open dimension is.
pub(crate) fn made_up(spec: &TensorSpec, size: impl Fn(&Dim) -> u64) -> Result<NamedTensor, Box<dyn Error>> {
    let dims: Vec<u64> = spec.dims.iter().flatten().map(size).collect();
    let count = dims.iter().product::<u64>();
    // The fractional parts of multiples of an irrational number are spread evenly, and the same each time.
    let fraction = |at: u64| (at as f64 * 0.618_033_988_749_895).fract() * 2.0 - 1.0;
    let dims = dims.as_slice();
    let tensor = match spec.dtype {
        DType::F32 => Tensor::from_vec(dims, (0..count).map(|at| fraction(at) as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::from_vec(dims, (0..count).map(fraction).collect::<Vec<_>>()),
        DType::I64 => Tensor::from_vec(dims, (0..count).map(|at| ((at + 1) % 2) as i64).collect::<Vec<_>>()),
        DType::I32 => Tensor::from_vec(dims, (0..count).map(|at| ((at + 1) % 2) as i32).collect::<Vec<_>>()),
        DType::Bool => Tensor::from_vec(dims, vec![true; count as usize]),
        other => return Err(format!("no {other} is made up: hand in a request for {}", spec.name).into()),
    };
    Ok(NamedTensor::new(spec.name.clone(), tensor?))
}

/// Whether every value is a number.
pub(crate) fn is_numbers(tensor: &Tensor) -> bool {
    tensor.to_f64_vec().is_ok_and(|values| values.iter().all(|value| value.is_finite()))
}

/// The largest difference between two tensors, and the largest magnitude of the first one. Infinite where they are not of
/// one type and shape, or where a value of the second one is no number.
pub(crate) fn difference(whole: &Tensor, parts: &Tensor) -> Result<(f64, f64), TensorError> {
    if whole.dtype() != parts.dtype() || whole.shape() != parts.shape() {
        return Ok((f64::INFINITY, 0.0));
    }
    let (whole, parts) = (whole.to_f64_vec()?, parts.to_f64_vec()?);
    let apart = whole.iter().zip(&parts).map(|(a, b)| match (a - b).abs() {
        _ if a == b => 0.0,
        apart if apart.is_nan() => f64::INFINITY,
        apart => apart,
    });
    let scale = whole.iter().map(|value| value.abs());
    Ok((apart.fold(0.0, f64::max), scale.fold(0.0, f64::max)))
}
