//! What the recorder's thread and everybody who records have in common.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::flush::{Flush, Waiter};
use super::pace::after;
use super::queue::Queue;
use super::{FlushError, RecorderStats};
use crate::Observation;

/// The state behind its lock. Nothing that may take long happens under it.
#[derive(Debug)]
pub(super) struct Shared {
    capacity: u64,
    batch: usize,
    state: Mutex<State>,
    /// There is something to do for the thread.
    pub(super) work: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) queue: Queue,
    pub(super) stats: RecorderStats,
    pub(super) waiters: Vec<Waiter>,
    /// Until when to go on trying, where the recorder is to end.
    pub(super) ending: Option<Instant>,
    ended: bool,
}

/// The time, for waits and for telling when something happened.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread that waits needs a clock; decisions take `now` from it"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl Shared {
    pub(super) fn new(capacity: usize, batch: usize) -> Self {
        let state = State {
            queue: Queue::new(batch),
            stats: RecorderStats::default(),
            waiters: Vec::new(),
            ending: None,
            ended: false,
        };
        let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self { capacity, batch, state: Mutex::new(state), work: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn record(&self, observation: Observation) {
        let wake = {
            let mut state = self.lock();
            state.stats.recorded += 1;
            if state.ending.is_some() || state.ended || state.stats.waiting() > self.capacity {
                state.stats.lost += 1;
                return;
            }
            state.queue.push(observation);
            // The thread waits for a first one, and then for a whole batch.
            let queued = state.queue.len();
            queued == 1 || queued == self.batch
        };
        if wake {
            self.work.notify_one();
        }
    }

    pub(super) fn flush(&self) -> Flush {
        let flush = {
            let mut state = self.lock();
            if state.ended {
                let all = state.stats.recorded == state.stats.written;
                return Flush::answered(if all { Ok(()) } else { Err(FlushError::Ended) });
            }
            let waiting = state.stats.waiting();
            if waiting == 0 {
                return Flush::answered(Ok(()));
            }
            let (flush, waiter) = Flush::until(state.stats.written + waiting);
            state.waiters.retain(Waiter::is_awaited);
            state.waiters.push(waiter);
            flush
        };
        self.work.notify_one();
        flush
    }

    /// Lets the thread end: when everything is written, or after this time.
    pub(super) fn close(&self, limit: Duration) {
        self.lock().ending.get_or_insert_with(|| after(now(), limit));
        self.work.notify_one();
    }

    /// The thread has ended, and so have all hopes. Returns how many observations that costs.
    pub(super) fn end(&self) -> u64 {
        let (lost, waiters, queue) = {
            let mut state = self.lock();
            state.ended = true;
            let lost = state.stats.waiting();
            state.stats.lost += lost;
            let queue = std::mem::replace(&mut state.queue, Queue::new(self.batch));
            (lost, std::mem::take(&mut state.waiters), queue)
        };
        waiters.into_iter().for_each(|waiter| waiter.answer(Err(FlushError::Ended)));
        drop(queue);
        lost
    }
}
