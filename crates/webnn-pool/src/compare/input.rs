//! Inputs made from a model's signature, the same for the same seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tensor::{Bindings, DType, Dim, NamedTensor, Signature, Tensor, TensorError, TensorSpec, bf16, f16};

/// Bytes that generated inputs may have together.
const MOST_BYTES: u64 = 1 << 30;

/// The size that a symbolic dimension gets where nobody gave one: part of its name, and the size.
const ASSUMED: [(&str, u64); 5] =
    [("past", u64::MAX), ("batch", 1), ("seq", 16), ("length", 16), ("time", 16)];

/// Why no inputs could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputsError {
    /// A dimension has a name and no size, and the name tells nothing of it.
    #[error(
        "input {input} has a dimension {dim:?} of any size: give it one with --dim {dim}=SIZE, or give --input"
    )]
    NoSize {
        /// The input as the model declares it.
        input: String,
        /// The dimension.
        dim: String,
    },
    /// A dimension has neither name nor size.
    #[error("input {input} has a dimension without name and size: give --input")]
    NoName {
        /// The input as the model declares it.
        input: String,
    },
    /// A size was given for a dimension that the model does not have.
    #[error("the model has no dimension {dim:?}; it has {known}")]
    NoSuchDim {
        /// The name that was given.
        dim: String,
        /// Those that it has.
        known: String,
    },
    /// The inputs would be too large.
    #[error(
        "input {input} would have more than {MOST_BYTES} bytes together with those before it: give smaller sizes"
    )]
    TooLarge {
        /// The input as the model declares it.
        input: String,
    },
    /// Values of this type are not made up.
    #[error("input {input} has an element type for which no values are made up: give --input")]
    Type {
        /// The input as the model declares it.
        input: String,
    },
    /// A tensor could not be made.
    #[error("input {input} could not be made")]
    Tensor {
        /// The input as the model declares it.
        input: String,
        /// Why.
        #[source]
        source: TensorError,
    },
}

/// Inputs, and the sizes that were assumed for them.
#[derive(Debug, Clone)]
pub(super) struct Generated {
    pub(super) inputs: Vec<NamedTensor>,
    pub(super) assumed: BTreeMap<String, u64>,
}

