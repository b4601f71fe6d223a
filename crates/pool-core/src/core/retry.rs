//! What to do with a request after an attempt that failed.

use telemetry::RetryCause;
use vocab::FailureKind;

use crate::LinkError;

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same again, on whichever worker comes first.
    Again(RetryCause),
    /// Another worker; where there is none, the same one after it has loaded the model afresh.
    OtherWorkerOrReload(RetryCause),
    /// Another worker, and nothing else.
    OtherWorker(RetryCause),
    /// Another backend, where the caller allows it.
    OtherBackend,
    /// Another worker; where there is none, another backend, where the caller allows it.
    OtherWorkerOrBackend,
    /// Nothing.
    Nothing,
}

/// What may help against a failure of a load (`loading`) or a run. `freed` tells whether memory could be freed on the
/// worker since a load ran out of it.
pub(crate) fn remedy(error: &LinkError, loading: bool, freed: bool) -> Remedy {
    let kind = match error {
        LinkError::Vanished { .. } => return Remedy::Again(RetryCause::WorkerLost),
        LinkError::TimedOut { .. } | LinkError::Cancelled => {
            return Remedy::OtherWorkerOrReload(RetryCause::Interrupted);
        }
        LinkError::Reported { kind, message: _ } => kind,
    };
    match kind {
        FailureKind::OutOfMemory if loading && !freed => Remedy::OtherWorker(RetryCause::OutOfMemory),
        FailureKind::OutOfMemory => Remedy::OtherWorkerOrReload(RetryCause::OutOfMemory),
        FailureKind::DeviceLost => Remedy::OtherWorkerOrReload(RetryCause::DeviceLost),
        FailureKind::NoSuchSession if !loading => Remedy::Again(RetryCause::NoSuchSession),
        FailureKind::BackendUnavailable | FailureKind::WrongNumbers => Remedy::OtherWorkerOrBackend,
        FailureKind::UnsupportedOperator
        | FailureKind::UnsupportedDtype
        | FailureKind::UnsupportedByBackend => Remedy::OtherBackend,
        // The caller's or the model's fault, or a failure of which nobody knows that it would not happen again.
        _ => Remedy::Nothing,
    }
}

/// Whether a failed run leaves its session unusable.
pub(crate) fn breaks_session(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Reported {
            kind: FailureKind::OutOfMemory | FailureKind::DeviceLost | FailureKind::NoSuchSession,
            ..
        }
    )
}

/// Whether a failed load means that the backend cannot take the model at all.
pub(crate) fn refuses_model(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::Reported {
            kind: FailureKind::UnsupportedOperator
                | FailureKind::UnsupportedDtype
                | FailureKind::UnsupportedByBackend,
            ..
        }
    )
}

/// Whether a failed load or run means that its arm will not take the model next time either, at this size of inputs.
pub(crate) fn is_lasting(error: &LinkError) -> bool {
    refuses_model(error)
        || matches!(error, LinkError::Reported { kind: FailureKind::InvalidModel, message: _ })
}
