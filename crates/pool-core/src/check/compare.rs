//! Whether two answers are the same.

use tensor::{DType, NamedTensor};

use super::CheckConfig;

/// What makes two answers different.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Difference {
    /// They do not have the same outputs, or not of the same element type and shape.
    #[error("output {0:?} is missing, or has another element type or shape")]
    Form(String),
    /// Numbers are too far apart.
    #[error("output {output:?} is {off:.2e} off at a scale of {scale:.2e}")]
    Numbers {
        /// In which output.
        output: String,
        /// By how much at most; NaN where one of two numbers is none.
        off: f64,
        /// The largest magnitude in the reference, at least 1.
        scale: f64,
    },
    /// Too many integers, booleans or strings differ.
    #[error("{share:.3} of the values of output {output:?} differ")]
    Values {
        /// In which output.
        output: String,
        /// How many of all, from 0 to 1.
        share: f64,
    },
}

impl Difference {
    /// The largest absolute difference, where it is one of floating-point numbers.
    pub(crate) fn off(&self) -> Option<f64> {
        match self {
            Self::Numbers { off, .. } => Some(*off),
            _ => None,
        }
    }
}

/// Compares an answer with a reference, by name, whatever the order.
///
/// Floating-point numbers may be |a − b| ≤ tolerance · max(1, max |reference|) apart; NaN and infinities must be in the
/// same places. `coarse` says that most of the model's weights have fewer than 32 bits. Of other values a share may
/// differ. Takes time and memory in proportion to the outputs.
///
/// # Errors
/// The first difference.
pub(crate) fn compare(
    reference: &[NamedTensor],
    answer: &[NamedTensor],
    coarse: bool,
    config: &CheckConfig,
) -> Result<(), Difference> {
    if reference.len() != answer.len() {
        let missing = reference.iter().find(|wanted| answer.iter().all(|got| got.name != wanted.name));
        let which = missing.or_else(|| answer.first()).map_or_else(String::new, |one| one.name.to_string());
        return Err(Difference::Form(which));
    }
    for wanted in reference {
        let got = answer.iter().find(|got| got.name == wanted.name);
        let alike = got.filter(|got| {
            got.tensor.dtype() == wanted.tensor.dtype() && got.tensor.shape() == wanted.tensor.shape()
        });
        let Some(got) = alike else { return Err(Difference::Form(wanted.name.to_string())) };
        if got.tensor.data() != wanted.tensor.data() {
            compare_one(wanted, got, coarse, config)?;
        }
    }
    Ok(())
}

fn compare_one(
    wanted: &NamedTensor,
    got: &NamedTensor,
    coarse: bool,
    config: &CheckConfig,
) -> Result<(), Difference> {
    let output = || wanted.name.to_string();
    let dtype = wanted.tensor.dtype();
    let short = match dtype {
        DType::F32 | DType::F64 => false,
        DType::F16 | DType::Bf16 => true,
        _ => return compare_values(wanted, got, config),
    };
    let (Ok(wanted), Ok(got)) = (wanted.tensor.to_f64_vec(), got.tensor.to_f64_vec()) else {
        return compare_values(wanted, got, config);
    };
    let finite = wanted.iter().copied().filter(|number| number.is_finite());
    let scale = finite.fold(1.0_f64, |scale, number| scale.max(number.abs()));
    let tolerance = config.tolerance.unwrap_or(if coarse || short { 5e-2 } else { 1e-3 });
    let mut off = 0.0_f64;
    for (a, b) in wanted.iter().zip(&got) {
        if a == b || (a.is_nan() && b.is_nan()) {
            continue;
        }
        let apart = (a - b).abs();
        if !apart.is_finite() {
            return Err(Difference::Numbers { output: output(), off: f64::NAN, scale });
        }
        off = off.max(apart);
    }
    if off > tolerance * scale {
        return Err(Difference::Numbers { output: output(), off, scale });
    }
    Ok(())
}

fn compare_values(wanted: &NamedTensor, got: &NamedTensor, config: &CheckConfig) -> Result<(), Difference> {
    let count = wanted.tensor.elements().max(1) as f64;
    let differ = match (wanted.tensor.strings(), got.tensor.strings()) {
        (Ok(wanted), Ok(got)) => wanted.iter().zip(&got).filter(|(a, b)| a != b).count(),
        _ => match (wanted.tensor.to_f64_vec(), got.tensor.to_f64_vec()) {
            (Ok(wanted), Ok(got)) => wanted.iter().zip(&got).filter(|(a, b)| a != b).count(),
            // Whatever it is, its bytes differ.
            _ => wanted.tensor.elements().try_into().unwrap_or(usize::MAX),
        },
    };
    let share = differ as f64 / count;
    if share > config.other_values {
        return Err(Difference::Values { output: wanted.name.to_string(), share });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor::Tensor;

    fn floats(name: &str, values: &[f32]) -> NamedTensor {
        NamedTensor::new(name, Tensor::from_slice(&[values.len() as u64][..], values).expect("a tensor"))
    }

    fn ints(values: &[i64]) -> NamedTensor {
        NamedTensor::new("ids", Tensor::from_slice(&[values.len() as u64][..], values).expect("a tensor"))
    }

    #[track_caller]
    fn check(reference: &[NamedTensor], answer: &[NamedTensor], same: bool) {
        let result = compare(reference, answer, false, &CheckConfig::default());
        assert_eq!(result.is_ok(), same, "{result:?}");
    }

    #[test]
    fn numbers_may_be_a_little_apart() {
        check(&[floats("a", &[1.0, 2.0])], &[floats("a", &[1.000_5, 2.0])], true);
        check(&[floats("a", &[1.0, 2.0])], &[floats("a", &[1.01, 2.0])], false);
        check(&[floats("a", &[1.0, 1_000.0])], &[floats("a", &[1.5, 1_000.0])], true);
        check(&[floats("a", &[0.0, 1e-9])], &[floats("a", &[0.0, -1e-9])], true);
    }

    #[test]
    fn what_is_no_number_must_be_in_the_same_places() {
        check(&[floats("a", &[f32::NAN, 1.0])], &[floats("a", &[f32::NAN, 1.0])], true);
        check(&[floats("a", &[f32::NAN, 1.0])], &[floats("a", &[1.0, f32::NAN])], false);
        check(&[floats("a", &[f32::INFINITY, 1.0])], &[floats("a", &[f32::INFINITY, 1.000_1])], true);
        check(&[floats("a", &[f32::INFINITY])], &[floats("a", &[f32::NEG_INFINITY])], false);
    }

    #[test]
    fn form_counts_and_order_does_not() {
        let (a, b) = (floats("a", &[1.0]), floats("b", &[2.0]));
        check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], true);
        check(&[a.clone(), b.clone()], std::slice::from_ref(&a), false);
        check(std::slice::from_ref(&a), &[b], false);
        check(&[a], &[floats("a", &[1.0, 1.0])], false);
    }

    #[test]
    fn few_of_many_other_values_may_differ() {
        let many: Vec<i64> = (0..1_000).collect();
        let mut few = many.clone();
        few[7] = 0;
        check(&[ints(&many)], &[ints(&few)], true);
        check(&[ints(&[1, 2, 3])], &[ints(&[1, 2, 4])], false);
    }
}
