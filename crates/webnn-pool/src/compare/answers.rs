//! What an arm answered, over all its runs.

use std::sync::Arc;

use tensor::NamedTensor;

use super::judge::{Numbers, Tolerance, identical, judge};

/// The answers of one arm. Keeps two of them at most: where the reference is known, each is judged as it comes.
#[derive(Debug)]
pub(super) struct Answers {
    reference: Option<Arc<[NamedTensor]>>,
    tolerance: Tolerance,
    numbers: Option<Numbers>,
    first: Option<Vec<NamedTensor>>,
    /// One that is further from the first than is allowed.
    odd: Option<Vec<NamedTensor>>,
    /// The one that came last, where it was another one than the first.
    last: Option<Vec<NamedTensor>>,
    /// Changes from one answer to the next.
    changes: u32,
}

impl Answers {
    pub(super) fn new(reference: Option<Arc<[NamedTensor]>>, tolerance: Tolerance) -> Self {
        Self { reference, tolerance, numbers: None, first: None, odd: None, last: None, changes: 0 }
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// The first answer.
    pub(super) fn first(&self) -> Option<&[NamedTensor]> {
        self.first.as_deref()
    }

    /// Takes in the answer of one run. Comparing its bytes with those of the one before is all that is done, as long as they
    /// are the same.
    pub(super) fn take(&mut self, outputs: Vec<NamedTensor>) {
        let Some(first) = &self.first else {
            self.numbers =
                self.reference.as_deref().map(|reference| judge(reference, &outputs, self.tolerance));
            self.first = Some(outputs);
            return;
        };
        let before = self.last.as_ref().unwrap_or(first);
        if identical(before, &outputs) {
            return;
        }
        self.changes += 1;
        if let (Some(reference), Some(numbers)) = (self.reference.as_deref(), self.numbers.take()) {
            self.numbers = Some(numbers.worst(judge(reference, &outputs, self.tolerance)));
        } else if self.odd.is_none() && !judge(first, &outputs, self.tolerance).right {
            self.odd = Some(outputs.clone());
        }
        self.last = Some(outputs);
    }

    /// How the answers differ from the reference: the one that was known, or else this one.
    pub(super) fn finish(&self, found: Option<&[NamedTensor]>) -> Option<Numbers> {
        let mut numbers = match (&self.numbers, found, &self.first) {
            (Some(numbers), ..) => numbers.clone(),
            (None, Some(reference), Some(first)) => judge(reference, first, self.tolerance),
            _ => return None,
        };
        if let (None, Some(reference), Some(odd)) = (&self.numbers, found, &self.odd) {
            numbers = numbers.worst(judge(reference, odd, self.tolerance));
        }
        numbers.answers = self.changes + 1;
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use tensor::Tensor;

    use super::*;

    const TOLERANCE: Tolerance = Tolerance { abs: 1e-3, rel: 1e-3 };

    fn answer(value: f32) -> Vec<NamedTensor> {
        vec![NamedTensor::new("y", Tensor::from_slice([1], &[value]).expect("a tensor"))]
    }

    /// Takes these in, with the reference known before or after, and gives whether they are right and how many there were.
    #[track_caller]
    fn check(values: &[f32], right: bool, answers: u32) {
        for known in [true, false] {
            let reference: Arc<[NamedTensor]> = answer(1.0).into();
            let mut all = Answers::new(known.then(|| Arc::clone(&reference)), TOLERANCE);
            values.iter().for_each(|&value| all.take(answer(value)));
            let numbers = all.finish(Some(&reference)).expect("a judgement");
            assert_eq!((numbers.right, numbers.answers), (right, answers), "{numbers:?}");
        }
    }

    #[test]
    fn one_wrong_answer_among_many_is_wrong() {
        check(&[1.0, 1.0, 1.0], true, 1);
        check(&[1.0, 1.000_1, 1.0], true, 3);
        check(&[1.0, 1.0, 2.0, 1.0], false, 3);
        check(&[2.0, 1.0], false, 2);
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(Answers::new(None, TOLERANCE).finish(Some(&answer(1.0))), None);
        let mut alone = Answers::new(None, TOLERANCE);
        alone.take(answer(1.0));
        assert_eq!(alone.finish(None), None);
        assert!(alone.first().is_some());
    }
}
