//! Waiting for a flush, by a thread or by a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use super::FlushError;

type Answer = Result<(), FlushError>;

/// A flush under way. A thread [`wait`](Self::wait)s for it; a task of whatever runtime awaits it.
///
/// It ends at the latest with the next failure of the store, so it does not wait for a disk to be emptied. Dropping it
/// changes nothing about what is written.
// Cancellation safety: the recorder holds no more than a weak reference to what waits.
#[derive(Debug)]
#[must_use = "it says whether everything is durable only to whoever waits for it"]
pub struct Flush {
    slot: Arc<Slot>,
}

/// Where the answer is put.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The recorder's end of a flush.
#[derive(Debug)]
pub(super) struct Waiter {
    /// How many observations must be written before.
    pub(super) target: u64,
    slot: Weak<Slot>,
}

impl Flush {
    /// A flush that waits until so many observations are written.
    pub(super) fn until(target: u64) -> (Self, Waiter) {
        let slot = Arc::new(Slot::default());
        let waiter = Waiter { target, slot: Arc::downgrade(&slot) };
        (Self { slot }, waiter)
    }

    /// A flush that is over.
    pub(super) fn answered(answer: Answer) -> Self {
        let state = State { answer: Some(answer), waker: None };
        Self { slot: Arc::new(Slot { state: Mutex::new(state), answered: Condvar::new() }) }
    }

    /// Blocks until everything that was recorded before the flush is durable.
    ///
    /// # Errors
    /// [`FlushError::Store`] as soon as a try to write fails, [`FlushError::Ended`] where there will be no other one.
    pub fn wait(self) -> Result<(), FlushError> {
        let mut state = self.slot.state.lock();
        loop {
            match state.answer.take() {
                Some(answer) => return answer,
                None => self.slot.answered.wait(&mut state),
            }
        }
    }
}

impl Future for Flush {
    type Output = Result<(), FlushError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.state.lock();
        if let Some(answer) = &state.answer {
            return Poll::Ready(answer.clone());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Waiter {
    /// Whether somebody still waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.slot.strong_count() > 0
    }

    pub(super) fn answer(self, answer: Answer) {
        let Some(slot) = self.slot.upgrade() else { return };
        let waker = {
            let mut state = slot.state.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        slot.answered.notify_all();
        // Not under the lock: a waker may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
