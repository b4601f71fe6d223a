//! How far an answer is from a reference, and whether that is too far.

use serde::{Deserialize, Serialize};
use tensor::{DType, NamedTensor};
use vocab::{Backend, DeviceKind};

/// How far floating-point numbers may be from the reference: `max(abs, rel · scale)`, where the scale of an output is the
/// largest magnitude in its reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs, reason = "an absolute and a relative part are all that there is")]
pub struct Tolerance {
    /// What is allowed in any case.
    pub abs: f64,
    /// What is allowed for each unit of the output's scale.
    pub rel: f64,
}

impl Tolerance {
    /// What fits a model whose weights are mostly of this element type (as
    /// [`ResolvedModel::precision`](crate::ResolvedModel::precision) has it), computed there.
    ///
    /// Full precision on a processor: 1e-4, ten times what the worst of the project's fixtures needed. On a graphics device
    /// or an accelerator: 1e-3, because those may reorder sums, fuse, and use faster approximations. Weights of 16 bits: 2e-2,
    /// and quantised ones: 5e-2, because engines round at different places.
    #[must_use]
    pub fn fitting(precision: &str, backend: Backend, device: &DeviceKind) -> Self {
        let both = |share| Self { abs: share, rel: share };
        match precision {
            "" | "FP32" | "FP64" | "float32" | "float64" => match (backend, device) {
                (Backend::Wasm, _) | (_, DeviceKind::Cpu) => both(1e-4),
                _ => both(1e-3),
            },
            "FP16" | "BF16" | "float16" | "bfloat16" => both(2e-2),
            _ => both(5e-2),
        }
    }

    fn allows(&self, scale: f64) -> f64 {
        self.abs.max(self.rel * scale)
    }

    /// The same with what 16-bit outputs need at least.
    fn for_output(self, dtype: DType) -> Self {
        match dtype {
            DType::F16 | DType::Bf16 => Self { abs: self.abs.max(2e-2), rel: self.rel.max(2e-2) },
            _ => self,
        }
    }
}

/// How an answer differs from the reference: the worst over all outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Numbers {
    /// Whether it is within what is allowed.
    pub right: bool,
    /// The largest absolute difference of floating-point numbers; absent where one of two numbers is none.
    pub max_abs: Option<f64>,
    /// The same as a share of the output's scale.
    pub max_rel: Option<f64>,
    /// The smallest cosine of an output and its reference, where they are floating-point numbers and not all zero.
    pub cosine: Option<f64>,
    /// The largest share of other values, such as integers and text, that differ. None may.
    pub other_values: f64,
    /// The output that is closest to, or farthest beyond, what is allowed.
    pub output: String,
    /// What is allowed there.
    pub allowed: f64,
    /// What was allowed in general.
    pub tolerance: Tolerance,
    /// What is wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Different answers that the same inputs got, more than one where the backend does not compute the same twice.
    pub answers: u32,
}

impl Numbers {
    fn new(tolerance: Tolerance) -> Self {
        Self {
            right: true,
            max_abs: Some(0.0),
            max_rel: Some(0.0),
            cosine: None,
            other_values: 0.0,
            output: String::new(),
            allowed: tolerance.abs,
            tolerance,
            problem: None,
            answers: 1,
        }
    }

    fn wrong(&mut self, problem: String) {
        self.right = false;
        self.problem.get_or_insert(problem);
    }

    /// The worse of two judgements of the same arm.
    pub(super) fn worst(self, other: Self) -> Self {
        let answers = self.answers + other.answers;
        let worse = match (self.right, other.right) {
            (true, false) => other,
            (false, true) => self,
            _ => match (self.max_abs, other.max_abs) {
                (Some(a), Some(b)) if a >= b => self,
                (None, _) => self,
                _ => other,
            },
        };
        Self { answers, ..worse }
    }
}

/// Compares an answer with a reference, by name, whatever the order; outputs that the reference does not have are not looked
/// at. NaN and infinities must be in the same places; integers,
/// booleans and text must be equal. Takes time and memory in proportion to the outputs.
#[must_use]
pub fn judge(reference: &[NamedTensor], answer: &[NamedTensor], tolerance: Tolerance) -> Numbers {
    let mut numbers = Numbers::new(tolerance);
    // How close the worst output is to what is allowed.
    let mut closest = -1.0;
    for wanted in reference {
        let Some(got) = answer.iter().find(|got| got.name == wanted.name) else {
            numbers.wrong(format!("output {:?} is missing", &*wanted.name));
            continue;
        };
        if got.tensor.dtype() != wanted.tensor.dtype() || got.tensor.shape() != wanted.tensor.shape() {
            numbers.wrong(format!("output {} instead of {}", form(got), form(wanted)));
            continue;
        }
        if wanted.tensor.dtype().is_float() {
            floats(wanted, got, tolerance.for_output(wanted.tensor.dtype()), &mut numbers, &mut closest);
        } else {
            others(wanted, got, &mut numbers);
        }
    }
    numbers
}