/// Makes one tensor for each input that must be given.
///
/// A symbolic dimension has the size in `sizes`, or, where its name says `batch`, 1, and where it says `seq`, `length` or
/// `time`, 16. Floating-point numbers are uniform in [−1, 1); integers are 1, or below 100 where the name says `ids` or
/// `token`, 0 where it says `type`, and rising where it says `position`; masks are ones and booleans true.
///
/// # Errors
/// [`InputsError`] names the input and says what to give.
pub(super) fn generate(signature: &Signature, sizes: &Bindings, seed: u64) -> Result<Generated, InputsError> {
    let mut assumed = BTreeMap::new();
    let mut known: Vec<String> = Vec::new();
    let mut inputs = Vec::new();
    let mut bytes = 0_u64;
    for (at, spec) in signature.inputs.iter().enumerate() {
        let symbols = spec.dims.iter().flatten().filter_map(|dim| match dim {
            Dim::Symbol(name) => Some(name.to_string()),
            _ => None,
        });
        known.extend(symbols);
        if spec.optional {
            continue;
        }
        let shape = shape(spec, sizes, &mut assumed)?;
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
        let size = elements.and_then(|elements| elements.checked_mul(8));
        bytes = size
            .and_then(|size| bytes.checked_add(size))
            .filter(|&all| all <= MOST_BYTES)
            .ok_or_else(|| InputsError::TooLarge { input: spec.to_string() })?;
        let mut random = SplitMix(seed ^ (at as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
        let tensor = fill(spec, &shape, elements.unwrap_or(0), &mut random)?;
        inputs.push(NamedTensor::new(Arc::clone(&spec.name), tensor));
    }
    if let Some(dim) = sizes.keys().find(|dim| !known.iter().any(|known| **known == ***dim)) {
        known.sort();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(InputsError::NoSuchDim { dim: dim.to_string(), known });
    }
    Ok(Generated { inputs, assumed })
}

fn shape(
    spec: &TensorSpec,
    sizes: &Bindings,
    assumed: &mut BTreeMap<String, u64>,
) -> Result<Vec<u64>, InputsError> {
    let unnamed = || InputsError::NoName { input: spec.to_string() };
    let dims = spec.dims.as_ref().ok_or_else(unnamed)?;
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => Ok(*size),
        Dim::Unknown => Err(unnamed()),
        Dim::Symbol(name) => {
            if let Some(size) = sizes.get(name) {
                return Ok(*size);
            }
            let lower = name.to_lowercase();
            match ASSUMED.iter().find(|(part, _)| lower.contains(part)) {
                Some(&(_, size)) if size < u64::MAX => {
                    assumed.insert(name.to_string(), size);
                    Ok(size)
                }
                // Caches of steps that were not taken: nobody can say how many.
                _ => Err(InputsError::NoSize { input: spec.to_string(), dim: name.to_string() }),
            }
        }
    };
    dims.iter().map(size).collect()
}

fn fill(
    spec: &TensorSpec,
    shape: &[u64],
    elements: u64,
    random: &mut SplitMix,
) -> Result<Tensor, InputsError> {
    let name = spec.name.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let last = shape.last().copied().unwrap_or(1).max(1);
    let mask = says(&["mask"]);
    let float = |random: &mut SplitMix| if mask { 1.0 } else { 2.0 * random.unit() - 1.0 };
    let integer = |at: u64, random: &mut SplitMix| -> u8 {
        match () {
            () if mask => 1,
            () if says(&["type"]) => 0,
            () if says(&["position"]) => u8::try_from(at % last).unwrap_or(u8::MAX),
            () if says(&["ids", "token"]) => (1 + random.next() % 99) as u8,
            () => 1,
        }
    };
    macro_rules! integers {
        ($type:ty) => {
            Tensor::from_vec(
                shape,
                (0..elements).map(|at| <$type>::from(integer(at, random))).collect::<Vec<_>>(),
            )
        };
    }
    macro_rules! floats {
        ($convert:expr) => {
            Tensor::from_vec(shape, (0..elements).map(|_| $convert(float(random))).collect::<Vec<_>>())
        };
    }
    let made = match spec.dtype {
        DType::F32 => floats!(|value: f64| value as f32),
        DType::F64 => floats!(|value: f64| value),
        DType::F16 => floats!(f16::from_f64),
        DType::Bf16 => floats!(bf16::from_f64),
        DType::I64 => integers!(i64),
        DType::I32 => integers!(i32),
        DType::I16 => integers!(i16),
        DType::U64 => integers!(u64),
        DType::U32 => integers!(u32),
        DType::U16 => integers!(u16),
        DType::U8 => integers!(u8),
        DType::I8 => {
            let small = |at| i8::try_from(integer(at, random)).unwrap_or(i8::MAX);
            Tensor::from_vec(shape, (0..elements).map(small).collect::<Vec<_>>())
        }
        DType::Bool => Tensor::from_vec(shape, vec![true; usize::try_from(elements).unwrap_or(0)]),
        DType::String => Tensor::from_strings(shape, &vec!["text"; usize::try_from(elements).unwrap_or(0)]),
        _ => return Err(InputsError::Type { input: spec.to_string() }),
    };
    made.map_err(|source| InputsError::Tensor { input: spec.to_string(), source })
}

/// A generator whose numbers are the same everywhere and for ever (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(inputs: &[(&str, DType, &[&str])]) -> Signature {
        let dim = |text: &&str| match text.parse() {
            Ok(size) => Dim::Fixed(size),
            Err(_) if *text == "?" => Dim::Unknown,
            Err(_) => Dim::Symbol((*text).into()),
        };
        let spec = |(name, dtype, dims): &(&str, DType, &[&str])| TensorSpec {
            name: (*name).into(),
            dtype: *dtype,
            dims: Some(dims.iter().map(dim).collect()),
            optional: false,
        };
        Signature { inputs: inputs.iter().map(spec).collect(), outputs: Vec::new() }
    }

    fn bert() -> Signature {
        signature(&[
            ("input_ids", DType::I64, &["batch", "sequence"]),
            ("attention_mask", DType::I64, &["batch", "sequence"]),
            ("token_type_ids", DType::I64, &["batch", "sequence"]),
        ])
    }

    #[test]
    fn what_is_made_fits_and_is_the_same_again() {
        let signature = bert();
        let made = generate(&signature, &Bindings::new(), 1).expect("inputs");
        let dims = signature.bind(&made.inputs).expect("they fit");
        assert_eq!((dims["batch"], dims["sequence"]), (1, 16));
        assert_eq!(made.assumed, [("batch".to_owned(), 1), ("sequence".to_owned(), 16)].into());
        let values = |at: usize| made.inputs[at].tensor.to_vec::<i64>().expect("integers");
        assert!(values(0).iter().all(|id| (1..100).contains(id)) && values(0)[0] != values(0)[1]);
        assert_eq!(values(1), [1; 16]);
        assert_eq!(values(2), [0; 16]);
        let again = generate(&signature, &Bindings::new(), 1).expect("inputs");
        assert!(super::super::judge::identical(&made.inputs, &again.inputs));
        let other = generate(&signature, &Bindings::new(), 2).expect("inputs");
        assert!(!super::super::judge::identical(&made.inputs, &other.inputs));
    }

    #[test]
    fn sizes_that_are_given_count() {
        let sizes: Bindings = [("sequence".into(), 4_u64), ("batch".into(), 2)].into();
        let made = generate(&bert(), &sizes, 1).expect("inputs");
        assert_eq!(made.inputs[0].tensor.shape().dims(), [2, 4]);
        assert!(made.assumed.is_empty());
    }

    #[track_caller]
    fn check_error(signature: &Signature, sizes: &[(&str, u64)], part: &str) {
        let sizes: Bindings = sizes.iter().map(|(name, size)| ((*name).into(), *size)).collect();
        let error = generate(signature, &sizes, 1).expect_err("it cannot be made").to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        check_error(&signature(&[("x", DType::F32, &["1", "width"])]), &[], "--dim width=SIZE");
        check_error(&signature(&[("x", DType::F32, &["past_sequence"])]), &[], "--dim past_sequence=SIZE");
        check_error(&signature(&[("x", DType::F32, &["?"])]), &[], "give --input");
        check_error(&bert(), &[("sequenc", 4)], "it has batch, sequence");
        check_error(&bert(), &[("sequence", 1 << 40)], "smaller sizes");
    }

    #[test]
    fn every_type_that_engines_take_is_made() {
        for dtype in DType::ALL {
            let made = generate(&signature(&[("x", *dtype, &["2", "3"])]), &Bindings::new(), 1);
            let refused = matches!(made, Err(InputsError::Type { .. }));
            let odd = matches!(dtype.as_str(), "complex64" | "complex128" | "int4" | "uint4")
                || dtype.as_str().starts_with("float8");
            assert!(made.is_ok() || (refused && odd), "{dtype}: {made:?}");
        }
    }
}
