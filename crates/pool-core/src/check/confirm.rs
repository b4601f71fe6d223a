//! Whether what a guest answered is what the owner's workers compute.

use tensor::{Dim, NamedTensor};
use vocab::RequestId;

use super::{Case, CheckConfig, Difference, Party, compare};
use crate::{Model, WorkerLink};

/// What a comparison with the owner's workers showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// One of them computes the same.
    Right,
    /// One of them computes something else, and again the same something else, or another one does too.
    Wrong(Difference),
    /// One of them does not repeat itself: the model is not a function of its inputs.
    Unpredictable,
    /// None of them answered.
    Nobody,
}

/// Compares what a guest gave, which is in `case`, with what the owner's workers give for the same inputs.
///
/// Cancellation safety: nothing is kept; calls that are dropped are given up.
pub(crate) async fn confirm<L: WorkerLink>(
    owners: &[Party<L>],
    model: &Model,
    case: &Case,
    request: RequestId,
    config: &CheckConfig,
) -> Verdict {
    let same = |reference: &[NamedTensor], answer: &[NamedTensor]| {
        compare(reference, answer, model.is_coarse(), config)
    };
    let mut left = owners.iter();
    let (first, theirs) = loop {
        let Some(party) = left.next() else { return Verdict::Nobody };
        if let Some(theirs) = party.run(case, request, config).await {
            break (party, theirs);
        }
    };
    let Err(difference) = same(&theirs, &case.outputs) else { return Verdict::Right };
    // Nobody is put out on one worker's word alone: it may be that one whose numbers are wrong.
    for other in left {
        let Some(second) = other.run(case, request, config).await else { continue };
        if same(&second, &case.outputs).is_ok() {
            return Verdict::Right;
        }
        if same(&theirs, &second).is_ok() {
            return Verdict::Wrong(difference);
        }
    }
    match first.run(case, request, config).await {
        Some(again) if same(&theirs, &again).is_ok() => Verdict::Wrong(difference),
        Some(_) => Verdict::Unpredictable,
        None => Verdict::Nobody,
    }
}

/// Whether outputs have the names, types and shapes that the model says, as far as it does. Of the owner's pages nobody asks
/// that: they do not make up what the runtime gave.
pub(crate) fn is_of_form(
    model: &Model,
    names: Option<&[std::sync::Arc<str>]>,
    outputs: &[NamedTensor],
) -> bool {
    let signature = &model.signature;
    let wanted = |name: &str| match names {
        Some(names) => names.iter().any(|wanted| **wanted == *name),
        None => signature.output(name).is_some(),
    };
    let expected = names.map_or(signature.outputs.len(), <[_]>::len);
    let fits = |output: &NamedTensor| {
        let Some(spec) = signature.output(&output.name).filter(|_| wanted(&output.name)) else {
            return false;
        };
        let shape = output.tensor.shape();
        spec.dtype == output.tensor.dtype()
            && spec.dims.as_ref().is_none_or(|dims| {
                let fixed = |(dim, size): (&Dim, &u64)| match dim {
                    Dim::Fixed(fixed) => fixed == size,
                    _ => true,
                };
                dims.len() == shape.dims().len() && dims.iter().zip(shape.dims()).all(fixed)
            })
    };
    let twice = |at: usize| outputs[..at].iter().any(|before| before.name == outputs[at].name);
    outputs.len() == expected && outputs.iter().all(fits) && !(0..outputs.len()).any(twice)
}