/// Whether two answers have the same names, forms and bytes.
pub(super) fn identical(a: &[NamedTensor], b: &[NamedTensor]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.name == b.name
                && a.tensor.dtype() == b.tensor.dtype()
                && a.tensor.shape() == b.tensor.shape()
                && a.tensor.data() == b.tensor.data()
        })
}

fn form(one: &NamedTensor) -> String {
    format!("{}: {}{}", one.name, one.tensor.dtype(), one.tensor.shape())
}

fn floats(
    wanted: &NamedTensor,
    got: &NamedTensor,
    tolerance: Tolerance,
    numbers: &mut Numbers,
    closest: &mut f64,
) {
    let name = &*wanted.name;
    let (Ok(wanted), Ok(got)) = (wanted.tensor.to_f64_vec(), got.tensor.to_f64_vec()) else {
        return numbers.wrong(format!("output {name:?} cannot be read as numbers"));
    };
    let scale =
        wanted.iter().filter(|value| value.is_finite()).fold(0.0_f64, |most, value| most.max(value.abs()));
    let allowed = tolerance.allows(scale);
    let (mut off, mut odd) = (0.0_f64, 0_usize);
    let (mut dot, mut first, mut second) = (0.0, 0.0, 0.0);
    for (a, b) in wanted.iter().zip(&got) {
        if a.is_finite() && b.is_finite() {
            off = off.max((a - b).abs());
            dot += a * b;
            first += a * a;
            second += b * b;
        } else if !(a == b || (a.is_nan() && b.is_nan())) {
            odd += 1;
        }
    }
    if first > 0.0 && second > 0.0 {
        let cosine = (dot / (first.sqrt() * second.sqrt())).clamp(-1.0, 1.0);
        numbers.cosine = Some(numbers.cosine.map_or(cosine, |before| before.min(cosine)));
    }
    if odd > 0 {
        (numbers.max_abs, numbers.max_rel) = (None, None);
        (numbers.output, numbers.allowed, *closest) = (name.to_owned(), allowed, f64::INFINITY);
        return numbers.wrong(format!("{odd} of {} values of output {name:?} are no finite numbers where the reference's are, or the other way round", got.len()));
    }
    numbers.max_abs = numbers.max_abs.map(|before| before.max(off));
    numbers.max_rel = numbers.max_rel.map(|before| before.max(off / scale.max(f64::MIN_POSITIVE)));
    let share = if allowed > 0.0 { off / allowed } else { off };
    if share > *closest {
        (numbers.output, numbers.allowed, *closest) = (name.to_owned(), allowed, share);
    }
    if off > allowed {
        numbers.wrong(format!(
            "output {name:?} is {off:.1e} off, and {allowed:.1e} is allowed at its scale of {scale:.1e}"
        ));
    }
}

fn others(wanted: &NamedTensor, got: &NamedTensor, numbers: &mut Numbers) {
    if wanted.tensor.data() == got.tensor.data() {
        return;
    }
    let count = wanted.tensor.elements().max(1) as f64;
    let differ = match (wanted.tensor.strings(), got.tensor.strings()) {
        (Ok(wanted), Ok(got)) => wanted.iter().zip(&got).filter(|(a, b)| a != b).count() as f64,
        _ => match (wanted.tensor.to_f64_vec(), got.tensor.to_f64_vec()) {
            (Ok(wanted), Ok(got)) => wanted.iter().zip(&got).filter(|(a, b)| a != b).count() as f64,
            // Whatever it is, its bytes differ.
            _ => count,
        },
    };
    let share = differ / count;
    numbers.other_values = numbers.other_values.max(share);
    if differ > 0.0 {
        numbers.wrong(format!("{differ} of {count} values of output {:?} differ", &*wanted.name));
    }
}

