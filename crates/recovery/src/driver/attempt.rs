//! One attempt: the deed, its proof, and the time that both have.

use tokio::time::{Instant, sleep_until, timeout_at};
use vocab::Rung;

use super::error::{AttemptFailure, AttemptPhase};
use super::reviver::{AttemptError, Reviver};
use crate::ladder::AttemptOutcome;

/// Does what a rung says, and has its success proved.
pub(super) async fn attempt<R: Reviver>(
    reviver: &R,
    rung: Rung,
    not_before: Instant,
    until: Instant,
) -> Result<(), AttemptFailure<R::Error>> {
    sleep_until(not_before).await;
    let after = until.saturating_duration_since(not_before);
    match timeout_at(until, reviver.attempt(rung, until)).await {
        Err(_) => return Err(AttemptFailure::TimedOut { rung, phase: AttemptPhase::Deed, after }),
        Ok(Err(AttemptError::Unavailable)) => return Err(AttemptFailure::Unavailable { rung }),
        Ok(Err(AttemptError::Failed(source))) => return Err(AttemptFailure::Failed { rung, source }),
        Ok(Ok(())) => {}
    }
    match timeout_at(until, reviver.proved(rung, until)).await {
        Err(_) => Err(AttemptFailure::TimedOut { rung, phase: AttemptPhase::Proof, after }),
        Ok(Err(source)) => Err(AttemptFailure::Unproved { rung, source }),
        Ok(Ok(())) => Ok(()),
    }
}

/// What the ladder is told.
pub(super) fn outcome<E: std::error::Error>(result: &Result<(), AttemptFailure<E>>) -> AttemptOutcome {
    match result {
        Ok(()) => AttemptOutcome::Worked,
        Err(AttemptFailure::TimedOut { .. }) => AttemptOutcome::TimedOut,
        Err(AttemptFailure::Failed { .. }) => AttemptOutcome::Failed,
        Err(AttemptFailure::Unproved { .. }) => AttemptOutcome::Unproved,
        Err(AttemptFailure::Unavailable { .. }) => AttemptOutcome::Unavailable,
    }
}
