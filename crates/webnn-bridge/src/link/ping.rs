//! Pings of the control connection, and who waits for their answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The pings of one page.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    last: AtomicU64,
    awaited: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

/// A ping whose answer is awaited. Dropping it takes it out of the table.
#[derive(Debug)]
pub(super) struct AwaitedPing<'a> {
    pings: &'a Pings,
    pub(super) number: u64,
    answer: oneshot::Receiver<()>,
}

impl Pings {
    /// The number of a new ping, whose answer nobody waits for.
    pub(crate) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A new ping.
    pub(super) fn expect(&self) -> AwaitedPing<'_> {
        let number = self.next();
        let (sender, answer) = oneshot::channel();
        self.awaited.lock().insert(number, sender);
        AwaitedPing { pings: self, number, answer }
    }

    /// The page has answered.
    pub(crate) fn answered(&self, number: u64) {
        if let Some(waiter) = self.awaited.lock().remove(&number) {
            let _ = waiter.send(());
        }
    }
}

impl AwaitedPing<'_> {
    /// Waits for the answer.
    pub(super) async fn answer(&mut self) {
        // The sender lies in the table until it is used or this is dropped.
        let _ = (&mut self.answer).await;
    }
}

impl Drop for AwaitedPing<'_> {
    fn drop(&mut self) {
        self.pings.awaited.lock().remove(&self.number);
    }
}
