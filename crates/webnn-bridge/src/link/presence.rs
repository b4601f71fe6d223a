//! Whether a page has its control connection.

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::protocol::ToPage;

/// The control connection of a page: there is one, or there was and may be again.
#[derive(Debug)]
pub(crate) struct Presence {
    outbound: Mutex<Option<mpsc::Sender<ToPage>>>,
    /// How many connections there were, and whether the newest one is there.
    state: watch::Sender<(u64, bool)>,
}

impl Presence {
    /// With the first connection, which has the number 1.
    pub(crate) fn new(outbound: mpsc::Sender<ToPage>) -> Self {
        Self { outbound: Mutex::new(Some(outbound)), state: watch::Sender::new((1, true)) }
    }

    /// Another connection, in the place of the one before. Answers its number.
    pub(crate) fn connect(&self, outbound: mpsc::Sender<ToPage>) -> u64 {
        let mut current = self.outbound.lock();
        *current = Some(outbound);
        let mut number = 0;
        self.state.send_modify(|state| {
            *state = (state.0 + 1, true);
            number = state.0;
        });
        number
    }

    /// A connection has ended. Answers whether it was the newest one.
    pub(crate) fn disconnect(&self, number: u64) -> bool {
        let mut current = self.outbound.lock();
        let newest = self.state.borrow().0 == number;
        if newest {
            *current = None;
            self.state.send_modify(|state| state.1 = false);
        }
        newest
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.state.borrow().1
    }

    /// Waits for a connection after this one.
    pub(crate) async fn after(&self, number: u64) {
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| state.0 > number).await;
    }

    /// Waits until there is a connection, or until there is none.
    pub(crate) async fn becomes(&self, there: bool) {
        let _ = self.state.subscribe().wait_for(|state| state.1 == there).await;
    }

    /// Sends a message. Answers whether there was a connection to send it over.
    pub(crate) async fn send(&self, message: ToPage) -> bool {
        let outbound = self.outbound.lock().clone();
        match outbound {
            Some(outbound) => outbound.send(message).await.is_ok(),
            None => false,
        }
    }
}
