//! The seam between decisions and deeds.

use tokio::time::Instant;
use vocab::Rung;

use crate::diagnosis::Signs;
use crate::rungs::RungSet;

/// Does to one subject what was decided.
///
/// Every call has a time by which it is dropped, so an implementation must bear being dropped at any await: what a
/// dropped call began must be undone, or be taken up by the next one. Calls never overlap. An implementation does one
/// thing at a time and does not repeat it by itself: how often and how soon is decided here.
pub trait Reviver: Send + Sync {
    /// Why a deed failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The rungs that exist here and now. It is asked before each decision, so switch should be in it only while
    /// somebody could take over.
    fn offers(&self) -> RungSet;

    /// What can be seen of the subject at this moment. It is asked after an attempt that failed, because that may have
    /// shown, or made, something worse.
    fn signs(&self) -> impl Future<Output = Signs> + Send;

    /// Does what a rung says. It is dropped at `until`, or earlier where a fresh diagnosis shows that it cannot help.
    fn attempt(
        &self,
        rung: Rung,
        until: Instant,
    ) -> impl Future<Output = Result<(), AttemptError<Self::Error>>> + Send;

    /// Has the subject prove that it works, after a deed that was done: for a ping, that it answered; for the others, the
    /// models that it had loaded are back, and a run with a known answer gave that.
    fn proved(&self, rung: Rung, until: Instant) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Why an attempt was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError<E> {
    /// There is no such rung here, after all. It is not tried again in this recovery, and nothing is learned from it.
    #[error("there is no such rung here")]
    Unavailable,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] E),
}
