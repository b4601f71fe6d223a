//! Who starts and ends a log, and what listens for it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use telemetry::{Event, Sink};

use super::line::Entry;
use super::output::Output;
use super::stats::Counts;
use super::writer::{Message, Writer};
use super::{StartError, Stats};
use crate::Family;
use crate::when::unix_nanos;

/// Settings of a log of events.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// How many events may wait to be written; what comes when so many wait is lost, and counted. Default 8 192; at least
    /// one.
    pub queue: usize,
    /// How long closing waits for what waits to be written. After that the thread is left to itself, because whatever it
    /// writes to takes no more; it ends when that does. Default 5 s.
    pub flush: Duration,
    /// What time it is, in nanoseconds since 1970. Default: the system's clock.
    pub clock: fn() -> u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue: 8_192, flush: Duration::from_secs(5), clock: unix_nanos }
    }
}

/// A log of events: the owner of the thread that writes it.
///
/// Each event is one line: `at` is the time in RFC 3339 and UTC, `sequence` counts the log's events from 0, `at_ms` is
/// what the telemetry handle says, and `event` with everything after it is the event itself. Events that had no room
/// leave a gap in `sequence`, and as soon as there is room, a line whose `event` is `events_lost` says how many they are
/// (`lost` since the last such line, `lost_in_all` since the start).
///
/// A failed write is counted and told to `tracing` once, and once more when it works again; its lines are lost. Dropping
/// the log closes it.
#[derive(Debug)]
pub struct JsonLines {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    sequence: Arc<AtomicU64>,
    clock: fn() -> u64,
    closing: Arc<AtomicBool>,
    flush: Duration,
    thread: Mutex<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    /// Says that everything is written.
    done: Receiver<()>,
}

impl JsonLines {
    /// Appends to a file, which is created where it is missing. Each piece is written at the file's end as it then is, so
    /// that a log rotation that copies and truncates works.
    ///
    /// # Errors
    /// The file cannot be opened, or the system gives no thread.
    pub fn append_to(path: &Path, settings: Settings) -> Result<Self, StartError> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|source| StartError::Open { path: path.to_owned(), source })?;
        Self::write_to(file, settings)
    }

    /// Writes to standard error.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn stderr(settings: Settings) -> Result<Self, StartError> {
        Self::write_to(io::stderr(), settings)
    }

    /// Writes to whatever takes bytes. It may wait as long as it likes; only its own thread waits for it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn write_to(to: impl Write + Send + 'static, settings: Settings) -> Result<Self, StartError> {
        let Settings { queue, flush, clock } = settings;
        let (sender, receiver) = sync_channel(queue.max(1));
        let (done, written) = sync_channel(0);
        let counts = Arc::new(Counts::default());
        let closing = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            output: Output::new(Box::new(to)),
            counts: Arc::clone(&counts),
            clock,
            closing: Arc::clone(&closing),
            done,
            told: 0,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("event-log".to_owned());
        let handle = thread.spawn(move || writer.run(&receiver));
        let handle = handle.map_err(|source| StartError::Thread { source })?;
        let thread = Mutex::new(Some(Thread { handle, done: written }));
        Ok(Self { sender, counts, sequence: Arc::default(), clock, closing, flush, thread })
    }

    /// What listens for this log; give it to a telemetry handle's builder. All sinks of one log write to the same place.
    #[must_use]
    pub fn sink(&self) -> EventSink {
        EventSink {
            sender: self.sender.clone(),
            counts: Arc::clone(&self.counts),
            sequence: Arc::clone(&self.sequence),
            clock: self.clock,
        }
    }

    /// How many events were written and lost so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    /// The same as metric families.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.stats().families()
    }

    /// Writes what waits, and ends the thread. Waits until that is done, for [`Settings::flush`] at most. Later events
    /// count as lost; closing again does nothing.
    pub fn close(&self) {
        let Some(Thread { handle, done }) = self.thread.lock().take() else { return };
        self.closing.store(true, Release);
        // Where there is no room for this, the thread is awake, and looks at the flag when the queue is empty.
        let _ = self.sender.try_send(Message::Wake);
        match done.recv_timeout(self.flush) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    "the log of events takes no more, and is left without what waits to be written"
                );
            }
            // The thread has only its return left to do.
            _ => drop(handle.join()),
        }
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes events on to a log's thread and never waits for it.
#[derive(Debug, Clone)]
pub struct EventSink {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    sequence: Arc<AtomicU64>,
    clock: fn() -> u64,
}

impl Sink for EventSink {
    fn record(&self, at_ms: f64, event: &Arc<Event>) {
        let sequence = self.sequence.fetch_add(1, Relaxed);
        let entry = Entry { unix_nanos: (self.clock)(), sequence, at_ms, event: Arc::clone(event) };
        if self.sender.try_send(Message::Event(entry)).is_err() {
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }
}