/// The largest group of answers that are within the tolerance of each other's first, as indices; `None` where another group
/// is as large, or where only one answer is there.
pub(super) fn majority(answers: &[(&[NamedTensor], Tolerance)]) -> Option<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, (answer, tolerance)) in answers.iter().enumerate() {
        let fits = |group: &&mut Vec<usize>| {
            let (first, other) = answers[group[0]];
            let wider = if other.abs > tolerance.abs { other } else { *tolerance };
            judge(first, answer, wider).right
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    match groups.as_slice() {
        [only] if only.len() > 1 => Some(only.clone()),
        [largest, next, ..] if largest.len() > next.len() => Some(largest.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tensor::Tensor;

    use super::*;

    const EXACT: Tolerance = Tolerance { abs: 1e-4, rel: 1e-4 };

    fn floats(values: &[f32]) -> NamedTensor {
        NamedTensor::new("y", Tensor::from_slice(&[values.len() as u64][..], values).expect("a tensor"))
    }

    fn ints(values: &[i64]) -> NamedTensor {
        NamedTensor::new("ids", Tensor::from_slice(&[values.len() as u64][..], values).expect("a tensor"))
    }

    #[track_caller]
    fn check(reference: &NamedTensor, answer: &NamedTensor, right: bool) -> Numbers {
        let numbers = judge(std::slice::from_ref(reference), std::slice::from_ref(answer), EXACT);
        assert_eq!(numbers.right, right, "{numbers:?}");
        assert_eq!(numbers.problem.is_none(), right, "{numbers:?}");
        numbers
    }

    #[test]
    fn what_is_allowed_grows_with_the_scale() {
        let close = check(&floats(&[1.0, 2.0]), &floats(&[1.000_1, 2.0]), true);
        assert!((close.max_abs.expect("a number") - 1e-4).abs() < 1e-6 && close.output == "y");
        check(&floats(&[0.1, 0.2]), &floats(&[0.1, 0.200_3]), false);
        check(&floats(&[1_000.0, 0.0]), &floats(&[1_000.05, 0.05]), true);
        check(&floats(&[1_000.0, 0.0]), &floats(&[1_000.2, 0.0]), false);
    }

    #[test]
    fn what_is_no_number_must_be_in_the_same_places() {
        check(&floats(&[f32::NAN, f32::INFINITY]), &floats(&[f32::NAN, f32::INFINITY]), true);
        let odd = check(&floats(&[1.0, 1.0]), &floats(&[f32::NAN, 1.0]), false);
        assert_eq!(odd.max_abs, None);
        check(&floats(&[f32::INFINITY]), &floats(&[f32::NEG_INFINITY]), false);
    }

    #[test]
    fn zeros_for_numbers_are_wrong_and_point_nowhere() {
        let zeros = check(&floats(&[0.3, 0.4]), &floats(&[0.0, 0.0]), false);
        assert_eq!(zeros.cosine, None);
        let turned = check(&floats(&[0.3, 0.4]), &floats(&[-0.3, -0.4]), false);
        assert!((turned.cosine.expect("a cosine") + 1.0).abs() < 1e-6);
    }

    #[test]
    fn other_values_are_equal_or_wrong() {
        check(&ints(&[1, 2, 3]), &ints(&[1, 2, 3]), true);
        let one = check(&ints(&[1, 2, 3, 4]), &ints(&[1, 2, 3, 5]), false);
        assert!((one.other_values - 0.25).abs() < 1e-12);
    }

    #[test]
    fn forms_are_compared_first() {
        check(&floats(&[1.0]), &floats(&[1.0, 1.0]), false);
        check(&ints(&[1]), &floats(&[1.0]), false);
    }

    /// The groups of single numbers, and the majority among them.
    #[track_caller]
    fn check_majority(values: &[f32], expected: Option<&[usize]>) {
        let answers: Vec<_> = values.iter().map(|&value| [floats(&[value])]).collect();
        let answers: Vec<_> = answers.iter().map(|answer| (&answer[..], EXACT)).collect();
        assert_eq!(majority(&answers).as_deref(), expected);
    }

    #[test]
    fn most_decide_and_a_tie_does_not() {
        check_majority(&[1.0, 1.0, 2.0], Some(&[0, 1]));
        check_majority(&[2.0, 1.0, 1.000_05], Some(&[1, 2]));
        check_majority(&[1.0, 1.0], Some(&[0, 1]));
        check_majority(&[1.0, 2.0], None);
        check_majority(&[1.0, 1.0, 2.0, 2.0], None);
        check_majority(&[1.0], None);
        check_majority(&[], None);
    }

    #[test]
    fn the_worse_of_two_counts_both() {
        let right = judge(&[floats(&[1.0])], &[floats(&[1.0])], EXACT);
        let wrong = judge(&[floats(&[1.0])], &[floats(&[2.0])], EXACT);
        let both = right.clone().worst(wrong.clone());
        assert!(!both.right && both.answers == 2);
        assert!(!wrong.worst(right).right);
    }
}
