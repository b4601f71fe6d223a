//! The thread that writes.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use telemetry::{Event, StallCause};

use super::flush::Waiter;
use super::pace::{Pace, Step, Work};
use super::shared::{Shared, now};
use super::{FlushError, RecorderSettings, ShutdownError};
use crate::{Compacted, HistoryStore, Observation, StoreError};

/// How many bytes of an error's text are told.
const MOST_DETAIL: usize = 400;

pub(super) struct Writer {
    store: Box<dyn HistoryStore>,
    shared: Arc<Shared>,
    settings: RecorderSettings,
    pace: Pace,
    /// What is being written, or could not be.
    batch: Vec<Observation>,
    stalled: Option<Stall>,
}

/// The store fails.
struct Stall {
    since: Instant,
    /// How many observations were lost before.
    lost: u64,
    error: Arc<StoreError>,
}

impl Writer {
    pub(super) fn new(store: Box<dyn HistoryStore>, shared: Arc<Shared>, settings: RecorderSettings) -> Self {
        let pace = Pace::new(&settings, now());
        Self { store, shared, settings, pace, batch: Vec::new(), stalled: None }
    }

    /// Works until the end.
    pub(super) fn main(mut self) -> Result<(), ShutdownError> {
        // A panic of the store must not leave anybody waiting, and what it broke is not used again.
        let panicked = catch_unwind(AssertUnwindSafe(|| self.run())).is_err();
        let waiting = self.shared.lock().stats.waiting();
        if panicked && self.stalled.is_none() {
            self.emit(Event::HistoryStalled {
                cause: StallCause::Failed,
                detail: "the store panicked; nothing more is written".into(),
                waiting,
            });
        }
        let lost = self.shared.end();
        match (panicked, lost) {
            (true, lost) => Err(ShutdownError::Panicked { lost }),
            (false, 0) => Ok(()),
            (false, lost) => {
                let source = self.stalled.as_ref().map(|stall| stall.error.clone());
                Err(ShutdownError::Unwritten { lost, source })
            }
        }
    }

    fn run(&mut self) {
        loop {
            match self.next() {
                Step::Write => self.write(),
                Step::Compact => self.compact(),
                Step::End => return,
                Step::Wait(_) => {}
            }
        }
    }

    /// Waits until there is something to do.
    fn next(&mut self) -> Step {
        let mut state = self.shared.lock();
        loop {
            let work = Work {
                kept: !self.batch.is_empty(),
                queued: state.queue.len(),
                flush: !state.waiters.is_empty(),
                ending: state.ending,
            };
            match self.pace.next(work, now()) {
                Step::Wait(Some(until)) => {
                    self.shared.work.wait_until(&mut state, until);
                }
                Step::Wait(None) => self.shared.work.wait(&mut state),
                step => return step,
            }
        }
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            self.batch = self.shared.lock().queue.take();
        }
        match self.store.append(&self.batch) {
            Ok(()) => self.wrote(),
            Err(error) => self.failed(Arc::new(error)),
        }
    }

    fn wrote(&mut self) {
        let count = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        // Not under the lock: there may be thousands.
        self.batch = Vec::new();
        let (done, lost) = {
            let mut state = self.shared.lock();
            self.pace.wrote(state.ending.is_some());
            let stats = &mut state.stats;
            stats.written += count;
            stats.batches += 1;
            stats.stalled = false;
            let (written, lost) = (stats.written, stats.lost);
            let done: Vec<Waiter> = state.waiters.extract_if(.., |waiter| waiter.target <= written).collect();
            (done, lost)
        };
        // Told first, so that whoever waited finds it told.
        if let Some(Stall { since, lost: before, error: _ }) = self.stalled.take() {
            let stalled_ms = now().saturating_duration_since(since).as_secs_f64() * 1e3;
            self.emit(Event::HistoryResumed { stalled_ms, lost: lost - before });
        }
        done.into_iter().for_each(|waiter| waiter.answer(Ok(())));
    }

    fn failed(&mut self, error: Arc<StoreError>) {
        let (waiting, lost, ending) = {
            let mut state = self.shared.lock();
            let stats = &mut state.stats;
            stats.failures += 1;
            stats.stalled = true;
            stats.last_error = Some(error.clone());
            (stats.waiting(), stats.lost, state.ending.is_some())
        };
        let now = now();
        self.pace.failed(ending, now);
        match &mut self.stalled {
            Some(stall) => stall.error = error.clone(),
            None => {
                self.emit(Event::HistoryStalled { cause: cause(&error), detail: told(&error), waiting });
                self.stalled = Some(Stall { since: now, lost, error: error.clone() });
            }
        }
        let waiters = std::mem::take(&mut self.shared.lock().waiters);
        waiters.into_iter().for_each(|waiter| waiter.answer(Err(FlushError::Store(error.clone()))));
    }

    fn compact(&mut self) {
        let Some(retention) = self.settings.retention else { return };
        let dropped = self.store.compact((self.settings.clock)(), &retention);
        let more = dropped.as_ref().is_ok_and(|dropped| dropped.more);
        self.pace.compacted(more, now());
        match dropped {
            Ok(dropped) => {
                let Compacted { observations, hours, days, more } = dropped;
                let all = &mut self.shared.lock().stats.compacted;
                all.observations += observations;
                all.hours += hours;
                all.days += days;
                all.more = more;
            }
            Err(error) => {
                let detail = told(&error);
                {
                    let stats = &mut self.shared.lock().stats;
                    stats.failures += 1;
                    stats.last_error = Some(Arc::new(error));
                }
                // While nothing can be written either, it is the same trouble.
                if self.stalled.is_none() {
                    self.emit(Event::Orphan { operation: "compact history", worker: None, detail });
                }
            }
        }
    }

    fn emit(&self, event: Event) {
        self.settings.telemetry.emit(now(), event);
    }
}

fn cause(error: &StoreError) -> StallCause {
    match error {
        StoreError::Full { .. } => StallCause::Full,
        StoreError::Unreachable { .. } | StoreError::Unconfirmed { .. } => StallCause::Unreachable,
        StoreError::Unusable { .. } | StoreError::Newer { .. } => StallCause::Unusable,
        StoreError::Open { .. } | StoreError::Failed { .. } | StoreError::NotBuilt { .. } => {
            StallCause::Failed
        }
    }
}

/// An error with its causes, as far as there is room.
pub(super) fn told(error: &dyn Error) -> Arc<str> {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.truncate(text.floor_char_boundary(MOST_DETAIL));
    text.into()
}
