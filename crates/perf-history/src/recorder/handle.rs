//! What users hold: the recorder itself, and handles to record with.

use std::sync::Arc;
use std::thread::JoinHandle;

use telemetry::{Event, Telemetry};

use super::shared::{Shared, now};
use super::writer::{Writer, told};
use super::{Flush, RecorderSettings, RecorderStats, ShutdownError, StartError};
use crate::{HistoryStore, Observation};

/// Writes observations to a store on a thread of its own, so that whoever observes never waits for a disk or a server.
///
/// A store that fails is tried again until it works; meanwhile as many observations are kept as there is room for.
/// That is told by one event when it begins and one when it is over. Nothing that a store does ends the program.
///
/// Dropping a recorder is a [`shutdown`](Self::shutdown) whose result is an event at most.
#[derive(Debug)]
pub struct Recorder {
    handle: RecorderHandle,
    settings: RecorderSettings,
    thread: Option<JoinHandle<Result<(), ShutdownError>>>,
}

/// Records for a [`Recorder`]. Cloning is one reference count. It may outlive the recorder; what it records then is
/// counted as lost.
#[derive(Debug, Clone)]
pub struct RecorderHandle {
    shared: Arc<Shared>,
}

impl Recorder {
    /// Starts the thread that writes to the store.
    ///
    /// # Errors
    /// [`StartError`] says which setting makes no sense, or that there was no thread.
    pub fn start(store: Box<dyn HistoryStore>, settings: RecorderSettings) -> Result<Self, StartError> {
        settings.check()?;
        let shared = Arc::new(Shared::new(settings.capacity, settings.batch));
        let writer = Writer::new(store, shared.clone(), settings.clone());
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(move || writer.main());
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Self { handle: RecorderHandle { shared }, settings, thread })
    }

    /// The handle to record with, to be cloned by whoever needs one.
    #[must_use]
    pub fn handle(&self) -> &RecorderHandle {
        &self.handle
    }

    /// Writes what waits, gives up after the [time for that](RecorderSettings::shutdown), and ends the thread. What is
    /// recorded meanwhile is lost. A call of the store that is under way is waited for, however long it takes.
    ///
    /// It blocks; an asynchronous program calls it where it may, for example in `spawn_blocking`. To wait for the long
    /// part without a thread, it may await a [`flush`](RecorderHandle::flush) before.
    ///
    /// # Errors
    /// [`ShutdownError`] says how many observations were lost at the end, and why.
    pub fn shutdown(mut self) -> Result<RecorderStats, ShutdownError> {
        self.finish()?;
        Ok(self.handle.stats())
    }

    fn finish(&mut self) -> Result<(), ShutdownError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.handle.shared.close(self.settings.shutdown);
        // Without a result, it was the store's end that panicked.
        thread.join().unwrap_or_else(|_| Err(ShutdownError::Panicked { lost: self.handle.shared.end() }))
    }

    fn telemetry(&self) -> &Telemetry {
        &self.settings.telemetry
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            let detail = told(&error);
            let event = Event::Orphan { operation: "write history", worker: None, detail };
            self.telemetry().emit(now(), event);
        }
    }
}

impl RecorderHandle {
    /// Takes note of an observation. It never fails and never waits for the store: where too many wait already, this
    /// one is lost and counted.
    pub fn record(&self, observation: Observation) {
        self.shared.record(observation);
    }

    /// Writes everything that was recorded before now, and says when it is durable. It asks a store that fails for
    /// another try at once. A thread [waits](Flush::wait) for it, a task awaits it.
    pub fn flush(&self) -> Flush {
        self.shared.flush()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.shared.lock().stats.clone()
    }
}
