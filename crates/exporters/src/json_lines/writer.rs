//! The thread that writes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};

use super::line::{Entry, write_lost};
use super::output::Output;
use super::stats::Counts;

/// Lines are written together until they are that long.
const PIECE: usize = 64 * 1_024;

pub(super) enum Message {
    Event(Entry),
    /// Look whether the log closes.
    Wake,
}

pub(super) struct Writer {
    pub(super) output: Output,
    pub(super) counts: Arc<Counts>,
    pub(super) clock: fn() -> u64,
    /// Whether to end as soon as nothing waits any more.
    pub(super) closing: Arc<AtomicBool>,
    /// Dropped when the thread has written everything.
    pub(super) done: SyncSender<()>,
    /// Losses that a line has told.
    pub(super) told: u64,
    /// Whether the last write failed, so that a failure is told once and not for each line.
    pub(super) failing: bool,
}

impl Writer {
    /// Writes what comes until the log closes and nothing waits any more, or nobody is left who could send.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut lines = Vec::with_capacity(PIECE);
        let mut events = 0;
        loop {
            // Read before the queue, so that everything that came before closing is written.
            let closing = self.closing.load(Acquire);
            let message = match queue.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    self.put(&mut lines, &mut events);
                    if closing {
                        break;
                    }
                    let Ok(message) = queue.recv() else { break };
                    message
                }
                Err(TryRecvError::Disconnected) => break,
            };
            let Message::Event(entry) = message else { continue };
            if entry.write(&mut lines) {
                events += 1;
            } else {
                self.counts.lost.fetch_add(1, Relaxed);
            }
            if lines.len() >= PIECE {
                self.put(&mut lines, &mut events);
            }
        }
        self.put(&mut lines, &mut events);
        // What came in the meantime is nobody's to write any more.
        let late = queue.try_iter().filter(|message| matches!(message, Message::Event(_)));
        self.counts.lost.fetch_add(late.count() as u64, Relaxed);
        drop(self.done);
    }

    /// Writes the lines, and one about what was lost, where something was.
    fn put(&mut self, lines: &mut Vec<u8>, events: &mut u64) {
        let lost = self.counts.lost.load(Relaxed);
        if lost > self.told {
            write_lost(lines, (self.clock)(), lost - self.told, lost);
        }
        if lines.is_empty() {
            return;
        }
        match self.output.write(lines) {
            Ok(()) => {
                self.counts.written.fetch_add(*events, Relaxed);
                self.told = lost;
                if std::mem::take(&mut self.failing) {
                    tracing::info!("events are written to the log again");
                }
            }
            Err(error) => {
                self.counts.failed.fetch_add(1, Relaxed);
                self.counts.lost.fetch_add(*events, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "events cannot be written to the log and are lost until they can");
                }
            }
        }
        lines.clear();
        *events = 0;
    }
}
