//! What the numbers are held against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pool_core::{Model, ModelSource};
use provision::Home;
use tensor::{NamedTensor, Signature};

use super::answers::Answers;
use super::arm::ArmName;
use super::error::CompareError;
use super::judge::majority;
use super::native;
use super::options::{CompareOptions, Reference};
use super::report::{ReferenceFacts, ReferenceKind};

/// What is known before any browser has run.
pub(super) struct Known {
    pub(super) outputs: Option<Arc<[NamedTensor]>>,
    pub(super) facts: ReferenceFacts,
}

/// Finds the reference that is asked for, as far as it does not come from the arms.
///
/// # Errors
/// The one that was given does not fit, or the native runtime was asked for and gave none.
pub(super) async fn known(
    options: &CompareOptions,
    home: &Home,
    model: &Model,
    inputs: &[NamedTensor],
) -> Result<Known, CompareError> {
    match &options.reference {
        Reference::Given { outputs, from } => {
            fits(&model.signature, outputs)?;
            Ok(Known {
                outputs: Some(outputs.clone().into()),
                facts: facts(ReferenceKind::File, from.clone()),
            })
        }
        Reference::Majority => Ok(none("what most arms give".to_owned())),
        Reference::Native(python) => {
            let tried = python.clone().map_or_else(|| native::candidates(Some(home)), |python| vec![python]);
            let found = by_native(&tried, options, model, inputs).await?;
            found.ok_or_else(|| CompareError::NoNative { tried: names(&tried) })
        }
        Reference::Auto => {
            let tried = native::candidates(Some(home));
            match by_native(&tried, options, model, inputs).await {
                Ok(Some(known)) => Ok(known),
                Ok(None) => Ok(none("what most arms give; there is no native runtime here".to_owned())),
                // The browsers' runtimes may know what this one does not.
                Err(error) => {
                    let why = std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    Ok(none(format!("what most arms give; the native runtime gave no reference: {why}")))
                }
            }
        }
    }
}

fn facts(kind: ReferenceKind, description: String) -> ReferenceFacts {
    ReferenceFacts { kind, description, agreeing: Vec::new() }
}

fn none(description: String) -> Known {
    Known { outputs: None, facts: facts(ReferenceKind::Majority, description) }
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

async fn by_native(
    pythons: &[PathBuf],
    options: &CompareOptions,
    model: &Model,
    inputs: &[NamedTensor],
) -> Result<Option<Known>, CompareError> {
    let Some(path) = model_path(model) else { return Ok(None) };
    for python in pythons {
        if let Some(found) = native::run(python, path, inputs, options.timeout).await? {
            let facts = facts(
                ReferenceKind::Native,
                format!("ONNX Runtime {} on this machine's processor", found.version),
            );
            return Ok(Some(Known { outputs: Some(found.outputs.into()), facts }));
        }
    }
    Ok(None)
}

/// The model's file; a model in memory has none that another program could read.
fn model_path(model: &Model) -> Option<&Path> {
    match &model.files.first()?.source {
        ModelSource::Path(path) => Some(path),
        _ => None,
    }
}

fn fits(signature: &Signature, outputs: &[NamedTensor]) -> Result<(), CompareError> {
    let wrong = |problem: String| Err(CompareError::Reference { problem });
    if outputs.is_empty() {
        return wrong("it has no outputs".to_owned());
    }
    for output in outputs {
        match signature.output(&output.name) {
            None => {
                let known: Vec<&str> = signature.outputs.iter().map(|spec| &*spec.name).collect();
                return wrong(format!(
                    "it has an output {:?}, and the model has {}",
                    &*output.name,
                    known.join(", ")
                ));
            }
            Some(spec) if spec.dtype != output.tensor.dtype() => {
                return wrong(format!("output {spec} is {} in it", output.tensor.dtype()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What most arms gave, where no reference is known.
pub(super) fn by_majority(
    arms: &[(ArmName, &Answers)],
    before: &ReferenceFacts,
) -> (Option<Vec<NamedTensor>>, ReferenceFacts) {
    let answered: Vec<_> = arms
        .iter()
        .filter_map(|(name, answers)| Some((*name, answers.first()?, answers.tolerance())))
        .collect();
    let answers: Vec<_> = answered.iter().map(|(_, first, tolerance)| (*first, *tolerance)).collect();
    let Some(group) = majority(&answers) else {
        let why = match answered.len() {
            0 => "none: nothing ran",
            1 => "none: one arm ran alone, and there is nobody to hold it against",
            _ => "none: the arms do not agree, and no answer has more of them than another",
        };
        return (None, facts(ReferenceKind::None, why.to_owned()));
    };
    let agreeing: Vec<ArmName> = group.iter().map(|&at| answered[at].0).collect();
    let outputs = group.first().map(|&at| answered[at].1.to_vec());
    let description = format!("{}: {} of {} agree", before.description, agreeing.len(), answered.len());
    (outputs, ReferenceFacts { kind: ReferenceKind::Majority, description, agreeing })
}
